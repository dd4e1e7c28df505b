# As prometheus-cpp-config.cmake beside this: one development package for all architectures.
add_library(yaml-cpp SHARED IMPORTED)
set_target_properties(yaml-cpp PROPERTIES
  IMPORTED_LOCATION /usr/lib/aarch64-linux-gnu/libyaml-cpp.so.0.7)
