#include "engine/attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "kernels/rope.h"
#include "kernels/scalar_math.h"

namespace shoal {

absl::StatusOr<Attention> Attention::Load(const EngineContext& context, const Family& family,
                                          int layer, MatrixLoader* loader, int thread_idx) {
  Attention attention;
  attention.layer_ = layer;
  attention.options_ = context.config.Layer(layer);
  const auto name = [&](TensorRole role) { return TensorName(family, role, layer); };
  for (const auto& [role, matrix] : {std::pair{TensorRole::kAttnQ, &attention.w_q_},
                                     std::pair{TensorRole::kAttnK, &attention.w_k_},
                                     std::pair{TensorRole::kAttnV, &attention.w_v_},
                                     std::pair{TensorRole::kAttnOutput, &attention.w_o_}}) {
    SHOAL_ASSIGN_OR_RETURN(*matrix, loader->LoadMatrix(name(role), thread_idx));
  }
  for (const auto& [role, vector] : {std::pair{TensorRole::kAttnSinks, &attention.sinks_},
                                     std::pair{TensorRole::kAttnQNorm, &attention.w_q_norm_},
                                     std::pair{TensorRole::kAttnKNorm, &attention.w_k_norm_},
                                     std::pair{TensorRole::kAttnQBias, &attention.q_bias_},
                                     std::pair{TensorRole::kAttnKBias, &attention.k_bias_},
                                     std::pair{TensorRole::kAttnVBias, &attention.v_bias_}}) {
    SHOAL_ASSIGN_OR_RETURN(*vector, loader->LoadRole(context.config, family, role, layer));
  }
  if (context.config.qk_norm == QkNorm::kUnitAfterRope) {
    attention.w_q_norm_.assign(static_cast<size_t>(context.config.head_dim), 1);
    attention.w_k_norm_ = attention.w_q_norm_;
  }
  return attention;
}

void Attention::Forward(const EngineContext& context, Activations* a) const {
  Project(context, a);
  RotateAndStore(context, a);
  Attend(context, layer_, options_, sinks_, a);
  if (context.config.attention_gate) Gate(context, a);
  a->product_input.Set(context.kernels, context.pool, a->attended.Rows(a->n_tokens),
                       context.TakesInt8(w_o_));
  MatMul(context.kernels, context.pool, a->product_input,
         {{&w_o_, a->block_out.Rows(a->n_tokens)}});
}

void Attention::Project(const EngineContext& context, Activations* a) const {
  const int n = a->n_tokens;
  a->product_input.Set(
      context.kernels, context.pool, a->normed.Rows(n),
      context.TakesInt8(w_q_) || context.TakesInt8(w_k_) || context.TakesInt8(w_v_));
  Mat<float>& q = context.config.attention_gate ? a->wide_q : a->q;
  MatMul(context.kernels, context.pool, a->product_input,
         {{&w_q_, q.Rows(n)}, {&w_k_, a->k.Rows(n)}, {&w_v_, a->v.Rows(n)}});
}

// Adds biases, norms and turns the heads of q and k, then appends keys and values to the cache.
void Attention::RotateAndStore(const EngineContext& context, Activations* a) const {
  const KernelTable& kernels = context.kernels;
  const ModelConfig& config = context.config;
  const int head_dim = config.head_dim;
  const auto rope =
      config.rope_pairing == RopePairing::kHalf ? kernels.rope_half : kernels.rope_adjacent;
  const RopeRows& angles = options_.rope == LayerRope::kLocal ? a->local_rope : a->rope;
  const bool has_rope = options_.rope != LayerRope::kNone;
  const auto norm = [&](float* x, const std::vector<float>& w) {
    kernels.rms_norm(x, w.data(), static_cast<int64_t>(w.size()), config.rms_norm_eps, x);
  };
  const auto turn = [&](MatView<float> heads, int64_t t, const std::vector<float>& bias,
                        const std::vector<float>& w_norm) {
    float* const row = heads.row(t);
    if (!bias.empty()) kernels.add(bias.data(), heads.cols, row);
    if (config.qk_norm == QkNorm::kWhole) norm(row, w_norm);
    for (float* head = row; head < row + heads.cols; head += head_dim) {
      if (config.qk_norm == QkNorm::kHead) norm(head, w_norm);
      if (has_rope) rope(head, angles.cos.row(t), angles.sin.row(t), config.rope_dim);
      if (config.qk_norm == QkNorm::kHeadAfterRope) norm(head, w_norm);
      if (config.qk_norm == QkNorm::kUnitAfterRope && has_rope) norm(head, w_norm);
    }
  };
  const int64_t row_bytes = KvRowBytes(context.kv_cache->type(), head_dim);
  context.pool->ParallelFor(a->n_tokens, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      if (config.attention_gate) {  // Of each head the query comes first, then the gate.
        for (int64_t i = 0; i < a->q.cols(); i += head_dim) {
          std::copy_n(a->wide_q.row(t) + 2 * i, head_dim, a->q.row(t) + i);
        }
      }
      turn(a->q.view(), t, q_bias_, w_q_norm_);
      turn(a->k.view(), t, k_bias_, w_k_norm_);
      if (!has_rope && config.temperature_floor > 0) {
        const float factor = AttentionTemperature(a->rows[t].pos, config.temperature_floor,
                                                  config.temperature_scale);
        for (int64_t i = 0; i < a->q.cols(); ++i) a->q.row(t)[i] *= factor;
      }
      if (!v_bias_.empty()) kernels.add(v_bias_.data(), a->v.cols(), a->v.row(t));
      const auto& [kv, pos] = a->rows[t];
      const int64_t offset = pos % kKeyTile * row_bytes;
      for (int h = 0; h < context.slice.kv_heads.size(); ++h) {
        const int kv_head = context.slice.kv_heads.begin + h;
        auto* key = static_cast<std::byte*>(context.kv_cache->KeyTile(*kv, layer_, kv_head, pos));
        auto* value =
            static_cast<std::byte*>(context.kv_cache->ValueTile(*kv, layer_, kv_head, pos));
        kernels.store_kv(a->k.row(t) + h * head_dim, head_dim, context.kv_cache->type(),
                         key + offset);
        kernels.store_kv(a->v.row(t) + h * head_dim, head_dim, context.kv_cache->type(),
                         value + offset);
      }
    }
  });
}

