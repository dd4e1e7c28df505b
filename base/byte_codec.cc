#include "base/byte_codec.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

template <typename T>
void AppendLittleEndian(T value, std::string& out) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

template <typename T>
T LittleEndian(std::string_view raw) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(T{static_cast<uint8_t>(raw[i])} << (8 * i));
  }
  return value;
}

}  // namespace

void ByteWriter::U8(uint8_t value) { AppendLittleEndian(value, bytes_); }
void ByteWriter::U32(uint32_t value) { AppendLittleEndian(value, bytes_); }
void ByteWriter::U64(uint64_t value) { AppendLittleEndian(value, bytes_); }

void ByteWriter::F64(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  U64(bits);
}

void ByteWriter::Bytes(std::string_view raw) { bytes_.append(raw); }

void ByteWriter::String(std::string_view text) {
  SHOAL_CHECK_LE(text.size(), size_t{UINT32_MAX});
  U32(static_cast<uint32_t>(text.size()));
  Bytes(text);
}

absl::StatusOr<uint8_t> ByteReader::U8() {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view raw, Bytes(1));
  return static_cast<uint8_t>(raw[0]);
}

absl::StatusOr<uint32_t> ByteReader::U32() {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view raw, Bytes(4));
  return LittleEndian<uint32_t>(raw);
}

absl::StatusOr<uint64_t> ByteReader::U64() {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view raw, Bytes(8));
  return LittleEndian<uint64_t>(raw);
}

absl::StatusOr<double> ByteReader::F64() {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t bits, U64());
  double value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

absl::StatusOr<std::string_view> ByteReader::Bytes(size_t n) {
  const size_t left = bytes_.size() - offset_;
  if (n > left) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset_, ": ", n, " bytes expected, ", left, " left"));
  }
  const std::string_view raw = bytes_.substr(offset_, n);
  offset_ += n;
  return raw;
}

absl::StatusOr<std::string_view> ByteReader::String(size_t max_bytes) {
  const size_t begin = offset_;
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n, U32());
  if (n > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", begin, ": a string of ", n, " bytes, at most ", max_bytes));
  }
  return Bytes(n);
}

absl::StatusOr<uint32_t> ByteReader::Count(uint32_t max_count, size_t min_bytes_each) {
  const size_t begin = offset_;
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n, U32());
  if (n > max_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", begin, ": a count of ", n, ", at most ", max_count));
  }
  const size_t left = bytes_.size() - offset_;
  if (min_bytes_each > 0 && n > left / min_bytes_each) {
    return absl::InvalidArgumentError(absl::StrCat("offset ", begin, ": a count of ", n,
                                                   ", each at least ", min_bytes_each, " bytes, ",
                                                   left, " left"));
  }
  return n;
}

absl::Status ByteReader::ExpectEnd() const {
  if (offset_ == bytes_.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("offset ", offset_, ": ", bytes_.size() - offset_,
                                                 " bytes too many at the end"));
}

}  // namespace shoal
