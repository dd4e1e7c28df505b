#include "tests/support/expert_shards.h"

#include <cstring>
#include <span>

#include "base/check.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/shard.h"

namespace shoal {
namespace {

void AppendSlice(const WeightSource& weights, const TensorInfo& stack, int expert,
                 std::string* file, ShardInfo* shard) {
  const uint64_t n_bytes = stack.n_bytes / static_cast<uint64_t>(stack.shape[0]);
  file->resize((file->size() + kShardAlignment - 1) / kShardAlignment * kShardAlignment);
  const size_t offset = file->size();
  file->resize(offset + n_bytes);
  const auto bytes = std::as_writable_bytes(std::span(*file)).subspan(offset);
  SHOAL_CHECK(weights.Read(stack, static_cast<uint64_t>(expert) * n_bytes, bytes).ok());
  shard->tensors.push_back({.name = stack.name,
                            .dtype = stack.dtype,
                            .shape = {stack.shape[1], stack.shape[2]},
                            .offset = offset,
                            .n_bytes = n_bytes});
}

}  // namespace

ExpertShardFiles CutExperts(const ModelConfig& config, const WeightSource& weights) {
  ExpertShardFiles cut;
  cut.manifest.name = "cut";
  cut.manifest.config = config;
  const Family& family = *FindFamily(config.architecture);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int expert = 0; expert < config.n_experts; ++expert) {
      ShardInfo shard{.kind = ShardKind::kExpert, .layer = layer, .expert = expert};
      std::string file(kShardHeaderBytes, '\0');
      for (const TensorRole role :
           {TensorRole::kFfnGateExps, TensorRole::kFfnUpExps, TensorRole::kFfnDownExps}) {
        const TensorInfo* stack = weights.Find(TensorName(family, role, layer));
        SHOAL_CHECK(stack != nullptr);
        AppendSlice(weights, *stack, expert, &file, &shard);
      }
      const auto header = EncodeShardHeader(file.size() - kShardHeaderBytes);
      std::memcpy(file.data(), header.data(), header.size());
      shard.hash = Sha256(std::as_bytes(std::span(file)));
      shard.file_bytes = file.size();
      cut.manifest.shards.push_back(std::move(shard));
      cut.files.push_back(std::move(file));
    }
  }
  return cut;
}

absl::Status PutFile(ShardStore* store, const ShardInfo& shard, const std::string& file) {
  SHOAL_ASSIGN_OR_RETURN(const auto incoming, store->Receive(shard));
  while (incoming->next_offset() < shard.file_bytes) {
    SHOAL_RETURN_IF_ERROR(incoming->Append(
        std::as_bytes(std::span(file)).subspan(incoming->next_offset(), incoming->next_bytes())));
  }
  return incoming->Commit();
}

}  // namespace shoal
