#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// Where the coordinator's decisions outlive it: a list of entries, opaque here, fenced so that of
// several coordinators only the one that claimed it last can write (I9). Thread-compatible.
class StateStore {
 public:
  virtual ~StateStore() = default;

  // Becomes the only one who may write. The result names this claim: larger than any before it.
  virtual absl::StatusOr<uint64_t> Claim() = 0;
  // What has been acknowledged so far, oldest first. After Claim.
  virtual absl::StatusOr<std::vector<std::string>> ReadAll() = 0;
  // Adds an entry: when OK comes back it survives everything. Any error means that it may or may
  // not have been kept, and that later entries do not follow it. FailedPrecondition when somebody
  // has claimed the store since.
  virtual absl::Status Append(uint64_t claim, std::string_view entry) = 0;
  // Puts one entry, which says the same, in the place of all.
  virtual absl::Status Compact(uint64_t claim, std::string_view entry) = 0;
  // Bytes that ReadAll would have to read: what Compact is for.
  virtual uint64_t n_bytes() const = 0;
};

}  // namespace shoal
