#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ed25519.h"
#include "base/sha256.h"
#include "model/expert_set.h"
#include "proto/identity.h"
#include "proto/snapshot.h"

namespace shoal {

// What the coordinator has decided and must not forget. Only Apply changes it, with batches of
// records that the log holds: the same log gives the same state. What nodes say of themselves every
// few seconds is not here but in live_nodes.h.

// A router or worker that joined, by the key that it proved to have.
struct ClusterNode {
  NodeIdentity identity;
  Ed25519PublicKey key = {};
  std::string token_id;  // That it joined with.
  absl::Time certificate_expiry;
  std::string peer_address;  // Workers, once they said it.
  bool draining = false;
  bool revoked = false;
  ExpertSet planned;   // Workers: what they shall hold when all moves are done.
  ExpertSet assigned;  // What they are told to hold: planned, and what others have not taken over.
};

struct ClusterToken {
  std::string id;
  NodeRole role = NodeRole::kNone;
  Sha256Digest secret_hash = {};
  uint32_t uses_left = 0;
  absl::Time expiry;  // By the wall clock.
};

struct ClusterModel {
  Sha256Digest id = {};
  std::string name;
  int n_layers = 0;
  int n_experts = 0;
  Ed25519PublicKey import_key = {};
  friend bool operator==(const ClusterModel&, const ClusterModel&) = default;
};

// --- Records.
struct NodeJoined {
  ClusterNode node;  // Without address and experts.
};
struct NodeRenewed {
  std::string node_id;
  absl::Time certificate_expiry;
};
struct AddressChanged {
  std::string node_id;
  std::string peer_address;
};
struct DrainChanged {
  std::string node_id;
  bool draining = false;
};
struct NodeRevoked {
  std::string node_id;
};
struct TokenCreated {
  ClusterToken token;
};
struct TokenUsed {
  std::string token_id;
};
struct TokenForgotten {
  std::string token_id;
};
struct ModelSet {
  ClusterModel model;  // Another model's experts are nobody's any more.
};
struct ReplicasSet {
  int replicas = 0;
};
struct ExpertsPlaced {
  std::string node_id;
  ExpertSet planned;
  ExpertSet assigned;
};
// The epoch never falls below this: begins a coordinator's time, and a log that was compacted.
struct EpochRaised {
  uint64_t at_least = 0;
};
using ClusterRecord =
    std::variant<NodeJoined, NodeRenewed, AddressChanged, DrainChanged, NodeRevoked, TokenCreated,
                 TokenUsed, TokenForgotten, ModelSet, ReplicasSet, ExpertsPlaced, EpochRaised>;
using ClusterBatch = std::vector<ClusterRecord>;  // One entry of the log: all of it or nothing.

std::string EncodeBatch(const ClusterBatch& batch);
// InvalidArgument for anything that EncodeBatch does not write.
absl::StatusOr<ClusterBatch> DecodeBatch(std::string_view bytes);

class ClusterState {
 public:
  // Applies a batch. The epoch grows by one if a snapshot shows any of it. InvalidArgument, and
  // nothing has changed, when it does not fit this state: an unknown node, an expert set of another
  // model's shape.
  absl::Status Apply(const ClusterBatch& batch);
  // A batch that makes this state of an empty one.
  ClusterBatch Everything() const;

  uint64_t epoch() const { return epoch_; }
  const std::map<std::string, ClusterNode>& nodes() const { return nodes_; }  // By id.
  const std::map<std::string, ClusterToken>& tokens() const { return tokens_; }
  const std::optional<ClusterModel>& model() const { return model_; }
  int replicas() const { return replicas_; }

  const ClusterNode* FindNode(std::string_view node_id) const;    // Null: unknown.
  const ClusterNode* FindKey(const Ed25519PublicKey& key) const;  // Also revoked ones.
  int n_members() const;                                          // Not revoked.

  // What nodes may see. A worker is a member once its address is known.
  Snapshot MakeSnapshot(std::string_view cluster_id, absl::Time issued) const;

 private:
  uint64_t epoch_ = 0;
  std::map<std::string, ClusterNode> nodes_;
  std::map<std::string, ClusterToken> tokens_;
  std::optional<ClusterModel> model_;
  int replicas_ = 0;
};

}  // namespace shoal
