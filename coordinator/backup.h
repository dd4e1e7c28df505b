#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/data_directory.h"

namespace shoal {

// What of a coordinator nobody can make again: the authority's key, who belongs, what was decided,
// the audit log, the import key, manifests. Not shards: importing the same file makes the same.
//
// One string of bytes: "SHOALBAK", u32 format version 1, u32 count, then each file's path inside
// the data directory and its bytes, both counted; last the SHA-256 of all before. It holds keys:
// whoever has it can make nodes of the cluster.

// May be made beside a running coordinator, whose files are whole at every moment.
// FailedPrecondition: no coordinator has run with that directory.
absl::StatusOr<std::string> MakeBackup(const DataDirectory& data);

// Puts a backup into a directory that no coordinator has run with; nothing runs there now. Its
// epoch is then far above any that nodes can have seen since, so that they follow it (I9).
// FailedPrecondition: a coordinator's files are there already. InvalidArgument, DataLoss: not a
// backup, or a damaged one; nothing has been written.
absl::Status RestoreBackup(std::string_view backup, DataDirectory* data);

}  // namespace shoal
