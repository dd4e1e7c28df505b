#include "engine/latent_attention.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/status_macros.h"
#include "engine/attention.h"

namespace shoal {
namespace {

constexpr float kLatentNormEps =
    1e-6F;  // Of the latents' norms, whatever the model's other norms'.

}  // namespace

absl::StatusOr<HeadMatrices> HeadMatrices::Load(const std::string& name, int n_heads,
                                                MatrixLoader* loader, int thread_idx) {
  HeadMatrices heads;
  for (int h = 0; h < n_heads; ++h) {
    SHOAL_ASSIGN_OR_RETURN(PackedMatrix w, loader->LoadExpert(name, h, thread_idx));
    heads.w_.push_back(std::move(w));
  }
  return heads;
}

absl::StatusOr<HeadMatrices> HeadMatrices::LoadCut(const std::string& name, int n_heads,
                                                   const HeadCut& cut, MatrixLoader* loader,
                                                   int thread_idx) {
  HeadMatrices heads;
  for (int64_t h = 0; h < n_heads; ++h) {
    const int64_t first = h * cut.period + cut.begin;
    SHOAL_ASSIGN_OR_RETURN(PackedMatrix w,
                           cut.transposed ? loader->LoadTransposed(name, first, cut.length)
                                          : loader->LoadRows(name, first, cut.length, thread_idx));
    heads.w_.push_back(std::move(w));
  }
  return heads;
}

void HeadMatrices::Multiply(const EngineContext& context, MatView<const float> x, int64_t x_stride,
                            MatView<float> y, int64_t y_stride, ProductInput* input) const {
  const auto n_heads = static_cast<int64_t>(w_.size());
  const PackedMatrix& first = w_.front();
  SHOAL_DCHECK(x.stride == n_heads * x_stride);
  input->Set(context.kernels, context.pool, {x.data, x.rows * n_heads, first.cols(), x_stride},
             context.TakesInt8(first));
  const RowsView all = input->RowsFor(first);
  context.pool->ParallelFor(n_heads, 1, [&](int64_t h, int64_t, int) {
    RowsView rows = all;
    rows.n_rows = x.rows;
    if (rows.q8 != nullptr) {
      rows.q8 += h * all.q8_stride;
      rows.scales += h * all.scale_stride;
      rows.q8_stride = n_heads * all.q8_stride;
      rows.scale_stride = n_heads * all.scale_stride;
    } else {
      rows.f32 += h * all.f32_stride;
      rows.f32_stride = n_heads * all.f32_stride;
    }
    context.kernels.matmul(w_[h].view(), rows, 0, w_[h].rows(), y.data + h * y_stride, y.stride);
  });
}

size_t HeadMatrices::n_bytes() const {
  size_t n = 0;
  for (const PackedMatrix& w : w_) n += w.n_bytes();
  return n;
}

absl::StatusOr<LatentAttention> LatentAttention::Load(const EngineContext& context,
                                                      const Family& family, int layer,
                                                      MatrixLoader* loader, int thread_idx) {
  using enum TensorRole;
  LatentAttention attention;
  attention.layer_ = layer;
  const ModelConfig& config = context.config;
  const auto name = [&](TensorRole role) { return TensorName(family, role, layer); };
  if (config.q_lora_rank > 0) {
    SHOAL_ASSIGN_OR_RETURN(attention.w_q_a_, loader->LoadMatrix(name(kAttnQA), thread_idx));
  }
  const TensorRole queries = config.q_lora_rank > 0 ? kAttnQB : kAttnQ;
  for (const auto& [role, matrix] :
       {std::pair{queries, &attention.w_q_}, std::pair{kAttnKvA, &attention.w_kv_},
        std::pair{kAttnOutput, &attention.w_o_}}) {
    SHOAL_ASSIGN_OR_RETURN(*matrix, loader->LoadMatrix(name(role), thread_idx));
  }
  for (const auto& [role, vector] : {std::pair{kAttnQANorm, &attention.w_q_norm_},
                                     std::pair{kAttnKvANorm, &attention.w_kv_norm_}}) {
    SHOAL_ASSIGN_OR_RETURN(*vector, loader->LoadRole(config, family, role, layer));
  }
  const int64_t period = int64_t{config.nope_dim} + config.v_head_dim;
  const HeadCut keys = {period, 0, config.nope_dim, /*transposed=*/true};
  const HeadCut values = {period, config.nope_dim, config.v_head_dim, /*transposed=*/false};
  for (const auto& [role, cut, heads] : {std::tuple{kAttnKB, &keys, &attention.w_k_},
                                         std::tuple{kAttnVB, &values, &attention.w_v_}}) {
    SHOAL_ASSIGN_OR_RETURN(
        *heads,
        loader->Has(name(role))
            ? HeadMatrices::Load(name(role), config.n_heads, loader, thread_idx)
            : HeadMatrices::LoadCut(name(kAttnKvB), config.n_heads, *cut, loader, thread_idx));
  }
  return attention;
}

void LatentAttention::Forward(const EngineContext& context, Activations* a) const {
  const ModelConfig& config = context.config;
  const int n = a->n_tokens;
  Project(context, a);
  RotateAndStore(context, a);
  w_k_.Multiply(context, a->wide_q.Rows(n), config.nope_dim + config.rope_dim, a->q.Rows(n),
                config.head_dim, &a->head_input);
  Attend(context, layer_, LayerConfig(), /*sinks=*/{}, a);
  // Of what is seen, the rotary part is not looked at.
  w_v_.Multiply(context, a->attended.Rows(n), config.head_dim, a->latent_out.Rows(n),
                config.v_head_dim, &a->head_input);
  a->product_input.Set(context.kernels, context.pool, a->latent_out.Rows(n),
                       context.TakesInt8(w_o_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_o_, a->block_out.Rows(n)}});
}

