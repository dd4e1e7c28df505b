#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "proto/frame_codec.h"
#include "proto/identity.h"
#include "proto/transport.h"

namespace shoal {

// Who may call what (S04), as data. A method is one message of FrameHeader, or one request inside
// its ControlRequest; each travels on one kind of stream and on no other.
enum class Method : uint8_t {
  kJoin,
  kRenew,
  kReportStatus,
  kWatch,
  kCreateToken,
  kListNodes,
  kClusterStatus,
  kSetModel,
  kDrain,
  kRevoke,
  kRunExperts,
  kHealth,
  kFetchShard,
};

struct MethodRule {
  Method method;
  std::string_view name;  // "Join".
  StreamKind stream;
  uint8_t callers;  // Bit i: NodeRole i may.
};
std::span<const MethodRule> MethodRules();
bool MayCall(Method method, NodeRole caller);
// Whether a role may call anything on such a stream: others are refused when they open it.
bool MayOpen(StreamKind kind, NodeRole caller);
// The method that a request is; nothing for replies and empty headers.
std::optional<Method> MethodOf(const wire::FrameHeader& header);

// What every service asks before it does anything with a frame that came in on a stream of `kind`.
// InvalidArgument: not a request, or one of another kind of stream. PermissionDenied: not for the
// caller's role.
absl::Status CheckCall(const wire::FrameHeader& header, StreamKind kind,
                       const NodeIdentity& caller);

}  // namespace shoal
