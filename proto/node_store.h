#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "proto/credentials.h"
#include "proto/snapshot.h"

namespace shoal {

// What a node keeps of itself, in its data directory's node/: identity, key, certificate, the
// coordinator's address, the port it had, the last two snapshots. Every write replaces a file
// whole, so that after a failure or a power cut there is the old one or the new one (F12, F13).
// Errors name the file. Thread-compatible.
class NodeStore {
 public:
  // `directory` is DIR/node; made at the first write.
  NodeStore(FileSystem* files, std::string directory);

  // Nothing before the first join. DataLoss when the file is damaged: without its key the node can
  // only join anew.
  absl::StatusOr<std::optional<Credentials>> ReadCredentials() const;
  // One file for all of it: a key is never beside another one's certificate.
  absl::Status WriteCredentials(const Credentials& credentials);

  // The newest of the two whose signature holds; a damaged one is passed over. Nothing if none.
  absl::StatusOr<std::optional<Snapshot>> ReadSnapshot(const Credentials& credentials) const;
  // Keeps the one before. FailedPrecondition unless its epoch is above that of the newest here
  // (I9); the same bytes once more are fine. As OpenSnapshot for bytes that are not a snapshot.
  absl::Status WriteSnapshot(std::string_view signed_bytes, const Credentials& credentials);

  // "host:port" that the node listened at last; empty if never.
  std::string ReadAddress() const;
  absl::Status WriteAddress(std::string_view address);
  // Where the coordinator was last; empty if never.
  std::string ReadCoordinator() const;
  absl::Status WriteCoordinator(std::string_view address);
  // One line on how fast the node was measured to be; empty if never.
  std::string ReadMeasure() const;
  absl::Status WriteMeasure(std::string_view line);

 private:
  struct Stored {
    std::string bytes;
    Snapshot snapshot;
  };
  std::string Path(std::string_view name) const;
  std::string ReadLine(std::string_view name) const;
  absl::Status Write(std::string_view name, std::string_view bytes);
  // Nothing when there is no such file, or it does not open.
  std::optional<Stored> ReadStored(std::string_view name, const Credentials& credentials,
                                   const Ed25519PublicKey& ca_key) const;

  FileSystem* const files_;
  const std::string directory_;
};

}  // namespace shoal
