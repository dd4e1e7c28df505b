#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "model/shard_store.h"

namespace shoal {

// What ShardStore::Receive returns. Writes to `part`, Commit renames that to `path`; the chunks at
// the begin of a `part` that is there already are read and kept as far as they are good. The
// folder exists; `shard` lives until the result is gone. on_put: called once it is in place.
absl::StatusOr<std::unique_ptr<ShardStore::Incoming>> OpenIncomingShard(
    FileSystem* files, const ShardInfo& shard, std::string part, std::string path,
    std::function<void()> on_put);

}  // namespace shoal
