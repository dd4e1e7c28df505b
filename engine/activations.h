#pragma once

#include <cstdint>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/model_slice.h"
#include "engine/product.h"
#include "model/mat.h"
#include "model/model_config.h"

namespace shoal {

// The rows of one step: whose they are and at which position.
struct StepRow {
  KvSequence* kv;
  int64_t pos;
};

// Rows [begin, end) of one sequence whose attention one task computes, for one kv head.
struct AttendChunk {
  int begin;
  int end;
};

// Cosines and sines of a step's rows: [max_tokens, rope_dim / 2] each.
struct RopeRows {
  Mat<float> cos;
  Mat<float> sin;
};

// Every buffer of a step, allocated once; a step uses the first n_tokens rows of each.
struct Activations {
  Activations(const ModelConfig& config, const ModelSlice& slice, int max_tokens);

  int n_tokens = 0;
  std::vector<StepRow> rows;           // [n_tokens]
  std::vector<AttendChunk> chunks;     // Cover the rows, none crossing a sequence's border.
  std::vector<AttendChunk> sequences;  // The rows of each sequence.

  Mat<float> hidden;     // [max_tokens, hidden_dim] the residual stream
  Mat<float> normed;     // [max_tokens, hidden_dim] input of the block at work
  Mat<float> block_out;  // [max_tokens, hidden_dim] its output
  Mat<float> q;          // [max_tokens, n_heads * head_dim]
  Mat<float> k;          // [max_tokens, n_kv_heads * head_dim]
  Mat<float> v;          // [max_tokens, n_kv_heads * head_dim]
  Mat<float> attended;   // [max_tokens, n_heads * head_dim] before the output projection
  // As the product gives queries where q has them in another order: of latent attention
  // [max_tokens, n_heads * (nope_dim + rope_dim)], with gates [max_tokens, 2 * n_heads * head_dim].
  Mat<float> wide_q;
  Mat<float> q_latent;    // [max_tokens, q_lora_rank]
  Mat<float> latent_out;  // [max_tokens, n_heads * v_head_dim]
  Mat<float> channels;    // [max_tokens, the most channels of any convolution's layer]
  Mat<float> delta_gate;  // [max_tokens, DeltaValues()], as is the next
  Mat<float> delta_out;
  Mat<float> delta_ba;              // [max_tokens, 2 * delta_value_heads]
  RopeRows rope;                    // For layers with LayerRope::kModel
  RopeRows local_rope;              // and with kLocal, empty in models without such layers.
  Mat<float> router_logits;         // [max_tokens, n_experts]
  Mat<float> shared_logits;         // [max_tokens, 1] of a gated shared expert
  std::vector<int32_t> topk_ids;    // [max_tokens, picks of the layer]
  std::vector<float> topk_weights;  // [max_tokens, picks of the layer]
  Mat<float> weighted;         // [max_tokens * picks, hidden_dim] of experts with weighted inputs
  Mat<float> weighted_out;     // and what comes back; empty in other models
  std::vector<float> ones;     // [max_tokens * picks] their weights
  ProductInput product_input;  // Whatever is multiplied next.
  ProductInput head_input;     // The same of heads that have a matrix each.
};

}  // namespace shoal
