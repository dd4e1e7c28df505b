#include <string>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"

namespace shoal::ops {

absl::Status Drain(Cluster& cluster, const wire::DrainRequest& request) {
  const ClusterNode* node = cluster.state().FindNode(request.node_id());
  if (node == nullptr || node->revoked || node->identity.role != NodeRole::kWorker) {
    return absl::NotFoundError(absl::StrCat("no worker ", Quoted(request.node_id()),
                                            " is in this cluster; `shoal node list` names them"));
  }
  const bool draining = !request.undo();
  if (node->draining == draining) return absl::OkStatus();
  if (draining && !request.force()) {
    if (const absl::Status fits = cluster.FitsWithout(request.node_id()); !fits.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("node ", request.node_id(), " holds experts that fit nowhere else: ",
                       std::string(fits.message()), "; --force drains it all the same"));
    }
  }
  SHOAL_RETURN_IF_ERROR(cluster.Commit({DrainChanged{request.node_id(), draining}}));
  cluster.audit().Write(draining ? "draining" : "drain undone",
                        {{"node", request.node_id()}, {"forced", request.force() ? "yes" : "no"}});
  return absl::OkStatus();
}

}  // namespace shoal::ops
