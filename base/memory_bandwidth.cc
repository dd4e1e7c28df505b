#include "base/memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/thread_pool.h"

namespace shoal {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kMinBufferBytes = size_t{32} << 20;
constexpr size_t kMaxBufferBytes = size_t{256} << 20;
constexpr int kMaxPasses = 7;
constexpr absl::Duration kTimeForPasses = absl::Milliseconds(400);
// A pass goes over the buffer again until it has lasted so long: a control group's quota comes in
// pieces of some milliseconds, and a pass that fits into one would not see it.
constexpr absl::Duration kPassTime = absl::Milliseconds(50);

// A sum of all words, so that none can be left unread; eight sums, so that none waits for another.
uint64_t SumWords(const std::byte* bytes, size_t n_bytes) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + sizeof(sums) <= n_bytes; i += sizeof(sums)) {
    uint64_t words[8];
    std::memcpy(words, bytes + i, sizeof(words));
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[lane];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : sums) sum += lane;
  return sum;
}

// Of all cores' last caches together, as the kernel lists them; 0 where it does not.
size_t LastLevelCacheBytes() {
  std::map<std::string, size_t> caches;  // By the cores that share one.
  for (int cpu = 0;; ++cpu) {
    const std::string core = absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/cache/index");
    std::string sharers;
    size_t kilobytes = 0;
    for (const int level : {3, 2}) {
      if (std::ifstream(absl::StrCat(core, level, "/size")) >> kilobytes &&
          std::ifstream(absl::StrCat(core, level, "/shared_cpu_list")) >> sharers) {
        break;
      }
    }
    if (sharers.empty()) break;
    caches[sharers] = kilobytes << 10;
  }
  size_t n_bytes = 0;
  for (const auto& [sharers, bytes] : caches) n_bytes += bytes;
  return n_bytes;
}

}  // namespace

size_t BandwidthBufferBytes() {
  // Twice what the caches hold: by the time a pass begins again, its first bytes are gone from
  // them.
  const size_t cache = LastLevelCacheBytes();
  const size_t wanted =
      cache == 0 ? kMaxBufferBytes : std::clamp(2 * cache, kMinBufferBytes, kMaxBufferBytes);
  const auto quarter = static_cast<size_t>(std::max<int64_t>(AvailableMemoryBytes(), 0)) / 4;
  const size_t bytes = std::min(wanted, quarter) / kBlockBytes * kBlockBytes;
  return std::max(bytes, kBlockBytes);
}

double MeasureReadGbPerS(int n_threads) {
  ThreadPool pool(n_threads);
  AlignedBuffer buffer(BandwidthBufferBytes());
  const auto n_blocks = static_cast<int64_t>(buffer.size() / kBlockBytes);
  pool.ParallelFor(n_blocks, 1, [&](int64_t begin, int64_t end, int /*thread_idx*/) {
    std::memset(buffer.data() + begin * kBlockBytes, 1, (end - begin) * kBlockBytes);
  });
  std::vector<double> passes;
  std::atomic<uint64_t> sum{0};
  const absl::Time start = MonotonicNow();
  do {
    sum.store(0);
    size_t n_read = 0;
    absl::Duration taken;
    const absl::Time begun = MonotonicNow();
    do {
      pool.ParallelFor(n_blocks, 1, [&](int64_t begin, int64_t end, int /*thread_idx*/) {
        sum += SumWords(buffer.data() + begin * kBlockBytes, (end - begin) * kBlockBytes);
      });
      n_read += buffer.size();
      taken = MonotonicNow() - begun;
    } while (taken < kPassTime);
    passes.push_back(static_cast<double>(n_read) / absl::ToDoubleSeconds(taken) / 1e9);
    SHOAL_CHECK_EQ(sum.load(), n_read / 8 * 0x0101010101010101);
  } while (passes.size() < kMaxPasses && MonotonicNow() - start < kTimeForPasses);
  std::sort(passes.begin(), passes.end());
  return passes[passes.size() / 2];
}

}  // namespace shoal
