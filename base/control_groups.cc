#include "base/control_groups.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace shoal {
namespace {

void AddUpwards(const std::string& tree, std::string group, bool version2,
                std::vector<ControlGroup>* found) {
  while (group.size() > 1) {
    found->push_back({tree + group, version2});
    group.resize(group.rfind('/'));
  }
  found->push_back({tree, version2});
}

}  // namespace

std::vector<ControlGroup> ControlGroups(const std::string& groups, const std::string& root,
                                        const std::string& controller) {
  std::vector<ControlGroup> found;
  std::istringstream lines(groups);
  std::string line;
  while (std::getline(lines, line)) {  // "id:controllers:/path"; version 2 has no controllers.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    // With commas around it, so that a name is found whole.
    std::string controllers = line.substr(first, second - first + 1);
    controllers.front() = controllers.back() = ',';
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      AddUpwards(root, group, true, &found);
      AddUpwards(root + "/unified", group, true, &found);
    } else if (controllers.find("," + controller + ",") != std::string::npos) {
      AddUpwards(root + "/" + controller, group, false, &found);
    }
  }
  return found;
}

std::string OwnControlGroups() {
  std::ifstream file("/proc/self/cgroup");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace shoal