void LatentAttention::Project(const EngineContext& context, Activations* a) const {
  const int n = a->n_tokens;
  const auto set_input = [&](MatView<const float> x, const PackedMatrix& w1,
                             const PackedMatrix& w2) {
    a->product_input.Set(context.kernels, context.pool, x,
                         context.TakesInt8(w1) || context.TakesInt8(w2));
  };
  if (w_q_a_.empty()) {
    set_input(a->normed.Rows(n), w_q_, w_kv_);
    return MatMul(context.kernels, context.pool, a->product_input,
                  {{&w_q_, a->wide_q.Rows(n)}, {&w_kv_, a->k.Rows(n)}});
  }
  set_input(a->normed.Rows(n), w_q_a_, w_kv_);
  MatMul(context.kernels, context.pool, a->product_input,
         {{&w_q_a_, a->q_latent.Rows(n)}, {&w_kv_, a->k.Rows(n)}});
  context.pool->ParallelFor(n, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* const row = a->q_latent.row(t);
      context.kernels.rms_norm(row, w_q_norm_.data(), a->q_latent.cols(), kLatentNormEps, row);
    }
  });
  set_input(a->q_latent.Rows(n), w_q_, w_q_);
  MatMul(context.kernels, context.pool, a->product_input, {{&w_q_, a->wide_q.Rows(n)}});
}

// Norms the latents, turns the rotary parts, puts those of queries behind where their products with
// the keys' matrices will be, and appends the rows to the cache.
void LatentAttention::RotateAndStore(const EngineContext& context, Activations* a) const {
  const KernelTable& kernels = context.kernels;
  const ModelConfig& config = context.config;
  const auto rope =
      config.rope_pairing == RopePairing::kHalf ? kernels.rope_half : kernels.rope_adjacent;
  KvCache& cache = *context.kv_cache;
  const int64_t row_bytes = KvRowBytes(cache.type(), config.head_dim);
  context.pool->ParallelFor(a->n_tokens, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cos = a->rope.cos.row(t);
      const float* sin = a->rope.sin.row(t);
      for (int h = 0; h < config.n_heads; ++h) {
        float* const part =
            a->wide_q.row(t) + h * (config.nope_dim + config.rope_dim) + config.nope_dim;
        rope(part, cos, sin, config.rope_dim);
        std::copy_n(part, config.rope_dim,
                    a->q.row(t) + int64_t{h} * config.head_dim + config.kv_lora_rank);
      }
      float* const row = a->k.row(t);
      kernels.rms_norm(row, w_kv_norm_.data(), config.kv_lora_rank, kLatentNormEps, row);
      rope(row + config.kv_lora_rank, cos, sin, config.rope_dim);
      const auto& [kv, pos] = a->rows[t];
      auto* const tile = static_cast<std::byte*>(cache.KeyTile(*kv, layer_, /*kv_head=*/0, pos));
      kernels.store_kv(row, config.head_dim, cache.type(), tile + pos % kKeyTile * row_bytes);
    }
  });
}

size_t LatentAttention::n_bytes() const {
  return w_q_a_.n_bytes() + w_q_.n_bytes() + w_kv_.n_bytes() + w_k_.n_bytes() + w_v_.n_bytes() +
         w_o_.n_bytes();
}

}  // namespace shoal
