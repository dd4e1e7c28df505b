#include "model/import/gguf_layout.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/checked.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr char kRemake[] = "; convert the model again";

absl::Status Refuse(const TensorInfo& tensor, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(tensor.name), ": ", message));
}

// The next multiple of `alignment`, a power of two, or nothing on overflow.
std::optional<uint64_t> AlignUp(uint64_t value, uint64_t alignment) {
  const auto raised = (Checked<uint64_t>(value) + (alignment - 1)).value();
  if (!raised) return std::nullopt;
  return *raised & ~(alignment - 1);
}

// Checks one tensor by itself and makes its offset absolute.
absl::Status PlaceOne(TensorInfo& tensor, const DataRegion& region) {
  if (tensor.file_offset % region.alignment != 0) {
    return Refuse(
        tensor, absl::StrCat("offset ", tensor.file_offset, " is not a multiple of the alignment ",
                             region.alignment, kRemake));
  }
  const auto start = (Checked<uint64_t>(region.data_start) + tensor.file_offset).value();
  const auto end = start ? (Checked<uint64_t>(*start) + tensor.n_bytes).value() : std::nullopt;
  if (!end || *end > region.file_bytes) {
    return Refuse(tensor, absl::StrCat(tensor.n_bytes, " bytes at data offset ", tensor.file_offset,
                                       " (data begin at byte ", region.data_start,
                                       ") end after the file, which has ", region.file_bytes,
                                       " bytes; the file is cut short: fetch it again"));
  }
  tensor.file_offset = *start;
  return absl::OkStatus();
}

// `expected`: where the tensor before `tensor`, if any, ends with its padding.
absl::Status CheckFollows(const TensorInfo& tensor, const TensorInfo* before, uint64_t expected) {
  if (tensor.file_offset == expected) return absl::OkStatus();
  const std::string after =
      before == nullptr ? "the data begin" : Quoted(before->name) + " and its padding end";
  if (tensor.file_offset < expected) {
    return Refuse(tensor, absl::StrCat("begins at byte ", tensor.file_offset, " but ", after,
                                       " at byte ", expected, "; the two overlap", kRemake));
  }
  return Refuse(tensor, absl::StrCat("begins at byte ", tensor.file_offset, " but ", after,
                                     " at byte ", expected, "; nothing accounts for the ",
                                     tensor.file_offset - expected, " bytes between", kRemake));
}

absl::Status CheckEnd(uint64_t end, uint64_t padded_end, uint64_t file_bytes) {
  if (file_bytes <= std::max(end, padded_end)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the last tensor and its padding end at byte ", padded_end, ", the file has ",
                   file_bytes, " bytes; nothing accounts for the rest: fetch the file again"));
}

}  // namespace

absl::StatusOr<uint64_t> TensorBytes(const std::vector<int64_t>& shape, DType dtype) {
  const DTypeTraits traits = Traits(dtype);
  if (shape.back() % traits.block_elems != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("rows of ", shape.back(), " elements are not whole blocks of ",
                     traits.block_elems, " (", std::string(traits.name), ")", kRemake));
  }
  Checked<uint64_t> bytes = static_cast<uint64_t>(shape.back() / traits.block_elems);
  bytes = bytes * static_cast<uint64_t>(traits.block_bytes);
  for (size_t d = 0; d + 1 < shape.size(); ++d) bytes = bytes * static_cast<uint64_t>(shape[d]);
  if (const auto value = bytes.value()) return *value;
  return absl::InvalidArgumentError(absl::StrCat("shape [", absl::StrJoin(shape, ", "),
                                                 "] has more bytes than 64 bits count", kRemake));
}

absl::Status PlaceTensors(std::vector<TensorInfo>& tensors, const DataRegion& region) {
  for (TensorInfo& tensor : tensors) SHOAL_RETURN_IF_ERROR(PlaceOne(tensor, region));
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&tensors](uint32_t a, uint32_t b) {
    return tensors[a].file_offset != tensors[b].file_offset
               ? tensors[a].file_offset < tensors[b].file_offset
               : a < b;
  });
  const TensorInfo* before = nullptr;
  uint64_t end = region.data_start;
  uint64_t padded_end = region.data_start;
  for (const uint32_t i : order) {
    const TensorInfo& tensor = tensors[i];
    SHOAL_RETURN_IF_ERROR(CheckFollows(tensor, before, padded_end));
    before = &tensor;
    end = tensor.file_offset + tensor.n_bytes;  // Inside the file: checked above.
    const auto aligned = AlignUp(end, region.alignment);
    if (!aligned) return Refuse(tensor, "its end cannot be aligned within 64 bits");
    padded_end = *aligned;
  }
  return CheckEnd(end, padded_end, region.file_bytes);
}

}  // namespace shoal
