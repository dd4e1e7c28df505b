#include "cli/model_loader.h"

#include <sched.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status_macros.h"
#include "cli/local_workers.h"
#include "cli/node.h"
#include "proto/grpc_transport.h"

namespace shoal {
namespace {

constexpr absl::Duration kServableTime = absl::Seconds(10);  // Workers listen already.

}  // namespace

int DefaultThreads() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) return std::max(CPU_COUNT(&cpus), 1);
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

absl::StatusOr<KvType> ParseKvType(const std::string& name) {
  if (name == "f16") return KvType::kF16;
  if (name == "f32") return KvType::kF32;
  if (name == "q8_0") return KvType::kQ8_0;
  return absl::InvalidArgumentError(
      absl::StrCat("--kv-type: '", name, "' is not one of f16, f32, q8_0"));
}

LoadedModel::~LoadedModel() = default;

absl::StatusOr<LoadedModel::Room> LoadedModel::Check(const ModelOptions& options) {
  LoadedModel model(SelectedKernels());
  SHOAL_RETURN_IF_ERROR(model.Open(options));
  SHOAL_ASSIGN_OR_RETURN(const int64_t free, model.FreeMemory(options));
  const uint64_t expert_bytes = model.source_->expert_bytes();
  return Room{static_cast<uint64_t>(free) + expert_bytes, expert_bytes};
}

absl::Status LoadedModel::OpenSource(const ModelOptions& options) {
  DataDirectory* data = options.node != nullptr ? &options.node->data() : options.data;
  if (data == nullptr) {
    SHOAL_ASSIGN_OR_RETURN(source_, OpenForeignModel(options.model_path));
    return absl::OkStatus();
  }
  const int n_threads = options.threads > 0 ? options.threads : DefaultThreads();
  SHOAL_ASSIGN_OR_RETURN(source_, OpenStoredModel(data, options.model_id, n_threads));
  return absl::OkStatus();
}

absl::Status LoadedModel::Open(const ModelOptions& options) {
  SHOAL_RETURN_IF_ERROR(OpenSource(options));
  const ModelConfig& config = source_->config();
  if (options.ctx_size > config.context_length) {
    return absl::InvalidArgumentError(absl::StrCat("--ctx-size: ", options.ctx_size,
                                                   " is more than the model's context of ",
                                                   config.context_length));
  }
  ctx_size_ =
      options.ctx_size > 0 ? options.ctx_size : std::min(config.context_length, kDefaultContext);
  kv_tokens_ = options.kv_tokens > 0 ? options.kv_tokens : kDefaultSequences * ctx_size_;
  slice_ = {.layers = {0, config.n_layers},
            .kv_heads = {0, config.n_kv_heads},
            .experts = {.part = 0, .n_parts = options.has_remote_experts() ? 0 : 1},
            .vocab = {0, config.vocab_size}};
  return FreeMemory(options).status();
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadedModel::Load(const ModelOptions& options) {
  auto model = std::unique_ptr<LoadedModel>(new LoadedModel(SelectedKernels()));
  SHOAL_RETURN_IF_ERROR(model->Open(options));
  const ModelConfig& config = model->config();
  SHOAL_ASSIGN_OR_RETURN(
      model->kv_cache_, KvCache::Create(config, model->slice_, options.kv_type, model->kv_tokens_));
  model->pool_ =
      std::make_unique<ThreadPool>(options.threads > 0 ? options.threads : DefaultThreads());
  SHOAL_RETURN_IF_ERROR(model->LoadExperts(options));
  ExpertExecutor* experts = model->local_experts_.get();
  if (experts == nullptr) experts = model->remote_experts_.get();
  SHOAL_ASSIGN_OR_RETURN(
      model->engine_,
      Engine::Create(config, model->source_->weights(), model->slice_, model->kernels_,
                     model->pool_.get(), experts, &model->exchange_, model->kv_cache_.get(),
                     {.max_step_tokens = options.max_step_tokens,
                      .activations_f32 = options.activations_f32}));
  model->source_->DropCache();
  return model;
}

// The cache is taken page by page as it fills, so a cache that can never fill is refused here.
absl::StatusOr<int64_t> LoadedModel::FreeMemory(const ModelOptions& options) const {
  const int64_t kv_bytes = KvCache::BytesFor(config(), slice_, options.kv_type, kv_tokens_);
  int64_t weight_bytes = static_cast<int64_t>(source_->n_bytes());
  if (options.has_remote_experts()) weight_bytes -= static_cast<int64_t>(source_->expert_bytes());
  const int64_t available = AvailableMemoryBytes();
  if (kv_bytes <= available - weight_bytes) return available - weight_bytes - kv_bytes;
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough memory: a KV cache of ", kv_tokens_, " positions takes ", kv_bytes >> 20,
      " MiB and the weights ", weight_bytes >> 20, " MiB, but ", available >> 20,
      " MiB are available; lower --ctx-size or use a smaller --kv-type"));
}

absl::Status LoadedModel::LoadExperts(const ModelOptions& options) {
  RowFormat format = RowFormat::kF32;
  if (!options.activations_f32) {
    SHOAL_ASSIGN_OR_RETURN(format, RowFormatOf(config(), source_->weights()));
  }
  if (!options.has_remote_experts()) {
    SHOAL_ASSIGN_OR_RETURN(
        local_experts_,
        LocalExperts::Load(config(), source_->weights(), slice_.experts, kernels_, pool_.get(),
                           {.format = format, .activations_f32 = options.activations_f32}));
    return absl::OkStatus();
  }
  return ConnectExperts(options, format);
}

absl::Status LoadedModel::ConnectExperts(const ModelOptions& options, RowFormat format) {
  RemoteExperts::Options remote = RemoteExperts::OptionsFor(config(), format, kernels_);
  remote.model_id = source_->model_id();
  remote.activations_f32 = options.activations_f32;
  const auto credentials = options.node != nullptr ? options.node->credentials() : nullptr;
  const absl::Duration spin =
      options.node != nullptr ? options.spin : SpinFor(static_cast<int>(options.workers.size()));
  SHOAL_ASSIGN_OR_RETURN(
      remote_experts_,
      RemoteExperts::Create(std::move(remote),
                            NewGrpcDialer({.credentials = credentials, .spin = spin}),
                            NewGrpcDialer({.credentials = credentials})));
  if (options.node != nullptr) return absl::OkStatus();
  remote_experts_->SetMembers(StaticMembers(options.workers));
  return remote_experts_->WaitUntilServable(MonotonicNow() + kServableTime);
}

}  // namespace shoal
