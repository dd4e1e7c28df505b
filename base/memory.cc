#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>

namespace shoal {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// What the files of one version of memory groups are called.
struct GroupFiles {
  const char* limit;
  const char* usage;
  std::string_view droppable;  // In memory.stat: file pages not used lately.
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};

// The first number in a file, if there is one ("max" is none).
std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

int64_t ReadStat(const std::string& path, std::string_view wanted) {
  std::ifstream file(path);
  std::string key;
  int64_t value = 0;
  while (file >> key >> value) {
    if (key == wanted) return value;
  }
  return 0;
}

int64_t RoomIn(const std::string& folder, const GroupFiles& names) {
  const std::optional<int64_t> limit = ReadNumber(folder + "/" + names.limit);
  const std::optional<int64_t> usage = ReadNumber(folder + "/" + names.usage);
  if (!limit || !usage) return kNoLimit;
  const int64_t used = *usage - ReadStat(folder + "/memory.stat", names.droppable);
  return std::max<int64_t>(*limit - std::max<int64_t>(used, 0), 0);
}

// The least room of the group and of each one above it.
int64_t RoomUpwards(const std::string& mount, std::string group, const GroupFiles& names) {
  int64_t room = RoomIn(mount, names);
  while (group.size() > 1) {
    room = std::min(room, RoomIn(mount + group, names));
    group.resize(group.rfind('/'));
  }
  return room;
}

int64_t SystemAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  std::string unit;
  while (file >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

}  // namespace

int64_t MemoryGroupRoom(const std::string& groups, const std::string& root) {
  int64_t room = kNoLimit;
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
      room = std::min({room, RoomUpwards(root, group, kVersion2),
                       RoomUpwards(root + "/unified", group, kVersion2)});
    } else if (controllers.find(",memory,") != std::string::npos) {
      room = std::min(room, RoomUpwards(root + "/memory", group, kVersion1));
    }
  }
  return room;
}

int64_t AvailableMemoryBytes() {
  std::ifstream file("/proc/self/cgroup");
  const std::string groups((std::istreambuf_iterator<char>(file)), {});
  return std::min(SystemAvailable(), MemoryGroupRoom(groups, "/sys/fs/cgroup"));
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace shoal
