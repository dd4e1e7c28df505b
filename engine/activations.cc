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

int64_t WideQueries(const ModelConfig& config) {
  if (config.HasLatentAttention()) {
    return int64_t{config.n_heads} * (config.nope_dim + config.rope_dim);
  }
  return config.attention_gate ? int64_t{2} * config.n_heads * config.head_dim : 0;
}

int64_t MostChannels(const ModelConfig& config) {
  int64_t most = 0;
  for (const LayerConfig& layer : config.layers) {
    if (layer.mixer == Mixer::kShortConvolution)
      most = std::max<int64_t>(most, 3 * int64_t{config.hidden_dim});
    if (layer.mixer == Mixer::kDeltaRule) most = std::max<int64_t>(most, config.DeltaChannels());
  }
  return most;
}

}  // namespace

Activations::Activations(const ModelConfig& config, const ModelSlice& slice, int max_tokens)
    : hidden(max_tokens, config.hidden_dim),
      normed(max_tokens, config.hidden_dim),
      block_out(max_tokens, config.hidden_dim),
      q(max_tokens, int64_t{HeadsOf(config, slice)} * config.head_dim),
      k(max_tokens, int64_t{slice.kv_heads.size()} * config.head_dim),
      v(max_tokens,
        config.HasLatentAttention() ? 0 : int64_t{slice.kv_heads.size()} * config.head_dim),
      attended(max_tokens, int64_t{HeadsOf(config, slice)} * config.head_dim),
      wide_q(max_tokens, WideQueries(config)),
      q_latent(max_tokens, config.q_lora_rank),
      latent_out(max_tokens, int64_t{config.n_heads} * config.v_head_dim),
      channels(max_tokens, MostChannels(config)),
      delta_gate(max_tokens, config.DeltaValues()),
      delta_out(max_tokens, config.DeltaValues()),
      delta_ba(max_tokens, int64_t{2} * config.delta_value_heads),
      rope(RopeRowsFor(max_tokens, config.rope_dim)),
      local_rope(RopeRowsFor(config.local_rope_theta == 0 ? 0 : max_tokens, config.rope_dim)),
      router_logits(max_tokens, config.n_experts),
      shared_logits(max_tokens, config.shared_gate ? 1 : 0),
      topk_ids(size_t(max_tokens) * config.MaxPicks()),
      topk_weights(size_t(max_tokens) * config.MaxPicks()),
      weighted(config.weighted_inputs ? max_tokens * config.MaxPicks() : 0, config.hidden_dim),
      weighted_out(weighted.rows(), config.hidden_dim),
      ones(weighted.rows(), 1.0F),
      product_input(max_tokens, std::max<int64_t>({config.hidden_dim, q.cols(), q_latent.cols(),
                                                   latent_out.cols(), delta_out.cols()})),
      head_input(config.HasLatentAttention() ? max_tokens * config.n_heads : 0,
                 std::max(config.nope_dim, config.kv_lora_rank)) {
  rows.reserve(max_tokens);
  chunks.reserve(max_tokens);
  sequences.reserve(max_tokens);
}

}  // namespace shoal
