#include "model/import/header_cursor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/utf8.h"

namespace shoal {
namespace {

// First piece read; most headers fit. Later ones grow by half of what is there, so that memory
// stays within two and a half headers even while the old buffer is copied.
constexpr uint64_t kFirstPiece = uint64_t{1} << 20;

}  // namespace

absl::Status ErrorAt(uint64_t pos, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("at byte ", pos, ": ", message));
}

absl::Status Prefixed(const std::string& prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", std::string(status.message())));
}

absl::Status HeaderCursor::Need(uint64_t n, std::string_view what) {
  if (n > left()) {
    return ErrorAt(pos_, absl::StrCat(std::string(what), " needs ", n, " bytes, ", left(),
                                      " are left; the file is cut short: fetch it again"));
  }
  const uint64_t end = pos_ + n;  // At most the source's size.
  const uint64_t have = bytes_.size();
  if (end <= have) return absl::OkStatus();
  const uint64_t want = std::min(source_.size(), std::max({end, have + have / 2, kFirstPiece}));
  bytes_.reserve(want);
  bytes_.resize(want);
  return source_.Read(have, std::span(bytes_).subspan(have));
}

template <typename T>
absl::StatusOr<T> HeaderCursor::ReadNumber(std::string_view what) {
  SHOAL_RETURN_IF_ERROR(Need(sizeof(T), what));
  T value;
  std::memcpy(&value, std::span(bytes_).subspan(pos_, sizeof(T)).data(), sizeof(T));
  pos_ += sizeof(T);
  return value;
}

absl::StatusOr<uint32_t> HeaderCursor::ReadU32(std::string_view what) {
  return ReadNumber<uint32_t>(what);
}

absl::StatusOr<uint64_t> HeaderCursor::ReadU64(std::string_view what) {
  return ReadNumber<uint64_t>(what);
}

absl::StatusOr<std::string_view> HeaderCursor::ReadBytes(uint64_t n, std::string_view what) {
  SHOAL_RETURN_IF_ERROR(Need(n, what));
  const uint64_t start = pos_;
  pos_ += n;
  return View(start, n);
}

absl::StatusOr<std::string_view> HeaderCursor::ReadString(uint64_t min_bytes, uint64_t max_bytes,
                                                          std::string_view what) {
  const uint64_t start = pos_;
  SHOAL_ASSIGN_OR_RETURN(const uint64_t length, ReadU64(what));
  if (length < min_bytes || length > max_bytes) {
    return ErrorAt(
        start, absl::StrCat(std::string(what), " is ", length, " bytes long, not in [", min_bytes,
                            ", ", max_bytes, "]; the file is damaged: fetch or convert it again"));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string_view text, ReadBytes(length, what));
  if (FindInvalidUtf8(text) != std::string_view::npos) {
    return ErrorAt(start, absl::StrCat(std::string(what), " ", Quoted(text),
                                       " is not UTF-8; fetch or convert the file again"));
  }
  return text;
}

std::string_view HeaderCursor::View(uint64_t offset, uint64_t size) const {
  const auto piece = std::span(bytes_).subspan(offset, size);
  return {reinterpret_cast<const char*>(piece.data()), piece.size()};
}

std::vector<std::byte> HeaderCursor::Take() {
  SHOAL_CHECK_LE(pos_, bytes_.size());
  bytes_.resize(pos_);
  bytes_.shrink_to_fit();
  return std::move(bytes_);
}

}  // namespace shoal
