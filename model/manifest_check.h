#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "model/manifest.h"

namespace shoal {

inline constexpr uint8_t kShardKinds = static_cast<uint8_t>(ShardKind::kTokenizer) + 1;

// What DecodeManifest demands of a manifest whose config is valid. InvalidArgument naming the
// shard, the value and the bound. Linear in the manifest's size.
absl::Status CheckManifest(const Manifest& manifest);

}  // namespace shoal
