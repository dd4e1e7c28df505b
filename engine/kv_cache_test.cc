#include "engine/kv_cache.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

ModelConfig SmallConfig() {
  ModelConfig config;
  config.n_layers = 2;
  config.n_kv_heads = 2;
  config.head_dim = 8;
  return config;
}

const ModelSlice kWhole = {.layers = {0, 2}, .kv_heads = {0, 2}};

TEST(KvCacheTest, I8_ReservesWholeBlocksAndGivesThemBack) {
  auto cache = *KvCache::Create(SmallConfig(), kWhole, KvType::kF16, 3 * kKeyTile);
  EXPECT_EQ(cache->free_tokens(), 3 * kKeyTile);
  {
    auto sequence = *cache->Reserve(kKeyTile + 1);
    EXPECT_EQ(sequence->capacity(), 2 * kKeyTile);
    EXPECT_EQ(cache->free_tokens(), kKeyTile);
    const auto refused = cache->Reserve(kKeyTile + 1);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(cache->free_tokens(), 3 * kKeyTile);
}

TEST(KvCacheTest, TilesOfOneBlockDoNotOverlap) {
  auto cache = *KvCache::Create(SmallConfig(), kWhole, KvType::kF32, 2 * kKeyTile);
  auto a = *cache->Reserve(kKeyTile);
  auto b = *cache->Reserve(kKeyTile);
  const size_t tile_bytes = kKeyTile * 8 * sizeof(float);
  int value = 0;
  const auto for_tiles = [&](auto body) {
    value = 0;
    for (KvSequence* sequence : {a.get(), b.get()}) {
      for (int layer = 0; layer < 2; ++layer) {
        for (int head = 0; head < 2; ++head) {
          body(cache->KeyTile(*sequence, layer, head, kKeyTile - 1), ++value);
          body(cache->ValueTile(*sequence, layer, head, 0), ++value);
        }
      }
    }
  };
  for_tiles([&](void* tile, int v) { std::memset(tile, v, tile_bytes); });
  for_tiles([&](void* tile, int v) {
    const auto* bytes = static_cast<const unsigned char*>(tile);
    EXPECT_EQ(bytes[0], v);
    EXPECT_EQ(bytes[tile_bytes - 1], v);
  });
}

// Goal: keys and values of one request are never found in memory handed to the next.
TEST(KvCacheTest, I10_WrittenBlocksAreWipedOnRelease) {
  auto cache = *KvCache::Create(SmallConfig(), kWhole, KvType::kF32, kKeyTile);
  auto sequence = *cache->Reserve(kKeyTile);
  auto* tile = static_cast<float*>(cache->KeyTile(*sequence, 1, 1, 0));
  tile[5] = 42.0F;
  sequence->MarkWritten(1);
  sequence.reset();
  sequence = *cache->Reserve(kKeyTile);
  EXPECT_EQ(static_cast<float*>(cache->KeyTile(*sequence, 1, 1, 0))[5], 0.0F);
}

TEST(KvCacheTest, MoreThanTheMachineHasIsRefusedWithTheNumbers) {
  const auto cache = KvCache::Create(SmallConfig(), kWhole, KvType::kF16, int64_t{1} << 50);
  EXPECT_EQ(cache.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(cache.status().message()), testing::HasSubstr("--ctx-size"));
}

}  // namespace
}  // namespace shoal
