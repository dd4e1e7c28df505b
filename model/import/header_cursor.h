#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/import/byte_source.h"

namespace shoal {

// Walks once over the beginning of a source whose length there is not known before it is read.
// Every length is held against the bytes left in the source before memory is taken for it. Error
// texts begin with the byte they speak of; the caller puts the file and the field before them.
class HeaderCursor {
 public:
  // `source` must outlive the cursor.
  explicit HeaderCursor(const ByteSource& source) : source_(source) {}

  uint64_t pos() const { return pos_; }
  uint64_t left() const { return source_.size() - pos_; }

  // `what` names the field in error texts: "a key's length".
  absl::StatusOr<uint32_t> ReadU32(std::string_view what);
  absl::StatusOr<uint64_t> ReadU64(std::string_view what);
  // The bytes stay valid until the next read.
  absl::StatusOr<std::string_view> ReadBytes(uint64_t n, std::string_view what);
  // A u64 length in [min_bytes, max_bytes], then well-formed UTF-8. Valid until the next read.
  absl::StatusOr<std::string_view> ReadString(uint64_t min_bytes, uint64_t max_bytes,
                                              std::string_view what);

  // What was read before, by position: for names that error texts repeat.
  std::string_view View(uint64_t offset, uint64_t size) const;

  // Everything walked over so far; ends the cursor's use.
  std::vector<std::byte> Take();

 private:
  template <typename T>
  absl::StatusOr<T> ReadNumber(std::string_view what);
  // Has bytes [pos, pos + n) in memory, or says that the file ends before.
  absl::Status Need(uint64_t n, std::string_view what);

  const ByteSource& source_;
  std::vector<std::byte> bytes_;
  uint64_t pos_ = 0;
};

// InvalidArgument: "at byte 12: " and the message.
absl::Status ErrorAt(uint64_t pos, const std::string& message);

// The same status with "prefix: " before its message.
absl::Status Prefixed(const std::string& prefix, const absl::Status& status);

}  // namespace shoal
