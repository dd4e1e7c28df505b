#pragma once

#include <string>

namespace shoal {

// What bounds this process's share of the cores, as text: how many it may run on, and the quotas of
// its control groups and those above. Whoever measured speed measures again when it differs.
std::string CpuLimits();

// The quotas of the groups that `groups`, what /proc/self/cgroup says, puts a process in. `root`:
// where groups are mounted, version 1 (root/cpu), 2 (root) or both (root/unified).
std::string CpuQuotas(const std::string& groups, const std::string& root);

}  // namespace shoal
