#include "base/memory.h"

#include <cstring>

#include "base/aligned_buffer.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

// Goal: memory counts when it is written, not when it is asked for.
TEST(MemoryTest, ABufferIsResidentOnceTouched) {
  constexpr size_t kSize = size_t{64} << 20;
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 0);
  AlignedBuffer buffer(kSize);
  EXPECT_LT(ResidentBytes() - before, static_cast<int64_t>(kSize / 2));
  std::memset(buffer.data(), 1, kSize);
  EXPECT_GT(ResidentBytes() - before, static_cast<int64_t>(kSize / 2));
  EXPECT_GT(AvailableMemoryBytes(), 0);
}

}  // namespace
}  // namespace shoal
