# Toolchain: programs for 64-bit ARM, made on another Debian machine from its packages
# (scripts/deps.sh arm64) and run there under qemu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)  # protoc runs here.
set(PKG_CONFIG_EXECUTABLE aarch64-linux-gnu-pkg-config)
# Everything qemu has; pointer authentication by its own cipher, for the architecture's takes more
# than half of the time.
set(SHOAL_QEMU_CPU max,pauth-impdef=on)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -cpu ${SHOAL_QEMU_CPU})
# Their development packages exclude this machine's own.
set(prometheus-cpp_DIR ${CMAKE_CURRENT_LIST_DIR}/arm64)
set(yaml-cpp_DIR ${CMAKE_CURRENT_LIST_DIR}/arm64)
