#include "base/memory.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "base/aligned_buffer.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

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

// Files as the kernel shows them for memory groups.
class MemoryGroupTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }

  const std::string root_ = testing::TempDir() + "memory_group_" +
                            testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(MemoryGroupTest, Version1CountsItsOwnGroupAndThoseAbove) {
  Write("memory/memory.limit_in_bytes", "9223372036854771712");
  Write("memory/memory.usage_in_bytes", "5000");
  Write("memory/a/memory.limit_in_bytes", "1000");
  Write("memory/a/memory.usage_in_bytes", "700");
  Write("memory/a/b/memory.limit_in_bytes", "900");
  Write("memory/a/b/memory.usage_in_bytes", "500");
  EXPECT_EQ(MemoryGroupRoom("5:cpu:/\n4:memory:/a/b\n0::/\n", root_), 300);
  EXPECT_EQ(MemoryGroupRoom("4:hugetlb,memory:/a\n", root_), 300);
}

TEST_F(MemoryGroupTest, Version2CountsItsOwnGroupAndThoseAbove) {
  Write("box/memory.max", "max");
  Write("box/memory.current", "700");
  Write("box/worker/memory.max", "900");
  Write("box/worker/memory.current", "500");
  EXPECT_EQ(MemoryGroupRoom("0::/box/worker\n", root_), 400);
  EXPECT_EQ(MemoryGroupRoom("0::/box\n", root_), kNoLimit);
}

// Goal: a worker that has just read its shards from disk is not told that its memory is full.
TEST_F(MemoryGroupTest, FilePagesThatCanBeDroppedAreFree) {
  Write("memory.max", "1000");
  Write("memory.current", "900");
  Write("memory.stat", "anon 100\ninactive_file 600\nactive_file 200");
  EXPECT_EQ(MemoryGroupRoom("0::/\n", root_), 700);
}

TEST_F(MemoryGroupTest, UsageAboveTheLimitIsNoRoom) {
  Write("memory.max", "1000");
  Write("memory.current", "1100");
  EXPECT_EQ(MemoryGroupRoom("0::/\n", root_), 0);
}

TEST_F(MemoryGroupTest, NoGroupsOrNonsenseIsNoLimit) {
  EXPECT_EQ(MemoryGroupRoom("", root_), kNoLimit);
  EXPECT_EQ(MemoryGroupRoom("memory\n:\n::\n4:memory:x\n0::/../..\n", root_), kNoLimit);
}

}  // namespace
}  // namespace shoal
