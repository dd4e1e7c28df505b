#include "base/cpu_limits.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace shoal {
namespace {

class CpuLimitsTest : public testing::Test {
 protected:
  CpuLimitsTest() {
    std::string path = testing::TempDir() + "/cpu_limits_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  ~CpuLimitsTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  std::string root_;
};

TEST_F(CpuLimitsTest, ReadsTheQuotasOfAGroupAndOfThoseAbove) {
  Write("/a/b/cpu.max", "50000 100000");
  Write("/a/cpu.max", "max 100000");
  EXPECT_EQ(CpuQuotas("0::/a/b\n", root_), "50000 100000\nmax 100000\n");
}

TEST_F(CpuLimitsTest, ReadsTheFirstVersionToo) {
  Write("/cpu/x/cpu.cfs_quota_us", "20000");
  EXPECT_EQ(CpuQuotas("4:cpu,cpuacct:/x\n2:memory:/y\n", root_), "20000\n");
}

TEST_F(CpuLimitsTest, NoGroupsAreFine) {
  EXPECT_EQ(CpuQuotas("", root_), "");
  EXPECT_EQ(CpuQuotas("nonsense\n0::\n", root_), "");
  EXPECT_NE(CpuLimits().find(" cores\n"), std::string::npos);
}

}  // namespace
}  // namespace shoal
