#pragma once

#include "proto/transport.h"

namespace shoal {

// The methods of the node protocol. Both are bidirectional streams of frames (proto/frame_codec.h):
// RunExperts carries RunExpertsRequest and RunExpertsReply, Health StatusRequest and StatusReply.
inline constexpr const char* kMethods[kNStreamKinds] = {
    "/shoal.Worker/RunExperts",
    "/shoal.Worker/Health",
};
constexpr const char* MethodOf(StreamKind kind) { return kMethods[static_cast<int>(kind)]; }

}  // namespace shoal
