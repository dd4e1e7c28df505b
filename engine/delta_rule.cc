#include "engine/delta_rule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "kernels/scalar_math.h"
#include "kernels/softplus.h"

namespace shoal {
namespace {

constexpr int64_t kChannelsPerTask = 256;
constexpr float kLengthEps = 1e-6F;  // Beside the squared length that q and k are divided by.

}  // namespace

absl::StatusOr<DeltaRule> DeltaRule::Load(const EngineContext& context, const Family& family,
                                          int layer, MatrixLoader* loader, int thread_idx) {
  using enum TensorRole;
  DeltaRule block;
  block.layer_ = layer;
  const ModelConfig& config = context.config;
  const auto name = [&](TensorRole role) { return TensorName(family, role, layer); };
  for (const auto& [role, matrix] :
       {std::pair{kDeltaQkv, &block.w_qkv_}, std::pair{kDeltaGate, &block.w_gate_},
        std::pair{kDeltaBa, &block.w_ba_}, std::pair{kDeltaOut, &block.w_out_}}) {
    SHOAL_ASSIGN_OR_RETURN(*matrix, loader->LoadMatrix(name(role), thread_idx));
  }
  for (const auto& [role, vector] :
       {std::pair{kDeltaA, &block.a_}, std::pair{kDeltaDtBias, &block.dt_bias_},
        std::pair{kDeltaNorm, &block.w_norm_}}) {
    SHOAL_ASSIGN_OR_RETURN(*vector, loader->LoadVector(name(role)));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::vector<float> weights, loader->LoadVector(name(kDeltaConv)));
  block.convolution_ = CausalConvolution(weights, config.DeltaChannels());
  block.ones_.assign(config.DeltaChannels(), 1.0F);
  const auto length = static_cast<float>(config.delta_key_dim);
  block.w_q_.assign(config.delta_key_dim, 1.0F / length);
  block.w_k_.assign(config.delta_key_dim, 1.0F / std::sqrt(length));
  return block;
}

void DeltaRule::Forward(const EngineContext& context, Activations* a) const {
  const int n = a->n_tokens;
  Project(context, a);
  Convolve(context, a);
  NormKeysAndQueries(context, a);
  RunHeads(context, a);
  GateOutputs(context, a);
  a->product_input.Set(context.kernels, context.pool, a->delta_out.Rows(n),
                       context.TakesInt8(w_out_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_out_, a->block_out.Rows(n)}});
}

void DeltaRule::Project(const EngineContext& context, Activations* a) const {
  const int n = a->n_tokens;
  a->product_input.Set(
      context.kernels, context.pool, a->normed.Rows(n),
      context.TakesInt8(w_qkv_) || context.TakesInt8(w_gate_) || context.TakesInt8(w_ba_));
  MatMul(context.kernels, context.pool, a->product_input,
         {{&w_qkv_, a->channels.Rows(n)},
          {&w_gate_, a->delta_gate.Rows(n)},
          {&w_ba_, a->delta_ba.Rows(n)}});
}

void DeltaRule::Convolve(const EngineContext& context, Activations* a) const {
  const int64_t n_channels = convolution_.n_channels();
  const int64_t n_parts = (n_channels + kChannelsPerTask - 1) / kChannelsPerTask;
  const auto n_tasks = static_cast<int64_t>(a->sequences.size()) * n_parts;
  context.pool->ParallelFor(n_tasks, 1, [&](int64_t task, int64_t, int) {
    const AttendChunk& rows = a->sequences[task / n_parts];
    const int64_t begin = task % n_parts * kChannelsPerTask;
    const int64_t end = std::min(begin + kChannelsPerTask, n_channels);
    const KvSequence& kv = *a->rows[rows.begin].kv;
    convolution_.Apply(context.kv_cache->State(kv, layer_), context.kv_cache->NextState(kv, layer_),
                       a->channels.row(rows.begin), a->channels.cols(), rows.end - rows.begin,
                       begin, end);
    for (int t = rows.begin; t < rows.end; ++t) {
      float* const row = a->channels.row(t) + begin;
      context.kernels.silu_mul(row, ones_.data(), end - begin, row);
    }
  });
}

