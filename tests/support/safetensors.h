#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace shoal {

// A tensor of a test's expectations: dtype as the file spells it ("F32", "I32", "U8"), row-major.
struct TestTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  int64_t n_elems() const {
    int64_t n = 1;
    for (const int64_t dim : shape) n *= dim;
    return n;
  }
  // The elements as T, which must have the dtype's size.
  template <typename T>
  std::vector<T> As() const {
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
    return out;
  }
};

using TestTensors = std::map<std::string, TestTensor>;

// Reads all tensors of a safetensors file of our own test data; throws std::runtime_error that
// names the file when it cannot. Not for files from outside: it trusts what it reads.
TestTensors ReadTestTensors(const std::string& path);

}  // namespace shoal
