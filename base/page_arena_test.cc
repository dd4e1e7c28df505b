#include "base/page_arena.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

const auto kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

bool IsFilledWith(const std::byte* p, size_t n, std::byte value) {
  return std::all_of(p, p + n, [value](std::byte byte) { return byte == value; });
}

TEST(PageArenaTest, PiecesShareRegionsOfHugePages) {
  PageArena arena;
  std::byte* const a = arena.Allocate(10 * kPage);
  std::byte* const b = arena.Allocate(10 * kPage - 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % PageArena::kHugePageBytes, 0U);
  EXPECT_EQ(b, a + 10 * kPage);
  EXPECT_EQ(arena.mapped_bytes(), PageArena::kRegionBytes);
  std::byte* const large = arena.Allocate(PageArena::kRegionBytes + 1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % PageArena::kHugePageBytes, 0U);
  EXPECT_EQ(arena.mapped_bytes(), 2 * PageArena::kRegionBytes + PageArena::kHugePageBytes);
  arena.Release(large, PageArena::kRegionBytes + 1);
  arena.Release(a, 10 * kPage);
  EXPECT_EQ(arena.Allocate(4 * kPage), a);  // The first that fits.
  arena.Release(a, 4 * kPage);
  arena.Release(b, 10 * kPage - 5);
  EXPECT_EQ(arena.mapped_bytes(), 0U);
}

TEST(PageArenaTest, ReturnsNullWhereTheSystemHasNoRoom) {
  PageArena arena;
  EXPECT_EQ(arena.Allocate(size_t{1} << 60), nullptr);
  EXPECT_EQ(arena.mapped_bytes(), 0U);
}

// Goal: pieces are zeroed, never overlap whatever comes and goes, and nothing is left in the end.
TEST(PageArenaTest, RandomPiecesAreZeroedAndApart) {
  struct Piece {
    std::byte* p;
    size_t n_bytes;
    std::byte value;
  };
  PageArena arena;
  std::mt19937_64 random(5);
  std::vector<Piece> pieces;
  const auto release = [&](size_t i) {
    ASSERT_TRUE(IsFilledWith(pieces[i].p, pieces[i].n_bytes, pieces[i].value));
    arena.Release(pieces[i].p, pieces[i].n_bytes);
    pieces[i] = pieces.back();
    pieces.pop_back();
  };
  for (int i = 0; i < 3000 && !testing::Test::HasFatalFailure(); ++i) {
    if (pieces.size() > 60 || (random() % 2 == 0 && !pieces.empty())) {
      release(random() % pieces.size());
      continue;
    }
    const size_t most = random() % 50 == 0 ? size_t{70} << 20 : size_t{3} << 20;
    const size_t n_bytes = 1 + random() % most;
    std::byte* const p = arena.Allocate(n_bytes);
    ASSERT_NE(p, nullptr);
    // Its ends are enough: a whole one takes long.
    const size_t n_checked = std::min(n_bytes, 2 * kPage);
    ASSERT_TRUE(IsFilledWith(p, n_checked, std::byte{0}));
    ASSERT_TRUE(IsFilledWith(p + n_bytes - n_checked, n_checked, std::byte{0}));
    const auto value = static_cast<std::byte>(1 + random() % 255);
    std::memset(p, static_cast<int>(value), n_bytes);
    pieces.push_back({p, n_bytes, value});
  }
  while (!pieces.empty() && !testing::Test::HasFatalFailure()) release(0);
  EXPECT_EQ(arena.mapped_bytes(), 0U);
}

}  // namespace
}  // namespace shoal
