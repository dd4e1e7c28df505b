#pragma once

#include "absl/status/status.h"
#include "coordinator/cluster.h"
#include "proto/frame_codec.h"
#include "proto/identity.h"
#include "proto/transport.h"

// One function, and one file, for each request of proto/control.proto. Callers have been checked
// against proto/authorization.h and membership before. An error leaves everything as it was.
namespace shoal::ops {

// Lets a node in that holds a token: one use is gone, durably, before the certificate leaves. The
// same key asking with the same token again gets its certificate again. PermissionDenied.
absl::Status Join(Cluster& cluster, const wire::JoinRequest& request, wire::JoinReply* reply);

// A new certificate for a known, unrevoked key; with a certificate, only for the caller's own.
absl::Status Renew(Cluster& cluster, const NodeIdentity& caller, const wire::RenewRequest& request,
                   wire::RenewReply* reply);

// Renews the lease. InvalidArgument names what is out of range.
absl::Status ReportStatus(Cluster& cluster, const NodeIdentity& caller, LinkId link,
                          const wire::ReportStatusRequest& request);

absl::Status CreateToken(Cluster& cluster, const wire::CreateTokenRequest& request,
                         wire::CreateTokenReply* reply);
absl::Status ListNodes(Cluster& cluster, wire::ListNodesReply* reply);
// All that is known of the cluster; an answer's payload, since a frame's header has no room for it.
wire::ClusterStatus DescribeCluster(Cluster& cluster);
absl::Status SetModel(Cluster& cluster, const wire::SetModelRequest& request,
                      wire::SetModelReply* reply);

// Moves a worker's experts elsewhere, or lets it serve again. FailedPrecondition when it holds the
// last replica of something that fits nowhere else, unless forced (F31).
absl::Status Drain(Cluster& cluster, const wire::DrainRequest& request);

// Bars a node for good; its experts are placed elsewhere.
absl::Status Revoke(Cluster& cluster, const wire::RevokeRequest& request);

}  // namespace shoal::ops
