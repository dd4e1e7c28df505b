#include "engine/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

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

ModelConfig HybridConfig() {
  ModelConfig config = SmallConfig();
  config.hidden_dim = 6;
  config.conv_kernel = 3;
  config.layers = {{.mixer = Mixer::kShortConvolution}, {}};
  return config;
}

// Goal: what a step writes counts only once it has succeeded.
TEST(KvCacheTest, AStateMovesOnWithTheStepAlone) {
  auto cache = *KvCache::Create(HybridConfig(), kWhole, KvType::kF16, 2 * kKeyTile);
  EXPECT_EQ(KvCache::StateFloats(HybridConfig(), 0), 12);
  EXPECT_EQ(KvCache::StateFloats(HybridConfig(), 1), 0);
  auto sequence = *cache->Reserve(kKeyTile);
  EXPECT_EQ(cache->State(*sequence, 0)[11], 0);
  cache->NextState(*sequence, 0)[11] = 5;
  EXPECT_EQ(cache->State(*sequence, 0)[11], 0);
  sequence->Advance(1);
  EXPECT_EQ(cache->State(*sequence, 0)[11], 5);
  cache->NextState(*sequence, 0)[11] = 6;  // This step fails.
  EXPECT_EQ(cache->State(*sequence, 0)[11], 5);
}

// Goal: states go to one sequence at a time, and say nothing of the one before.
TEST(KvCacheTest, I10_StatesAreWipedAndRunOut) {
  auto cache = *KvCache::Create(HybridConfig(), kWhole, KvType::kF16, 2 * kKeyTile);
  for (int round = 0; round < 2; ++round) {
    auto sequence = *cache->Reserve(kKeyTile);
    auto other = *cache->Reserve(kKeyTile);
    for (const auto* s : {sequence.get(), other.get()}) {
      for (int i = 0; i < 12; ++i) {
        EXPECT_EQ(cache->State(*s, 0)[i], 0);
        EXPECT_EQ(cache->NextState(*s, 0)[i], 0);
      }
    }
    EXPECT_NE(cache->State(*sequence, 0), cache->State(*other, 0));
    std::fill_n(cache->NextState(*sequence, 0), 12, 3.0F);
    sequence->MarkWritten(1);
    sequence->Advance(1);
    std::fill_n(cache->NextState(*sequence, 0), 12, 4.0F);
  }
}

// Goal: of many short sequences, no more than there are states; the bytes say what they take.
TEST(KvCacheTest, StatesAreBoundedAndCounted) {
  ModelConfig config = HybridConfig();
  config.hidden_dim = 1 << 16;
  constexpr int64_t kTokens = 64 * kKeyTile;
  auto cache = *KvCache::Create(config, kWhole, KvType::kF16, kTokens);
  std::vector<std::unique_ptr<KvSequence>> sequences;
  for (int i = 0; i < 8; ++i) sequences.push_back(*cache->Reserve(1));
  const auto refused = cache->Reserve(1);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("all of its 8 states"));
  const int64_t states = int64_t{8} * 2 * 2 * (1 << 16) * 4;
  EXPECT_EQ(cache->n_bytes(), KvCache::BytesFor(config, kWhole, KvType::kF16, kTokens));
  EXPECT_EQ(cache->n_bytes() - states, kTokens * 2 * 2 * 8 * 2);
  sequences.pop_back();
  EXPECT_TRUE(cache->Reserve(1).ok());
}

// Goal: latent attention keeps one row a position, which is key and value.
TEST(KvCacheTest, LatentRowsAreKeptOnce) {
  ModelConfig config = SmallConfig();
  config.n_kv_heads = 1;
  config.kv_lora_rank = 512;
  config.rope_dim = 64;
  config.head_dim = 576;
  const ModelSlice slice{.layers = {0, 2}, .kv_heads = {0, 1}};
  EXPECT_EQ(KvCache::BytesFor(config, slice, KvType::kF16, 64), 64 * 2 * 576 * 2);
  auto cache = *KvCache::Create(config, slice, KvType::kF16, 64);
  auto sequence = *cache->Reserve(1);
  EXPECT_EQ(cache->KeyTile(*sequence, 1, 0, 0), cache->ValueTile(*sequence, 1, 0, 0));
}

}  // namespace
}  // namespace shoal
