#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"

namespace shoal::ops {

absl::Status Revoke(Cluster& cluster, const wire::RevokeRequest& request) {
  const ClusterState& state = cluster.state();
  const ClusterNode* node = state.FindNode(request.node_id());
  if (node == nullptr) {
    return absl::NotFoundError(absl::StrCat("no node ", Quoted(request.node_id()),
                                            " has joined; `shoal node list` names them"));
  }
  if (node->revoked) return absl::OkStatus();
  if (static_cast<int>(state.nodes().size()) - state.n_members() >= kMaxRevoked) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxRevoked, " nodes are revoked already, as many as a snapshot holds"));
  }
  SHOAL_RETURN_IF_ERROR(cluster.Commit({NodeRevoked{request.node_id()}}));
  cluster.live().Forget(request.node_id());
  cluster.audit().Write("revoked", {{"node", request.node_id()}});
  return absl::OkStatus();
}

}  // namespace shoal::ops
