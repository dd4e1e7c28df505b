#include "model/shard_testing.h"

#include <algorithm>
#include <random>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

std::span<const std::byte> BytesOf(std::string_view text) { return std::as_bytes(std::span(text)); }

TestShard MakeShard(ShardKind kind, int layer, int expert, uint64_t seed) {
  TestShard shard = MakeTestShard(/*data_bytes=*/448, seed);
  shard.info.kind = kind;
  shard.info.layer = layer;
  shard.info.expert = expert;
  return shard;
}

void AddExpertTensors(ShardInfo& info) {
  uint64_t offset = kShardHeaderBytes;
  for (const char* const part : {"gate", "up", "down"}) {
    info.tensors.push_back({.name = absl::StrCat("blk.", info.layer, ".ffn_", part, "_exps.weight"),
                            .dtype = DType::kQ8_0,
                            .shape = {2, 32},
                            .offset = offset,
                            .n_bytes = 68});
    offset += 128;
  }
}

}  // namespace

TestShard MakeTestShard(size_t data_bytes, uint64_t seed) {
  TestShard shard;
  const auto header = EncodeShardHeader(data_bytes);
  shard.file.assign(reinterpret_cast<const char*>(header.data()), header.size());
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < data_bytes; ++i) {
    shard.file.push_back(static_cast<char>(i % 8 == 0 ? random() : shard.file.back() * 31 + 7));
  }
  shard.info.hash = Sha256(BytesOf(shard.file));
  shard.info.file_bytes = shard.file.size();
  if (shard.file.size() > kShardChunkBytes) {
    for (size_t at = 0; at < shard.file.size(); at += kShardChunkBytes) {
      shard.info.chunks.push_back(
          Sha256(BytesOf(std::string_view(shard.file).substr(at, kShardChunkBytes))));
    }
  }
  return shard;
}

TestModel MakeTestModel(int n_layers, int n_experts, uint64_t seed, int n_dense) {
  TestModel model;
  model.manifest.name = absl::StrCat("tiny-", seed);
  model.manifest.config = {.architecture = "qwen3moe",
                           .name = "Tiny",
                           .n_layers = n_layers,
                           .hidden_dim = 32,
                           .n_heads = 4,
                           .n_kv_heads = 2,
                           .head_dim = 8,
                           .n_experts = n_experts,
                           .top_k = 1,
                           .ffn_dim = 32,
                           .vocab_size = 100,
                           .context_length = 512,
                           .rope_theta = 1e6,
                           .rms_norm_eps = 1e-6F,
                           .qk_norm = QkNorm::kHead,
                           .norm_topk_prob = true,
                           .rope_dim = 8,
                           .rope_divisors = {},
                           .long_rope_divisors = {},
                           .layers = {}};
  ModelConfig& config = model.manifest.config;
  for (int layer = 0; layer < n_dense; ++layer) {
    config.dense_ffn_dim = 32;
    config.MutableLayer(layer).dense = true;
  }
  const auto add = [&](ShardKind kind, int layer, int expert) {
    TestShard shard = MakeShard(kind, layer, expert, seed * 1000 + model.files.size());
    if (kind == ShardKind::kExpert) AddExpertTensors(shard.info);
    model.files.push_back(std::move(shard.file));
    model.manifest.shards.push_back(std::move(shard.info));
  };
  add(ShardKind::kEmbedding, -1, -1);
  for (int layer = 0; layer < n_layers; ++layer) add(ShardKind::kTrunkLayer, layer, -1);
  for (int layer = 0; layer < n_layers; ++layer) {
    for (int expert = 0; expert < config.NumExperts(layer); ++expert) {
      add(ShardKind::kExpert, layer, expert);
    }
  }
  add(ShardKind::kOutput, -1, -1);
  add(ShardKind::kTokenizer, -1, -1);
  return model;
}

absl::Status PutShard(ShardStore* store, const ShardInfo& info, std::string_view file) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ShardStore::Incoming> incoming,
                         store->Receive(info));
  while (incoming->next_offset() < info.file_bytes) {
    const std::string_view chunk = file.substr(incoming->next_offset(), incoming->next_bytes());
    SHOAL_RETURN_IF_ERROR(incoming->Append(BytesOf(chunk)));
  }
  return incoming->Commit();
}

}  // namespace shoal
