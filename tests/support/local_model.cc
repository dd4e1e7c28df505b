#include "tests/support/local_model.h"

#include <algorithm>
#include <stdexcept>

#include "absl/status/statusor.h"
#include "model/import/importer.h"
#include "model/shard_weights.h"

namespace shoal {
namespace {

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(std::string(value.status().message()));
  return *std::move(value);
}

void ThrowIfError(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(std::string(status.message()));
}

}  // namespace

LocalModel::LocalModel(const std::string& path, Options options)
    : file_(ValueOrThrow(OpenModel(path))) {
  const KernelTable& kernels = options.kernels != nullptr ? *options.kernels : SelectedKernels();
  config_ = file_.config;
  pool_ = std::make_unique<ThreadPool>(options.n_threads);
  const WeightSource& weights = Weights(path, options);
  if (options.change_config) options.change_config(config_);
  const ModelSlice slice{.layers = {0, config_.n_layers},
                         .kv_heads = {0, config_.n_kv_heads},
                         .experts = {},
                         .vocab = {0, config_.vocab_size}};
  RowFormat format = RowFormat::kF32;
  if (!options.activations_f32) format = ValueOrThrow(RowFormatOf(config_, weights));
  experts_ = ValueOrThrow(
      LocalExperts::Load(config_, weights, slice.experts, kernels, pool_.get(),
                         {.format = format, .activations_f32 = options.activations_f32}));
  kv_cache_ = ValueOrThrow(KvCache::Create(config_, slice, options.kv_type, options.kv_tokens));
  engine_ = ValueOrThrow(Engine::Create(config_, weights, slice, kernels, pool_.get(),
                                        experts_.get(), &exchange_, kv_cache_.get(),
                                        {.activations_f32 = options.activations_f32}));
}

const WeightSource& LocalModel::Weights(const std::string& path, const Options& options) {
  if (options.data == nullptr) return *file_.file;
  const ImportResult imported = ValueOrThrow(ImportModel(
      options.data, {.path = path, .n_threads = options.n_threads, .random = SystemRandom()}));
  manifest_ = ValueOrThrow(options.data->ReadModel(imported.model_id)).manifest;
  config_ = manifest_.config;
  weights_ = ValueOrThrow(
      ShardWeights::Create(&manifest_, &options.data->shards(), 2 * options.n_threads));
  return *weights_;
}

std::vector<float> LocalModel::Logits(std::span<const int32_t> ids, int chunk, int n_others) {
  const int n = static_cast<int>(ids.size());
  const int64_t vocab_size = config_.vocab_size;
  std::vector<std::vector<int32_t>> prompts(n_others + 1, {ids.begin(), ids.end()});
  std::vector<std::unique_ptr<KvSequence>> caches;
  for (size_t b = 0; b < prompts.size(); ++b) {
    std::rotate(prompts[b].begin(), prompts[b].begin() + b % n, prompts[b].end());
    caches.push_back(ValueOrThrow(kv_cache_->Reserve(n)));
  }
  std::vector<float> logits(n * vocab_size);
  for (int begin = 0; begin < n; begin += chunk) {
    const int rows = std::min(chunk, n - begin);
    std::vector<StepSequence> sequences(prompts.size());
    for (size_t b = 0; b < prompts.size(); ++b) {
      sequences[b].kv = caches[b].get();
      sequences[b].token_ids = std::span<const int32_t>(prompts[b]).subspan(begin, rows);
      sequences[b].n_logits = b == 0 ? rows : 0;
    }
    engine_->Step(sequences, {}, {logits.data() + begin * vocab_size, rows, vocab_size});
    for (const StepSequence& sequence : sequences) ThrowIfError(sequence.status);
  }
  return logits;
}

std::vector<int32_t> LocalModel::Greedy(std::span<const int32_t> ids, int n) {
  const auto kv = ValueOrThrow(kv_cache_->Reserve(static_cast<int64_t>(ids.size()) + n));
  std::vector<float> logits(config_.vocab_size);
  std::vector<int32_t> next(ids.begin(), ids.end());
  std::vector<int32_t> out;
  while (static_cast<int>(out.size()) < n) {
    StepSequence sequence{.kv = kv.get(), .token_ids = next};
    engine_->Step({&sequence, 1}, {}, {logits.data(), 1, config_.vocab_size});
    ThrowIfError(sequence.status);
    const auto best = std::max_element(logits.begin(), logits.end());
    out.push_back(static_cast<int32_t>(best - logits.begin()));
    next.assign(1, out.back());
  }
  return out;
}

}  // namespace shoal
