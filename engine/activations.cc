#include "engine/activations.h"

#include <algorithm>

namespace shoal {
namespace {

int HeadsOf(const ModelConfig& config, const ModelSlice& slice) {
  return slice.kv_heads.size() * (config.n_heads / config.n_kv_heads);
}

RopeRows RopeRowsFor(int max_tokens, int rope_dim) {
  return {Mat<float>(max_tokens, rope_dim / 2), Mat<float>(max_tokens, rope_dim / 2)};
}

}  // namespace

Activations::Activations(const ModelConfig& config, const ModelSlice& slice, int max_tokens)
    : hidden(max_tokens, config.hidden_dim),
      normed(max_tokens, config.hidden_dim),
      block_out(max_tokens, config.hidden_dim),
      q(max_tokens, int64_t{HeadsOf(config, slice)} * config.head_dim),
      k(max_tokens, int64_t{slice.kv_heads.size()} * config.head_dim),
      v(max_tokens, int64_t{slice.kv_heads.size()} * config.head_dim),
      attended(max_tokens, int64_t{HeadsOf(config, slice)} * config.head_dim),
      rope(RopeRowsFor(max_tokens, config.rope_dim)),
      local_rope(RopeRowsFor(config.local_rope_theta == 0 ? 0 : max_tokens, config.rope_dim)),
      router_logits(max_tokens, config.n_experts),
      shared_logits(max_tokens, config.shared_gate ? 1 : 0),
      topk_ids(size_t(max_tokens) * config.MaxPicks()),
      topk_weights(size_t(max_tokens) * config.MaxPicks()),
      product_input(max_tokens, std::max<int64_t>(config.hidden_dim, q.cols())) {
  rows.reserve(max_tokens);
  chunks.reserve(max_tokens);
}

}  // namespace shoal
