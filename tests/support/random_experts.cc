#include "tests/support/random_experts.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "kernels/kernel_table.h"
#include "model/families/family.h"

namespace shoal {
namespace {

constexpr uint16_t kHundredthF16 = 0x211f;  // About 0.01.

std::vector<std::byte> RandomWeights(DType dtype, int64_t n_elems, std::mt19937_64& rng) {
  std::vector<std::byte> bytes(RowBytes(dtype, n_elems));
  if (dtype == DType::kF32 || dtype == DType::kBF16) {
    std::normal_distribution<float> normal(0.0F, 0.1F);
    for (int64_t i = 0; i < n_elems; ++i) {
      const auto bits = std::bit_cast<uint32_t>(normal(rng));
      if (dtype == DType::kF32) {
        std::memcpy(bytes.data() + i * sizeof(bits), &bits, sizeof(bits));
      } else {
        const auto upper = static_cast<uint16_t>(bits >> 16);
        std::memcpy(bytes.data() + i * sizeof(upper), &upper, sizeof(upper));
      }
    }
    return bytes;
  }
  if (dtype == DType::kQ4_0) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng() % 256);
    for (size_t i = 0; i < bytes.size(); i += sizeof(BlockQ4_0)) {
      const auto d = static_cast<uint16_t>(kHundredthF16 + rng() % 64);
      std::memcpy(bytes.data() + i, &d, sizeof(d));
    }
    return bytes;
  }
  SHOAL_CHECK(dtype == DType::kQ8_0);
  for (size_t i = 0; i < bytes.size() / sizeof(BlockQ8_0); ++i) {
    BlockQ8_0 block{.d = static_cast<uint16_t>(kHundredthF16 + rng() % 64), .q = {}};
    for (int8_t& q : block.q) q = static_cast<int8_t>(static_cast<int>(rng() % 255) - 127);
    std::memcpy(bytes.data() + i * sizeof(block), &block, sizeof(block));
  }
  return bytes;
}

}  // namespace

void MemoryWeights::Add(std::string name, DType dtype, std::vector<int64_t> shape,
                        std::vector<std::byte> bytes) {
  auto entry = std::make_unique<Entry>();
  entry->info = {.name = name, .dtype = dtype, .shape = std::move(shape), .n_bytes = bytes.size()};
  entry->bytes = std::move(bytes);
  entries_[name] = std::move(entry);
}

const TensorInfo* MemoryWeights::Find(std::string_view name) const {
  const auto found = entries_.find(std::string(name));
  return found == entries_.end() ? nullptr : &found->second->info;
}

absl::Status MemoryWeights::Read(const TensorInfo& tensor, uint64_t offset,
                                 std::span<std::byte> out) const {
  const Entry& entry = *entries_.at(tensor.name);
  if (offset > entry.bytes.size() || out.size() > entry.bytes.size() - offset) {
    return absl::DataLossError(absl::StrCat(tensor.name, ": read past its end"));
  }
  std::memcpy(out.data(), entry.bytes.data() + offset, out.size());
  return absl::OkStatus();
}

ModelConfig TinyExpertsConfig() {
  ModelConfig config;
  config.architecture = "qwen3moe";
  config.n_layers = 2;
  config.hidden_dim = 96;
  config.n_experts = 10;
  config.top_k = 3;
  config.ffn_dim = 64;
  return config;
}

std::unique_ptr<MemoryWeights> RandomExpertWeights(const ModelConfig& config, DType dtype,
                                                   uint64_t seed) {
  std::mt19937_64 rng(seed);
  auto weights = std::make_unique<MemoryWeights>();
  const Family& family = *FindFamily(config.architecture);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (const TensorSpec& spec : family.tensors) {
      if (PlaceOf(spec) != TensorPlace::kExpert || !Applies(spec, config, layer)) continue;
      const std::vector<int64_t> shape = TensorShape(spec, config);
      const int64_t n_elems =
          std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
      weights->Add(TensorName(spec, layer), dtype, shape, RandomWeights(dtype, n_elems, rng));
    }
  }
  return weights;
}

LoadedExperts LoadExperts(const ModelConfig& config, const WeightSource& weights,
                          const ExpertSlice& slice, LocalExperts::Options options) {
  LoadedExperts loaded;
  loaded.pool = std::make_unique<ThreadPool>(1);
  auto experts =
      LocalExperts::Load(config, weights, slice, SelectedKernels(), loaded.pool.get(), options);
  SHOAL_CHECK(experts.ok());
  loaded.experts = *std::move(experts);
  return loaded;
}

RandomRows::RandomRows(const ModelConfig& config, int n_tokens, uint64_t seed)
    : x(n_tokens, config.hidden_dim) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<float> normal;
  std::generate(x.data(), x.data() + n_tokens * config.hidden_dim, [&] { return normal(rng); });
  std::vector<int32_t> ids(config.n_experts);
  for (int t = 0; t < n_tokens; ++t) {
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), rng);
    std::sort(ids.begin(), ids.begin() + config.top_k);
    topk_ids.insert(topk_ids.end(), ids.begin(), ids.begin() + config.top_k);
    std::vector<float> weights(config.top_k);
    std::generate(weights.begin(), weights.end(), [&] { return 0.1F + std::abs(normal(rng)); });
    const float sum = std::accumulate(weights.begin(), weights.end(), 0.0F);
    for (const float w : weights) topk_weights.push_back(w / sum);
  }
  routing = {.n_tokens = n_tokens,
             .top_k = config.top_k,
             .topk_ids = topk_ids,
             .topk_weights = topk_weights};
}

}  // namespace shoal
