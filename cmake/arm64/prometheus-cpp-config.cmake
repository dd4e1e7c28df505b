# Debian's prometheus-cpp-dev cannot be installed for two architectures at once. Its headers are the
# same for all, and the library's own package can.
add_library(prometheus-cpp::core SHARED IMPORTED)
set_target_properties(prometheus-cpp::core PROPERTIES
  IMPORTED_LOCATION /usr/lib/aarch64-linux-gnu/libprometheus-cpp-core.so.1.0)
