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
# with the label "unit" unless it lies in tests/ and so crosses folders. ONE_THREAD: nothing in it
# starts another, so a build that looks for races leaves it out.
function(shoal_test name)
  cmake_parse_arguments(ARG "ONE_THREAD" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(ARG_ONE_THREAD AND SHOAL_SANITIZE MATCHES "thread")
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(SHOAL_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)  # Half of a test's time here is its compilation.
  endif()
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

# shoal_isa_flags(SOURCES...): compiler flags of instruction sets. A file's suffix, and nothing else, selects them.
set(SHOAL_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(SHOAL_AVX512_FLAGS ${SHOAL_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni)
set(SHOAL_AVXVNNI_FLAGS ${SHOAL_AVX2_FLAGS} -mavxvnni)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12's own avx512fintrin.h leaves "undefined" operands uninitialized and warns about them.
  list(APPEND SHOAL_AVX512_FLAGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set(SHOAL_AMX_FLAGS ${SHOAL_AVX512_FLAGS} -mamx-tile -mamx-int8)
set(SHOAL_NEON_FLAGS -march=armv8-a)
set(SHOAL_NEON_DOTPROD_FLAGS -march=armv8.2-a+dotprod)
set(SHOAL_NEON_I8MM_FLAGS -march=armv8.2-a+dotprod+i8mm)

function(shoal_isa_flags)
  foreach(source IN LISTS ARGN)
    foreach(isa avx2 avxvnni avx512 amx neon neon_dotprod neon_i8mm)
      if(source MATCHES "_${isa}\\.cc$")
        string(TOUPPER ${isa} isa)
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${SHOAL_${isa}_FLAGS}")
      endif()
    endforeach()
  endforeach()
endfunction()
