#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// Bytes of a fixed length that are read by position. Thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // What error texts call it: a path.
  virtual const std::string& name() const = 0;
  virtual uint64_t size() const = 0;
  // Fills `out` from `offset`. DataLoss naming the source when the storage gives fewer bytes.
  virtual absl::Status Read(uint64_t offset, std::span<std::byte> out) const = 0;
};

// A regular file, opened once, read into the caller's memory and never mapped: a file that shrinks
// under us is an error here and not a signal. Its length is taken at opening.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(const std::string& path);

// A copy of `bytes`.
std::unique_ptr<ByteSource> MakeMemorySource(std::string name, std::span<const std::byte> bytes);

// Where the `length` bytes are that start `offset` bytes into a tensor, which has n_bytes from
// `begin` on. InvalidArgument naming path and tensor when it has not as many.
absl::StatusOr<uint64_t> PositionIn(std::string_view path, std::string_view tensor, uint64_t begin,
                                    uint64_t n_bytes, uint64_t offset, uint64_t length);

// A whole small file. InvalidArgument when it has more than `max_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

}  // namespace shoal
