#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/import/byte_source.h"

namespace shoal {

// Bounds of FAILURE-MODEL 6.6 for this format.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxSafetensorsTensors = 131'072;
inline constexpr size_t kMaxSafetensorsMetadata = 65'536;
inline constexpr size_t kMaxSafetensorsNameBytes = 512;
inline constexpr size_t kMaxSafetensorsDims = 8;
inline constexpr uint64_t kMaxSafetensorsDim = uint64_t{1} << 40;

// Element types that the format names; what can be done with them is their reader's matter.
enum class SafetensorsType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
};
std::string_view SafetensorsTypeName(SafetensorsType type);  // "BF16".
uint64_t SafetensorsTypeBytes(SafetensorsType type);

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<int64_t> shape;  // Outermost first; empty: one number.
  uint64_t file_offset = 0;
  uint64_t n_bytes = 0;
};

// One safetensors file, opened and wholly checked (FAILURE-MODEL 6.6): names are unique, and the
// tensors fill the data without a gap or an overlap. Errors name the file, the tensor, the value,
// the bound and what to do. Immutable; Read is thread-safe.
class SafetensorsReader {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::string& path);
  // The same checks over bytes in memory, for tests and fuzzers. `name` stands in for the path.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Parse(std::string name,
                                                                  std::span<const std::byte> bytes);

  // Ascending by name.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const SafetensorsTensor* Find(std::string_view name) const;
  // Reads out.size() bytes that start `offset` bytes into the tensor.
  absl::Status Read(const SafetensorsTensor& tensor, uint64_t offset,
                    std::span<std::byte> out) const;
  const std::string& path() const { return source_->name(); }
  uint64_t file_bytes() const { return source_->size(); }
  // SHA-256, lower-case hex, of everything before the data.
  const std::string& header_hash() const { return header_hash_; }

 private:
  explicit SafetensorsReader(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Read(
      std::unique_ptr<ByteSource> source);
  absl::Status ReadHeader();
  absl::Status PlaceTensors(uint64_t data_start);

  std::unique_ptr<ByteSource> source_;
  std::vector<SafetensorsTensor> tensors_;
  std::string header_hash_;
};

}  // namespace shoal
