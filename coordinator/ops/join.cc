#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/certificate.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"

namespace shoal::ops {
namespace {

std::string NewNodeId(Cluster& cluster) {
  while (true) {
    std::string id = absl::StrFormat("%016x", cluster.random().Next64());
    if (cluster.state().FindNode(id) == nullptr) return id;
  }
}

Sha256Digest HashOf(const std::string& secret) {
  return Sha256(std::as_bytes(std::span<const char>(secret.data(), secret.size())));
}

// The token that the secret proves. Whether it is unknown or the secret is wrong takes the same
// time and looks the same from outside.
absl::StatusOr<const ClusterToken*> FindToken(const Cluster& cluster,
                                              const wire::JoinRequest& request) {
  const auto found = cluster.state().tokens().find(request.token_id());
  const bool known = found != cluster.state().tokens().end();
  const Sha256Digest hash = HashOf(request.token_secret());
  const Sha256Digest& expected = known ? found->second.secret_hash : Sha256Digest{};
  const bool equal = EqualInConstantTime(hash, expected);
  if (!known || !equal) {
    return absl::PermissionDeniedError(
        "no such join token, or it expired long ago; `shoal token create` makes one");
  }
  return &found->second;
}

absl::Status CheckUsable(Cluster& cluster, const ClusterToken& token) {
  if (cluster.clock().WallNow() >= token.expiry) {
    return absl::PermissionDeniedError(
        "the join token has expired; `shoal token create` makes another");
  }
  if (token.uses_left == 0) {
    return absl::PermissionDeniedError(
        "the join token is used up; `shoal token create` makes another");
  }
  if (cluster.state().n_members() >= kMaxMembers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the cluster has ", kMaxMembers, " nodes; revoke some first"));
  }
  return absl::OkStatus();
}

// The records that let a key in with a token, and who it is then.
absl::StatusOr<ClusterNode> Admit(Cluster& cluster, const ClusterToken& token,
                                  const Ed25519PublicKey& key, ClusterBatch* batch) {
  if (const ClusterNode* known = cluster.state().FindKey(key); known != nullptr) {
    if (known->revoked) return absl::PermissionDeniedError("this node has been revoked");
    if (known->identity.role != token.role) {
      return absl::PermissionDeniedError(
          absl::StrCat("the join token is for a ", std::string(RoleName(token.role)),
                       ", this key belongs to a ", std::string(RoleName(known->identity.role))));
    }
    if (known->token_id == token.id) return *known;  // The answer was lost on its way.
    SHOAL_RETURN_IF_ERROR(CheckUsable(cluster, token));
    batch->emplace_back(TokenUsed{token.id});
    return *known;
  }
  SHOAL_RETURN_IF_ERROR(CheckUsable(cluster, token));
  ClusterNode node{.identity = {token.role, NewNodeId(cluster)},
                   .key = key,
                   .token_id = token.id,
                   .certificate_expiry = {},
                   .peer_address = {},
                   .planned = {},
                   .assigned = {}};
  batch->emplace_back(TokenUsed{token.id});
  batch->emplace_back(NodeJoined{node});
  return node;
}

absl::StatusOr<ClusterNode> LetIn(Cluster& cluster, const wire::JoinRequest& request,
                                  std::string* certificate) {
  SHOAL_ASSIGN_OR_RETURN(const ClusterToken* token, FindToken(cluster, request));
  SHOAL_ASSIGN_OR_RETURN(const Ed25519PublicKey key, ReadCsr(request.csr()));
  ClusterBatch batch;
  SHOAL_ASSIGN_OR_RETURN(const ClusterNode node, Admit(cluster, *token, key, &batch));
  SHOAL_ASSIGN_OR_RETURN(const CertificateAuthority::Leaf leaf,
                         cluster.authority().Issue(key, node.identity));
  batch.emplace_back(NodeRenewed{node.identity.node_id, leaf.expiry});
  SHOAL_RETURN_IF_ERROR(cluster.Commit(batch));
  *certificate = leaf.pem;
  return node;
}

}  // namespace

absl::Status Join(Cluster& cluster, const wire::JoinRequest& request, wire::JoinReply* reply) {
  std::string certificate;
  const absl::StatusOr<ClusterNode> node = LetIn(cluster, request, &certificate);
  if (!node.ok()) {
    cluster.audit().WriteDenial(
        {{"method", "Join"}, {"why", std::string(node.status().message())}});
    return node.status();
  }
  cluster.audit().Write("joined", {{"node", node->identity.node_id},
                                   {"role", std::string(RoleName(node->identity.role))},
                                   {"token", node->token_id}});
  reply->set_certificate(certificate);
  return absl::OkStatus();
}

}  // namespace shoal::ops