// What was attended to times the sigmoid of each element's gate.
void Attention::Gate(const EngineContext& context, Activations* a) const {
  const int head_dim = context.config.head_dim;
  context.pool->ParallelFor(a->n_tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* const out = a->attended.row(t);
      for (int64_t i = 0; i < a->attended.cols(); ++i) {
        out[i] *= Sigmoid(a->wide_q.row(t)[i + (i / head_dim + 1) * head_dim]);
      }
    }
  });
}

namespace {

// Lists that one Attend task fills; kept by each thread from task to task.
struct AttendLists {
  std::vector<const float*> q;
  std::vector<float*> out;
  std::vector<int64_t> n_keys;
  std::vector<int64_t> first_keys;
  std::vector<float> sinks;
  std::vector<const void*> k_tiles;
  std::vector<const void*> v_tiles;
  std::vector<float> scratch;
};

// Query heads of one task: latent attention's all share one kv head, and there may be 128.
constexpr int kAttendHeads = 16;

// The first position that a row at `pos` sees.
int64_t FirstKey(int64_t pos, const LayerConfig& options) {
  const int64_t in_chunk = options.chunk == 0 ? 0 : pos / options.chunk * options.chunk;
  const int64_t in_window = options.window == 0 ? 0 : pos + 1 - options.window;
  return std::max(in_chunk, in_window);
}

}  // namespace

// One task per chunk of rows, kv head and some of the heads that share it.
void Attend(const EngineContext& context, int layer, const LayerConfig& options,
            std::span<const float> sinks, Activations* a) {
  const ModelConfig& config = context.config;
  const int group = config.n_heads / config.n_kv_heads;
  const int n_kv_heads = context.slice.kv_heads.size();
  const float scale = config.attention_scale != 0
                          ? config.attention_scale
                          : 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  const int n_parts = (group + kAttendHeads - 1) / kAttendHeads;
  context.pool->ParallelFor(
      static_cast<int64_t>(a->chunks.size()) * n_kv_heads * n_parts, 1,
      [&](int64_t task, int64_t, int) {
        const int first_head = static_cast<int>(task % n_parts) * kAttendHeads;
        const int end_head = std::min(first_head + kAttendHeads, group);
        const AttendChunk& chunk = a->chunks[task / n_parts / n_kv_heads];
        const int h = static_cast<int>(task / n_parts % n_kv_heads);
        const int kv_head = context.slice.kv_heads.begin + h;
        thread_local AttendLists lists;
        lists.q.clear();
        lists.out.clear();
        lists.n_keys.clear();
        lists.first_keys.clear();
        lists.sinks.clear();
        for (int t = chunk.begin; t < chunk.end; ++t) {
          for (int g = first_head; g < end_head; ++g) {
            const int64_t offset = (int64_t{h} * group + g) * config.head_dim;
            lists.q.push_back(a->q.row(t) + offset);
            lists.out.push_back(a->attended.row(t) + offset);
            lists.n_keys.push_back(a->rows[t].pos + 1);
            lists.first_keys.push_back(FirstKey(a->rows[t].pos, options));
            if (!sinks.empty()) lists.sinks.push_back(sinks[kv_head * group + g]);
          }
        }
        const StepRow& last = a->rows[chunk.end - 1];
        const int64_t first_tile = lists.first_keys.front() / kKeyTile;  // None sees one before.
        lists.k_tiles.resize(last.pos / kKeyTile + 1);
        lists.v_tiles.resize(lists.k_tiles.size());
        for (size_t tile = first_tile; tile < lists.k_tiles.size(); ++tile) {
          const auto pos = static_cast<int64_t>(tile) * kKeyTile;
          lists.k_tiles[tile] = context.kv_cache->KeyTile(*last.kv, layer, kv_head, pos);
          lists.v_tiles[tile] = context.kv_cache->ValueTile(*last.kv, layer, kv_head, pos);
        }
        lists.scratch.resize(AttendScratchFloats(config.head_dim));
        context.kernels.attend({.head_dim = config.head_dim,
                                .scale = scale,
                                .n_queries = static_cast<int>(lists.q.size()),
                                .q = lists.q.data(),
                                .out = lists.out.data(),
                                .n_keys = lists.n_keys.data(),
                                .first_keys = lists.first_keys.data(),
                                .sinks = sinks.empty() ? nullptr : lists.sinks.data(),
                                .kv_type = context.kv_cache->type(),
                                .k_tiles = lists.k_tiles.data(),
                                .v_tiles = lists.v_tiles.data(),
                                .scratch = lists.scratch.data()});
      });
}

}  // namespace shoal
