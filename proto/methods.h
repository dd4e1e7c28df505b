#pragma once

#include "proto/transport.h"

namespace shoal {

// The streams of the node protocol as gRPC names them. All are bidirectional and carry frames
// (proto/frame_codec.h); proto/authorization.h says which messages, and from whom.
inline constexpr const char* kMethods[kNStreamKinds] = {
    "/shoal.Worker/RunExperts",
    "/shoal.Worker/Health",
    "/shoal.Coordinator/Control",
    "/shoal.Node/FetchShard",
};

// Initial metadata of a listener that let a stream in: gRPC shows the caller a stream that was
// refused as one with empty metadata.
inline constexpr const char* kOpenedKey = "shoal-opened";

constexpr const char* MethodOf(StreamKind kind) { return kMethods[static_cast<int>(kind)]; }

}  // namespace shoal
