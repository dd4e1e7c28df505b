#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/dtype.h"
#include "model/families/family.h"
#include "model/import/checkpoint.h"

namespace shoal {

inline constexpr int64_t kScaleBlock = 128;  // Rows and columns that share a scale of FP8.

// A tensor of a checkpoint as numbers: rows of `cols`, whatever its dimensions.
struct StoredTensor {
  const Checkpoint::Tensor* source = nullptr;
  // F32 [rows / 128, cols / 128] of F8_E4M3, U8 [rows, cols / 32] of MXFP4 in U8 [rows, cols / 2],
  // both rounded up; null otherwise.
  const Checkpoint::Tensor* scales = nullptr;
  int64_t cols = 0;
  StoredAs stored_as = StoredAs::kItself;
};

// The format that a stored type has here, if it has one.
std::optional<DType> SameFormat(SafetensorsType type);

// True if bytes come out as they are stored.
bool IsStoredAs(const StoredTensor& tensor, DType dtype);

// Reads the numbers from `first` on, in row-major order and as `dtype`: what the tensor is stored
// in, F32, BF16 where AreScalesExact, or MXFP4. `first` and the length are whole blocks.
// InvalidArgument naming an element of FP8 that is no number.
absl::Status ReadValues(const Checkpoint& checkpoint, const StoredTensor& tensor, DType dtype,
                        int64_t first, std::span<std::byte> out);

// Whether BF16 holds every product of an F8_E4M3 number with them. InvalidArgument naming a scale
// that is no finite number.
absl::StatusOr<bool> AreScalesExact(const Checkpoint& checkpoint, const Checkpoint::Tensor& scales);

}  // namespace shoal
