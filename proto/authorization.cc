#include "proto/authorization.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

constexpr uint8_t Bit(NodeRole role) { return static_cast<uint8_t>(1u << static_cast<int>(role)); }

constexpr uint8_t kNobody = Bit(NodeRole::kNone);
constexpr uint8_t kCoordinator = Bit(NodeRole::kCoordinator);
constexpr uint8_t kRouter = Bit(NodeRole::kRouter);
constexpr uint8_t kWorker = Bit(NodeRole::kWorker);
constexpr uint8_t kAdmin = Bit(NodeRole::kAdmin);

// "Own node" needs no column: a method that is about a node means the one in the certificate.
constexpr std::array kRules = {
    MethodRule{Method::kJoin, "Join", StreamKind::kControl, kNobody},
    MethodRule{Method::kRenew, "Renew", StreamKind::kControl, kNobody | kRouter | kWorker},
    MethodRule{Method::kReportStatus, "ReportStatus", StreamKind::kControl, kRouter | kWorker},
    MethodRule{Method::kWatch, "Watch", StreamKind::kControl, kCoordinator | kRouter | kWorker},
    MethodRule{Method::kCreateToken, "CreateToken", StreamKind::kControl, kAdmin},
    MethodRule{Method::kListNodes, "ListNodes", StreamKind::kControl, kAdmin},
    MethodRule{Method::kClusterStatus, "ClusterStatus", StreamKind::kControl, kAdmin},
    MethodRule{Method::kSetModel, "SetModel", StreamKind::kControl, kAdmin},
    MethodRule{Method::kDrain, "Drain", StreamKind::kControl, kAdmin},
    MethodRule{Method::kRevoke, "Revoke", StreamKind::kControl, kAdmin},
    MethodRule{Method::kRunExperts, "RunExperts", StreamKind::kRunExperts, kRouter},
    MethodRule{Method::kHealth, "Health", StreamKind::kHealth, kRouter},
    MethodRule{Method::kFetchShard, "FetchShard", StreamKind::kFetchShard,
               kCoordinator | kRouter | kWorker},
};

std::optional<Method> MethodOf(const wire::ControlRequest& request) {
  switch (request.request_case()) {
    case wire::ControlRequest::kJoin:
      return Method::kJoin;
    case wire::ControlRequest::kRenew:
      return Method::kRenew;
    case wire::ControlRequest::kReportStatus:
      return Method::kReportStatus;
    case wire::ControlRequest::kWatch:
      return Method::kWatch;
    case wire::ControlRequest::kCreateToken:
      return Method::kCreateToken;
    case wire::ControlRequest::kListNodes:
      return Method::kListNodes;
    case wire::ControlRequest::kClusterStatus:
      return Method::kClusterStatus;
    case wire::ControlRequest::kSetModel:
      return Method::kSetModel;
    case wire::ControlRequest::kDrain:
      return Method::kDrain;
    case wire::ControlRequest::kRevoke:
      return Method::kRevoke;
    case wire::ControlRequest::REQUEST_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::span<const MethodRule> MethodRules() { return kRules; }

absl::Status CheckCall(const wire::FrameHeader& header, StreamKind kind,
                       const NodeIdentity& caller) {
  const std::optional<Method> method = MethodOf(header);
  if (!method.has_value()) return absl::InvalidArgumentError("the frame holds no request");
  const MethodRule& rule = *std::find_if(kRules.begin(), kRules.end(),
                                         [&](const MethodRule& r) { return r.method == *method; });
  const std::string name(rule.name);
  if (rule.stream != kind) {
    return absl::InvalidArgumentError(absl::StrCat(name, " does not travel on this stream"));
  }
  if (!MayCall(*method, caller.role)) {
    return absl::PermissionDeniedError(
        caller.role == NodeRole::kNone
            ? absl::StrCat(name, " needs a certificate")
            : absl::StrCat(name, ": not for a ", std::string(RoleName(caller.role))));
  }
  return absl::OkStatus();
}

bool MayCall(Method method, NodeRole caller) {
  return std::any_of(kRules.begin(), kRules.end(), [&](const MethodRule& rule) {
    return rule.method == method && (rule.callers & Bit(caller)) != 0;
  });
}

bool MayOpen(StreamKind kind, NodeRole caller) {
  return std::any_of(kRules.begin(), kRules.end(), [&](const MethodRule& rule) {
    return rule.stream == kind && (rule.callers & Bit(caller)) != 0;
  });
}

std::optional<Method> MethodOf(const wire::FrameHeader& header) {
  switch (header.message_case()) {
    case wire::FrameHeader::kRunExpertsRequest:
      return Method::kRunExperts;
    case wire::FrameHeader::kStatusRequest:
      return Method::kHealth;
    case wire::FrameHeader::kFetchRequest:
      return Method::kFetchShard;
    case wire::FrameHeader::kControlRequest:
      return MethodOf(header.control_request());
    default:
      return std::nullopt;
  }
}

}  // namespace shoal
