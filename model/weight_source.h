#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/dtype.h"

namespace shoal {

// One stored tensor. Shape is outermost first: an expert stack is [n_experts, rows, cols].
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t file_offset = 0;  // Of its first byte; meaningful to its source only.
  uint64_t n_bytes = 0;
};

// One matrix of a stack: experts may have types of their own, so they need not be equally long.
struct StackSlice {
  DType dtype = DType::kF32;
  uint64_t offset = 0;  // Of its first byte, into the tensor.
  uint64_t n_bytes = 0;
};

// Where weights are read from: a model file now, verified shards later. Thread-safe.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // The tensor of that name, or null. Lives as long as the source.
  virtual const TensorInfo* Find(std::string_view name) const = 0;

  // Matrix `i` of a stack [n, rows, cols]; its TensorInfo has the type of the first.
  virtual StackSlice SliceOf(const TensorInfo& stack, int64_t i) const {
    const uint64_t n_bytes = stack.n_bytes / static_cast<uint64_t>(stack.shape[0]);
    return {stack.dtype, static_cast<uint64_t>(i) * n_bytes, n_bytes};
  }

  // Reads out.size() bytes that start `offset` bytes into the tensor. DataLoss when the storage
  // gives fewer or other bytes than it promised.
  virtual absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                            std::span<std::byte> out) const = 0;

  // Where that byte of the tensor comes from: reads in this order go through the storage once.
  virtual uint64_t Position(const TensorInfo& tensor, uint64_t offset) const {
    return tensor.file_offset + offset;
  }
};

}  // namespace shoal
