#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

#include "base/control_groups.h"

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
  for (const ControlGroup& group : ControlGroups(groups, root, "memory")) {
    room = std::min(room, RoomIn(group.folder, group.version2 ? kVersion2 : kVersion1));
  }
  return room;
}

int64_t AvailableMemoryBytes() {
  return std::min(SystemAvailable(), MemoryGroupRoom(OwnControlGroups(), kControlGroupRoot));
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace shoal
