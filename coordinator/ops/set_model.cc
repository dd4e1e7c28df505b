#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"

namespace shoal::ops {

absl::Status SetModel(Cluster& cluster, const wire::SetModelRequest& request,
                      wire::SetModelReply* reply) {
  if (request.replicas() > static_cast<uint32_t>(kMaxMembers)) {
    return absl::InvalidArgumentError(
        absl::StrCat("replicas=", request.replicas(), " is not in [0, ", kMaxMembers, "]"));
  }
  SHOAL_ASSIGN_OR_RETURN(const Sha256Digest id,
                         cluster.SetModel(request.model(), static_cast<int>(request.replicas())));
  cluster.audit().Write(
      "model set", {{"model", ToHex(id)}, {"replicas", absl::StrCat(cluster.state().replicas())}});
  reply->set_model_id(DigestBytes(id));
  return absl::OkStatus();
}

}  // namespace shoal::ops
