#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/check.h"
#include "model/weight_source.h"

namespace shoal {

// The number in `bytes`, which has exactly its size.
template <typename T>
T LittleEndian(std::string_view bytes) {
  SHOAL_CHECK_EQ(bytes.size(), sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// Bytes of a tensor of that shape (outermost first, every dimension at least 1). InvalidArgument
// if rows are not whole blocks or the product overflows.
absl::StatusOr<uint64_t> TensorBytes(const std::vector<int64_t>& shape, DType dtype);

struct DataRegion {
  uint64_t data_start = 0;  // Of the tensor data in the file; a multiple of the alignment.
  uint64_t file_bytes = 0;
  uint64_t alignment = 0;
};

// Checks that the tensors, whose file_offset counts from the data's start on entry, tile the data
// exactly: aligned, inside the file, no overlap, no hole but padding, nothing after the last.
// Makes every file_offset absolute. InvalidArgument names the tensors and bytes.
absl::Status PlaceTensors(std::vector<TensorInfo>& tensors, const DataRegion& region);

}  // namespace shoal
