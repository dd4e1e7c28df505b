#include "model/import/model_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {

absl::Status CheckFinite(const ModelFile& file, const TensorInfo& tensor) {
  std::array<std::byte, 16384> buffer;
  for (uint64_t offset = 0; offset < tensor.n_bytes;) {
    const auto piece =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), tensor.n_bytes - offset));
    SHOAL_RETURN_IF_ERROR(file.Read(tensor, offset, piece));
    for (size_t i = 0; i < piece.size(); i += sizeof(float)) {
      float value;
      std::memcpy(&value, piece.subspan(i, sizeof(float)).data(), sizeof(float));
      if (std::isfinite(value)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          file.path(), ": tensor ", Quoted(tensor.name), ": element ", (offset + i) / sizeof(float),
          " is ", value, ", not a finite number; convert the model again"));
    }
    offset += piece.size();
  }
  return absl::OkStatus();
}

}  // namespace shoal
