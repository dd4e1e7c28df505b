#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "proto/credentials.h"
#include "proto/snapshot.h"

namespace shoal {

// What a node keeps of itself, in its data directory's node/: identity, key, certificate, the
// coordinator's address, the port it had, the last two snapshots. Every write replaces a file
// whole. Thread-compatible.
class NodeStore {
 public:
  // `directory` is DIR/node.
  NodeStore(FileSystem* files, std::string directory);

  // Nothing before the first join.
  absl::StatusOr<std::optional<Credentials>> ReadCredentials() const;
  absl::Status WriteCredentials(const Credentials& credentials);

  // The newest of the two whose signature holds; a damaged one is passed over. Nothing if none.
  absl::StatusOr<std::optional<Snapshot>> ReadSnapshot(const Credentials& credentials) const;
  // Keeps the one before. FailedPrecondition for an epoch older than the newest here (I9).
  absl::Status WriteSnapshot(std::string_view signed_bytes, const Credentials& credentials);

  // "host:port" that the node listened at last; empty if never.
  std::string ReadAddress() const;
  absl::Status WriteAddress(std::string_view address);
  // Where the coordinator was last; empty if never.
  std::string ReadCoordinator() const;
  absl::Status WriteCoordinator(std::string_view address);

 private:
  FileSystem* const files_;
  const std::string directory_;
};

}  // namespace shoal
