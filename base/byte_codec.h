#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// Fixed little-endian numbers and counted strings, one after the other: how files of our own
// (manifest, cluster log) are encoded. The same values always give the same bytes.
class ByteWriter {
 public:
  void U8(uint8_t value);
  void U32(uint32_t value);
  void U64(uint64_t value);
  void F64(double value);              // Its IEEE 754 bits.
  void Bytes(std::string_view raw);    // As they are: the reader knows how many.
  void String(std::string_view text);  // u32 length, then the bytes.

  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what ByteWriter wrote, or what pretends to be that. InvalidArgument, with the offset, when
// bytes are missing or a length is above its bound; nothing is allocated before that is known.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<uint8_t> U8();
  absl::StatusOr<uint32_t> U32();
  absl::StatusOr<uint64_t> U64();
  absl::StatusOr<double> F64();
  absl::StatusOr<std::string_view> Bytes(size_t n);
  absl::StatusOr<std::string_view> String(size_t max_bytes);
  // A count of things that take at least `min_bytes_each`: never more than could follow.
  absl::StatusOr<uint32_t> Count(uint32_t max_count, size_t min_bytes_each);
  // InvalidArgument unless everything has been read.
  absl::Status ExpectEnd() const;

  size_t offset() const { return offset_; }

 private:
  std::string_view bytes_;
  size_t offset_ = 0;
};

}  // namespace shoal
