#include <string>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"

namespace shoal::ops {

absl::Status Renew(Cluster& cluster, const NodeIdentity& caller, const wire::RenewRequest& request,
                   wire::RenewReply* reply) {
  SHOAL_ASSIGN_OR_RETURN(const Ed25519PublicKey key, ReadCsr(request.csr()));
  const ClusterNode* node = cluster.state().FindKey(key);
  absl::Status refused;
  if (node == nullptr) {
    refused = absl::PermissionDeniedError(
        "no node with this key has joined; let it join again, with a token");
  } else if (node->revoked) {
    refused = absl::PermissionDeniedError(
        absl::StrCat("node ", node->identity.node_id, " has been revoked"));
  } else if (caller.role != NodeRole::kNone && caller != node->identity) {
    refused = absl::PermissionDeniedError(
        absl::StrCat("the key is not that of node ", caller.node_id, ", which asks"));
  }
  if (!refused.ok()) {
    cluster.audit().WriteDenial(
        {{"method", "Renew"}, {"node", caller.node_id}, {"why", std::string(refused.message())}});
    return refused;
  }
  const NodeIdentity identity = node->identity;
  SHOAL_ASSIGN_OR_RETURN(const CertificateAuthority::Leaf leaf,
                         cluster.authority().Issue(key, identity));
  SHOAL_RETURN_IF_ERROR(cluster.Commit({NodeRenewed{identity.node_id, leaf.expiry}}));
  cluster.audit().Write("renewed", {{"node", identity.node_id}});
  reply->set_certificate(leaf.pem);
  return absl::OkStatus();
}

}  // namespace shoal::ops
