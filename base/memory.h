#pragma once

#include <cstdint>

namespace shoal {

// Bytes that this process could still take without swapping: what the system has available, within
// the limit of the process's memory group where there is one.
int64_t AvailableMemoryBytes();

// Resident bytes of this process.
int64_t ResidentBytes();

}  // namespace shoal
