#include "base/cpu_limits.h"

#include <sched.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of a group and each one above it.
std::string QuotasUpwards(const std::string& mount, std::string group, const char* name) {
  std::string quotas;
  while (true) {
    absl::StrAppend(&quotas, ReadAll(mount + group + "/" + name));
    if (group.size() <= 1) return quotas;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

std::string CpuQuotas(const std::string& groups, const std::string& root) {
  std::string quotas;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "number:controllers:/group"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers =
        absl::StrCat(",", line.substr(first + 1, second - first - 1), ",");
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      absl::StrAppend(&quotas, QuotasUpwards(root, group, "cpu.max"),
                      QuotasUpwards(root + "/unified", group, "cpu.max"));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      absl::StrAppend(&quotas, QuotasUpwards(root + "/cpu", group, "cpu.cfs_quota_us"));
    }
  }
  return quotas;
}

std::string CpuLimits() {
  cpu_set_t cpus;
  const int n_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 0;
  return absl::StrCat(n_cpus, " cores\n",
                      CpuQuotas(ReadAll("/proc/self/cgroup"), "/sys/fs/cgroup"));
}

}  // namespace shoal
