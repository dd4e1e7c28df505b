#pragma once

#include <cstdint>
#include <string>

namespace shoal {

// Bytes that this process could still take without swapping: what the system has available, within
// the limits of the process's memory groups where there are any. File pages that the kernel can
// drop count as free.
int64_t AvailableMemoryBytes();

// Room left under the limits of a memory group and all groups above it; the largest int64_t when
// none has a limit. `groups`: what /proc/self/cgroup says. `root`: where the groups are mounted,
// version 1 (root/memory), 2 (root) or both (root/unified).
int64_t MemoryGroupRoom(const std::string& groups, const std::string& root);

// Resident bytes of this process.
int64_t ResidentBytes();

}  // namespace shoal
