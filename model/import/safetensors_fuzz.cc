// Any bytes, read as a safetensors file: whatever the reader accepts must then be readable to its
// last byte, and nothing may crash. Seeds: tests/data/fuzz/safetensors.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "model/import/safetensors_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using shoal::SafetensorsReader;
  const auto bytes = std::as_bytes(std::span<const uint8_t>(data, size));
  const auto file = SafetensorsReader::Parse("fuzz.safetensors", bytes);
  if (!file.ok()) {
    SHOAL_CHECK(!file.status().message().empty());
    return 0;
  }
  uint64_t total = 0;
  std::vector<std::byte> out;
  for (const shoal::SafetensorsTensor& tensor : (*file)->tensors()) {
    SHOAL_CHECK((*file)->Find(tensor.name) == &tensor);
    out.resize(tensor.n_bytes);
    SHOAL_CHECK((*file)->Read(tensor, 0, out).ok());
    SHOAL_CHECK(!(*file)->Read(tensor, 1, out).ok());
    total += tensor.n_bytes;
  }
  SHOAL_CHECK_LT(total, (*file)->file_bytes());  // No byte belongs to two tensors.
  if (total > 0) SHOAL_CHECK(!SafetensorsReader::Parse("cut", bytes.first(size - 1)).ok());
  return 0;
}
