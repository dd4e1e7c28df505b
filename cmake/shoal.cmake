# Helpers that keep each folder's CMakeLists.txt a plain list of its files.
include(GoogleTest)

# Every header is included from the repository's root: #include "model/dtype.h".
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})

# shoal_test(NAME SOURCES... LIBS...): one GoogleTest program, its cases known to ctest one by one.
function(shoal_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} DISCOVERY_TIMEOUT 60
                       DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# shoal_bench(NAME SOURCES... LIBS...): one Google Benchmark program; never run by ctest.
function(shoal_bench name)
  if(NOT SHOAL_BENCH)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} benchmark::benchmark_main)
endfunction()

# shoal_fuzz(NAME SOURCES... LIBS...): one libFuzzer program, built only with -DSHOAL_FUZZ=ON.
function(shoal_fuzz name)
  if(NOT SHOAL_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
