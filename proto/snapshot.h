#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ed25519.h"
#include "base/sha256.h"
#include "model/expert_set.h"
#include "proto/identity.h"

namespace shoal {

// What the coordinator has decided, at one epoch. A value: data plane and control plane meet only
// here. proto/cluster.proto is its form on the wire and on disk.
struct Snapshot {
  struct Member {
    NodeIdentity node;         // A router or a worker.
    std::string peer_address;  // "host:port"; empty for routers.
    bool draining = false;
    ExpertSet assigned;  // Empty for routers.
  };

  std::string cluster_id;
  uint64_t epoch = 0;  // From 1 on.
  absl::Time issued;   // Whole seconds; wall clock.
  // Without a model, what follows up to import_key is empty, and nothing is assigned.
  std::optional<Sha256Digest> model_id;
  std::string model_name;
  int n_layers = 0;
  int n_experts = 0;
  Ed25519PublicKey import_key = {};
  std::vector<Member> members;       // Ascending by node id.
  std::vector<std::string> revoked;  // Node ids, ascending.

  // Null when there is none.
  const Member* Find(std::string_view node_id) const;
  bool IsRevoked(std::string_view node_id) const;
  // Workers that are to hold an expert, as indices into members.
  std::vector<int> HoldersOf(int layer, int expert) const;
};

// "host:port" or "[address]:port", the port not 0: what a worker's address has to be.
bool IsHostPort(std::string_view text);

// The bytes of a wire::SignedSnapshot.
std::string SignSnapshot(const Snapshot& snapshot, const Ed25519Key& ca_key);

// PermissionDenied: the signature is not by that key, or of another cluster. InvalidArgument: not
// such a message, or out of range (members <= 256, ids, addresses, expert sets of the right size).
absl::StatusOr<Snapshot> OpenSnapshot(std::string_view signed_bytes, const Ed25519PublicKey& ca_key,
                                      std::string_view cluster_id);

}  // namespace shoal
