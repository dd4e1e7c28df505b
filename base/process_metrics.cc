#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/metrics.h"

namespace shoal {
namespace {

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Fields of /proc/self/stat from the state, the third, on: a program's name may hold spaces.
std::vector<std::string> StatFields() {
  const std::string text = ReadAll("/proc/self/stat");
  const size_t end = text.rfind(')');
  if (end == std::string::npos || end + 2 > text.size()) return {};
  return absl::StrSplit(text.substr(end + 2), ' ');
}

// Seconds since 1970 at which the system started; 0: not known.
double BootTime() {
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(ReadAll("/proc/stat"), '\n'))) {
    double seconds = 0;
    if (line.starts_with("btime ") && absl::SimpleAtod(line.substr(6), &seconds)) return seconds;
  }
  return 0;
}

int CountOpenFiles() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int n = -3;  // ".", "..", and the descriptor of the directory itself.
  while (readdir(directory) != nullptr) ++n;
  closedir(directory);
  return n;
}

}  // namespace

void AddProcessMetrics(Metrics* metrics) {
  constexpr size_t kUserTime = 11;  // proc(5) counts from 1, and from the two fields before.
  constexpr size_t kSystemTime = 12;
  constexpr size_t kStartTime = 19;
  constexpr size_t kVirtualBytes = 20;
  constexpr size_t kResidentPages = 21;
  const std::vector<std::string> fields = StatFields();
  const auto field = [&fields](size_t i) {
    double value = 0;
    return i < fields.size() && absl::SimpleAtod(fields[i], &value) ? value : 0;
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  metrics->Add("process_cpu_seconds_total", (field(kUserTime) + field(kSystemTime)) / ticks);
  metrics->Add("process_resident_memory_bytes",
               field(kResidentPages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  metrics->Add("process_virtual_memory_bytes", field(kVirtualBytes));
  metrics->Add("process_start_time_seconds", BootTime() + field(kStartTime) / ticks);
  metrics->Add("process_open_fds", CountOpenFiles());
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    metrics->Add("process_max_fds", static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace shoal
