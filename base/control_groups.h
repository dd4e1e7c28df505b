#pragma once

#include <string>
#include <vector>

namespace shoal {

// A folder of files about one control group.
struct ControlGroup {
  std::string folder;
  bool version2 = false;
};

// The groups that bound this process for a controller ("memory", "cpu"): its own and each one above
// it, in both versions' trees. `groups` is in the form of /proc/self/cgroup and `root` where the
// trees are mounted.
std::vector<ControlGroup> ControlGroups(const std::string& groups, const std::string& root,
                                        const std::string& controller);

// /proc/self/cgroup, and where the trees are.
std::string OwnControlGroups();
inline constexpr char kControlGroupRoot[] = "/sys/fs/cgroup";

}  // namespace shoal
