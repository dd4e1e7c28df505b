#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace shoal {
namespace {

// The first number in a file, if there is one ("max" is none).
std::optional<int64_t> ReadNumber(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Room left under a memory group's limit, or no bound.
int64_t GroupRoom(const char* limit_path, const char* usage_path) {
  const std::optional<int64_t> limit = ReadNumber(limit_path);
  const std::optional<int64_t> usage = ReadNumber(usage_path);
  if (!limit || !usage) return std::numeric_limits<int64_t>::max();
  return std::max<int64_t>(*limit - *usage, 0);
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

int64_t AvailableMemoryBytes() {
  const int64_t v2 = GroupRoom("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
  const int64_t v1 = GroupRoom("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                               "/sys/fs/cgroup/memory/memory.usage_in_bytes");
  return std::min({SystemAvailable(), v1, v2});
}

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace shoal
