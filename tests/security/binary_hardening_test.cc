// What FAILURE-MODEL S33 asks of the binary, read from the binary itself.
#include <elf.h>

#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

class Elf {
 public:
  explicit Elf(const char* path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }

  size_t size() const { return bytes_.size(); }
  bool Mentions(std::string_view text) const { return bytes_.find(text) != std::string::npos; }

  // The record of type T at `offset`; zeros past the end.
  template <typename T>
  T At(uint64_t offset) const {
    T value{};
    if (offset <= bytes_.size() && sizeof(T) <= bytes_.size() - offset) {
      std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    }
    return value;
  }

  std::vector<Elf64_Phdr> Segments(uint32_t type) const {
    const auto header = At<Elf64_Ehdr>(0);
    std::vector<Elf64_Phdr> found;
    for (int i = 0; i < header.e_phnum; ++i) {
      const auto segment = At<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
      if (segment.p_type == type) found.push_back(segment);
    }
    return found;
  }

  // The value of a dynamic tag, 0 where there is none.
  uint64_t Dynamic(int64_t tag) const {
    for (const Elf64_Phdr& segment : Segments(PT_DYNAMIC)) {
      for (uint64_t at = 0; at < segment.p_filesz; at += sizeof(Elf64_Dyn)) {
        const auto entry = At<Elf64_Dyn>(segment.p_offset + at);
        if (entry.d_tag == tag) return entry.d_un.d_val;
      }
    }
    return 0;
  }

 private:
  std::string bytes_;
};

TEST(BinaryHardeningTest, S33_PositionIndependentWithReadOnlyRelocations) {
  const Elf elf(SHOAL_BINARY);
  ASSERT_GT(elf.size(), sizeof(Elf64_Ehdr)) << SHOAL_BINARY;
  EXPECT_EQ(elf.At<Elf64_Ehdr>(0).e_type, ET_DYN);
  EXPECT_TRUE(elf.Dynamic(DT_FLAGS_1) & DF_1_PIE);
  EXPECT_EQ(elf.Segments(PT_GNU_RELRO).size(), 1U);
  EXPECT_TRUE(elf.Dynamic(DT_FLAGS_1) & DF_1_NOW);
}

TEST(BinaryHardeningTest, S33_NothingIsWritableAndExecutable) {
  const Elf elf(SHOAL_BINARY);
  const auto stacks = elf.Segments(PT_GNU_STACK);
  ASSERT_EQ(stacks.size(), 1U);
  EXPECT_FALSE(stacks[0].p_flags & PF_X);
  for (const Elf64_Phdr& segment : elf.Segments(PT_LOAD)) {
    EXPECT_FALSE((segment.p_flags & PF_W) && (segment.p_flags & PF_X));
  }
}

TEST(BinaryHardeningTest, S33_StackProtectorAndLibraryAssertionsAreIn) {
  const Elf elf(SHOAL_BINARY);
  EXPECT_TRUE(elf.Mentions("__stack_chk_fail"));
  EXPECT_TRUE(elf.Mentions("__glibcxx_assert_fail"));
}

}  // namespace
}  // namespace shoal
