# Helpers that keep each folder's CMakeLists.txt a plain list of its files.
include(GoogleTest)

# Every header is included from the repository's root: #include "model/dtype.h".
include_directories(${CMAKE_SOURCE_DIR})
# Generated code is not ours to lint: a system folder.
include_directories(SYSTEM ${CMAKE_BINARY_DIR})

# What .ci/run builds by name: the tests that lie beside their code, and the libFuzzer programs.
add_custom_target(unit_tests)
add_custom_target(fuzzers)

# shoal_test(NAME SOURCES... LIBS...): one GoogleTest program, its cases known to ctest one by one,
# with the label "unit" unless it lies in tests/ and so crosses folders.
function(shoal_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(CMAKE_CURRENT_SOURCE_DIR MATCHES "^${CMAKE_SOURCE_DIR}/tests")
    set(label whole)
  else()
    set(label unit)
    add_dependencies(unit_tests ${name})
  endif()
  gtest_discover_tests(${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} DISCOVERY_TIMEOUT 60
                       DISCOVERY_MODE PRE_TEST
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS ${label})
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
  add_dependencies(fuzzers ${name})
endfunction()
