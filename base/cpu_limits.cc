#include "base/cpu_limits.h"

#include <sched.h>

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/control_groups.h"

namespace shoal {

std::string CpuQuotas(const std::string& groups, const std::string& root) {
  std::string quotas;
  for (const ControlGroup& group : ControlGroups(groups, root, "cpu")) {
    std::ifstream file(group.folder + (group.version2 ? "/cpu.max" : "/cpu.cfs_quota_us"));
    quotas.append(std::istreambuf_iterator<char>(file), {});
  }
  return quotas;
}

std::string CpuLimits() {
  cpu_set_t cpus;
  const int n_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 0;
  return absl::StrCat(n_cpus, " cores\n", CpuQuotas(OwnControlGroups(), kControlGroupRoot));
}

}  // namespace shoal
