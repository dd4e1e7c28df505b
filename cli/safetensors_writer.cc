#include "cli/safetensors_writer.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace shoal {

absl::Status WriteSafetensors(const std::string& path, const std::string& tensor_name,
                              MatView<const float> values) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  const int64_t n_bytes = values.rows * values.cols * static_cast<int64_t>(sizeof(float));
  std::string header =
      absl::StrCat("{\"", tensor_name, "\":{\"dtype\":\"F32\",\"shape\":[", values.rows, ",",
                   values.cols, "],\"data_offsets\":[0,", n_bytes, "]}}");
  header.resize((header.size() + 7) / 8 * 8, ' ');  // Data starts aligned.
  const uint64_t header_bytes = header.size();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(&header_bytes), sizeof(header_bytes));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (int64_t r = 0; r < values.rows; ++r) {
    file.write(reinterpret_cast<const char*>(values.row(r)),
               static_cast<std::streamsize>(values.cols * sizeof(float)));
  }
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, ": cannot write: ", std::strerror(errno)));
}

}  // namespace shoal