// To unit length, queries further by the root of their dimension: RMS norms with one weight do it.
void DeltaRule::NormKeysAndQueries(const EngineContext& context, Activations* a) const {
  const ModelConfig& config = context.config;
  const int64_t dim = config.delta_key_dim;
  const float eps = kLengthEps / static_cast<float>(dim);
  context.pool->ParallelFor(a->n_tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int h = 0; h < 2 * config.delta_key_heads; ++h) {
        float* const head = a->channels.row(t) + h * dim;
        const std::vector<float>& w = h < config.delta_key_heads ? w_q_ : w_k_;
        context.kernels.rms_norm(head, w.data(), dim, eps, head);
      }
    }
  });
}

void DeltaRule::RunHeads(const EngineContext& context, Activations* a) const {
  const int n_heads = context.config.delta_value_heads;
  const auto n_tasks = static_cast<int64_t>(a->sequences.size()) * n_heads;
  context.pool->ParallelFor(n_tasks, 1, [&](int64_t task, int64_t, int) {
    RunHead(context, a->sequences[task / n_heads], static_cast<int>(task % n_heads), a);
  });
}

// One value head over the rows of one sequence. Its matrix lies by keys: row k is what key k has
// for each value.
void DeltaRule::RunHead(const EngineContext& context, const AttendChunk& rows, int head,
                        Activations* a) const {
  const ModelConfig& config = context.config;
  const auto axpy = context.kernels.axpy;
  const int group = config.delta_value_heads / config.delta_key_heads;
  const int64_t key_dim = config.delta_key_dim;
  const int64_t value_dim = config.delta_value_dim;
  const int64_t n_keys = config.delta_key_heads * key_dim;
  const int64_t offset = convolution_.state_floats() + head * key_dim * value_dim;
  const KvSequence& kv = *a->rows[rows.begin].kv;
  const float* from = context.kv_cache->State(kv, layer_) + offset;
  float* const s = context.kv_cache->NextState(kv, layer_) + offset;
  thread_local std::vector<float> correction;
  correction.resize(value_dim);
  for (int t = rows.begin; t < rows.end; ++t, from = s) {
    const float* q = a->channels.row(t) + head / group * key_dim;
    const float* k = q + n_keys;
    const float* v = a->channels.row(t) + 2 * n_keys + head * value_dim;
    const float* ba = a->delta_ba.row(t) + head / group * 2 * group + head % group;
    const float beta = Sigmoid(ba[0]);
    const float decay = Exp(a_[head] * Softplus(ba[group] + dt_bias_[head]));
    for (int64_t i = 0; i < key_dim * value_dim; ++i) s[i] = from[i] * decay;
    std::fill(correction.begin(), correction.end(), 0.0F);
    for (int64_t i = 0; i < key_dim; ++i)
      axpy(k[i], s + i * value_dim, value_dim, correction.data());
    for (int64_t i = 0; i < value_dim; ++i) correction[i] = (v[i] - correction[i]) * beta;
    float* const out = a->delta_out.row(t) + head * value_dim;
    std::fill_n(out, value_dim, 0.0F);
    for (int64_t i = 0; i < key_dim; ++i) {
      axpy(k[i], correction.data(), value_dim, s + i * value_dim);
      axpy(q[i], s + i * value_dim, value_dim, out);
    }
  }
}

// Norms each head's output, then multiplies it by the SiLU of its gate.
void DeltaRule::GateOutputs(const EngineContext& context, Activations* a) const {
  const int64_t dim = context.config.delta_value_dim;
  context.pool->ParallelFor(a->n_tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* const row = a->delta_out.row(t);
      for (float* head = row; head < row + a->delta_out.cols(); head += dim) {
        context.kernels.rms_norm(head, w_norm_.data(), dim, context.config.rms_norm_eps, head);
      }
      context.kernels.silu_mul(a->delta_gate.row(t), row, a->delta_out.cols(), row);
    }
  });
}

}  // namespace shoal
