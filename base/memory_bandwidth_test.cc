#include "base/memory_bandwidth.h"

#include <string>

#include "base/memory.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(MemoryBandwidthTest, TheBufferIsAQuarterOfMemoryAtMost) {
  EXPECT_GE(BandwidthBufferBytes(), size_t{1} << 20);
  EXPECT_LE(BandwidthBufferBytes(), size_t{256} << 20);
}

// Goal: a figure that a machine can have, and memory given back. No machine reads slower than
// 0.01 GB/s, even under a sanitizer, or as fast as 10,000.
TEST(MemoryBandwidthTest, SaysWhatAMachineCanHave) {
  for (const int n_threads : {1, 2}) {
    const int64_t before = ResidentBytes();
    const double gb_per_s = MeasureReadGbPerS(n_threads);
    RecordProperty("gb_per_s", std::to_string(gb_per_s));
    EXPECT_GT(gb_per_s, 0.01);
    EXPECT_LT(gb_per_s, 10000);
    EXPECT_LT(ResidentBytes() - before, static_cast<int64_t>(BandwidthBufferBytes() / 2));
  }
}

}  // namespace
}  // namespace shoal
