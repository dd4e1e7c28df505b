#include "coordinator/cluster_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

absl::Status UnknownNode(std::string_view node_id) {
  return absl::InvalidArgumentError(
      absl::StrCat("no node ", Quoted(node_id), " has joined this cluster"));
}

// Applies one record. Each sets `*visible` when a snapshot shows the difference.
struct Applier {
  std::map<std::string, ClusterNode>& nodes;
  std::map<std::string, ClusterToken>& tokens;
  std::optional<ClusterModel>& model;
  int& replicas;
  uint64_t* raised_to;
  bool* visible;

  absl::StatusOr<ClusterNode*> Node(const std::string& node_id) const {
    const auto found = nodes.find(node_id);
    if (found == nodes.end()) return UnknownNode(node_id);
    return &found->second;
  }
  absl::StatusOr<ClusterToken*> Token(const std::string& token_id) const {
    const auto found = tokens.find(token_id);
    if (found == tokens.end()) return absl::InvalidArgumentError("no such token");
    return &found->second;
  }

  absl::Status operator()(const NodeJoined& record) const {
    const std::string& id = record.node.identity.node_id;
    if (!nodes.emplace(id, record.node).second) {
      return absl::InvalidArgumentError(absl::StrCat("node ", id, " has joined already"));
    }
    if (record.node.identity.role == NodeRole::kRouter) *visible = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const NodeRenewed& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterNode * node, Node(record.node_id));
    node->certificate_expiry = record.certificate_expiry;
    return absl::OkStatus();
  }
  absl::Status operator()(const AddressChanged& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterNode * node, Node(record.node_id));
    node->peer_address = record.peer_address;
    *visible = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const DrainChanged& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterNode * node, Node(record.node_id));
    node->draining = record.draining;
    *visible = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const NodeRevoked& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterNode * node, Node(record.node_id));
    node->revoked = true;
    node->planned = {};
    node->assigned = {};
    *visible = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const TokenCreated& record) const {
    tokens[record.token.id] = record.token;
    return absl::OkStatus();
  }
  absl::Status operator()(const TokenUsed& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterToken * token, Token(record.token_id));
    if (token->uses_left == 0) return absl::InvalidArgumentError("the token has no use left");
    --token->uses_left;
    return absl::OkStatus();
  }
  absl::Status operator()(const TokenForgotten& record) const {
    tokens.erase(record.token_id);
    return absl::OkStatus();
  }
  absl::Status operator()(const ModelSet& record) const {
    if (model == record.model) return absl::OkStatus();
    if (!model.has_value() || model->id != record.model.id) {
      for (auto& [id, node] : nodes) node.planned = node.assigned = {};
    }
    model = record.model;
    *visible = true;
    return absl::OkStatus();
  }
  absl::Status operator()(const ReplicasSet& record) const {
    replicas = record.replicas;
    return absl::OkStatus();
  }
  absl::Status operator()(const ExpertsPlaced& record) const {
    SHOAL_ASSIGN_OR_RETURN(ClusterNode * node, Node(record.node_id));
    for (const ExpertSet* set : {&record.planned, &record.assigned}) {
      if (set->n_layers() == 0) continue;  // Nothing at all.
      if (!model.has_value() || set->n_layers() != model->n_layers ||
          set->n_experts() != model->n_experts) {
        return absl::InvalidArgumentError(absl::StrCat("experts of ", set->n_layers(),
                                                       " layers of ", set->n_experts(),
                                                       " are not of the model that is served"));
      }
    }
    *visible = *visible || node->assigned != record.assigned;
    node->planned = record.planned;
    node->assigned = record.assigned;
    return absl::OkStatus();
  }
  absl::Status operator()(const EpochRaised& record) const {
    *raised_to = std::max(*raised_to, record.at_least);
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status ClusterState::Apply(const ClusterBatch& batch) {
  ClusterState next = *this;
  bool visible = false;
  uint64_t raised_to = 0;
  const Applier applier{next.nodes_,    next.tokens_, next.model_,
                        next.replicas_, &raised_to,   &visible};
  for (const ClusterRecord& record : batch) SHOAL_RETURN_IF_ERROR(std::visit(applier, record));
  next.epoch_ = std::max(epoch_ + (visible ? 1 : 0), raised_to);
  *this = std::move(next);
  return absl::OkStatus();
}

ClusterBatch ClusterState::Everything() const {
  ClusterBatch batch;
  if (model_.has_value()) batch.emplace_back(ModelSet{*model_});
  batch.emplace_back(ReplicasSet{replicas_});
  for (const auto& [id, token] : tokens_) batch.emplace_back(TokenCreated{token});
  for (const auto& [id, node] : nodes_) {
    ClusterNode joined = node;
    joined.planned = joined.assigned = {};
    batch.emplace_back(NodeJoined{std::move(joined)});
    if (!node.planned.empty() || !node.assigned.empty()) {
      batch.emplace_back(ExpertsPlaced{id, node.planned, node.assigned});
    }
  }
  batch.emplace_back(EpochRaised{epoch_});
  return batch;
}

const ClusterNode* ClusterState::FindNode(std::string_view node_id) const {
  const auto found = nodes_.find(std::string(node_id));
  return found == nodes_.end() ? nullptr : &found->second;
}

const ClusterNode* ClusterState::FindKey(const Ed25519PublicKey& key) const {
  for (const auto& [id, node] : nodes_) {
    if (node.key == key) return &node;
  }
  return nullptr;
}

int ClusterState::n_members() const {
  return static_cast<int>(std::count_if(nodes_.begin(), nodes_.end(),
                                        [](const auto& entry) { return !entry.second.revoked; }));
}

Snapshot ClusterState::MakeSnapshot(std::string_view cluster_id, absl::Time issued) const {
  Snapshot snapshot;
  snapshot.cluster_id = std::string(cluster_id);
  snapshot.epoch = epoch_;
  snapshot.issued = issued;
  if (model_.has_value()) {
    snapshot.model_id = model_->id;
    snapshot.model_name = model_->name;
    snapshot.n_layers = model_->n_layers;
    snapshot.n_experts = model_->n_experts;
    snapshot.import_key = model_->import_key;
  }
  for (const auto& [id, node] : nodes_) {
    if (node.revoked) {
      snapshot.revoked.push_back(id);
    } else if (node.identity.role == NodeRole::kRouter || !node.peer_address.empty()) {
      snapshot.members.push_back({.node = node.identity,
                                  .peer_address = node.peer_address,
                                  .draining = node.draining,
                                  .assigned = node.assigned});
    }
  }
  return snapshot;
}

}  // namespace shoal
