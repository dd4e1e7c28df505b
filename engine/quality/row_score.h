#pragma once

#include <cstdint>
#include <span>

#include "engine/quality/reference_logits.h"

namespace shoal {

// What one row of logits says of the token that follows.
struct RowScore {
  double log_prob = 0;  // Of that token.
  double kl = 0;        // KL(reference || row), nats; ids outside the reference's top count as one.
  bool agrees = false;  // The most likely ids are the same.
};

// logits: [vocab_size], finite; target in [0, vocab_size). `reference` may be null: kl and agrees
// are left. All sums in double, ids ascending.
RowScore ScoreRow(std::span<const float> logits, int32_t target, const ReferenceRow* reference);

// The same row as a reference keeps it, n_top in [1, vocab_size].
ReferenceRow SummarizeRow(std::span<const float> logits, int32_t target, int n_top);

}  // namespace shoal
