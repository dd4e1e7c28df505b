#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal {

// A stretch of a text that is read from an empty cache, and which of its tokens are scored: those
// from `first_scored` on, each by what the tokens before it in the window foretell.
struct EvalWindow {
  int64_t begin = 0;     // Into the text's ids.
  int n_tokens = 0;      // At least 2.
  int first_scored = 1;  // In [1, n_tokens).

  int n_scored() const { return n_tokens - first_scored; }
};

// How a text is cut. stride 0 is llama.cpp's habit: windows of ctx_size tokens side by side, the
// second half of each scored, what is left at the end unread. Otherwise it is Hugging Face's:
// windows that begin every `stride` tokens, each scoring what none before it has scored.
struct EvalCut {
  int ctx_size = 512;  // Tokens of a window, at least 4.
  int stride = 0;      // In [0, ctx_size].
};

// InvalidArgument, with the numbers, when the text gives nothing to score or `cut` is out of range.
absl::StatusOr<std::vector<EvalWindow>> PlanWindows(int64_t n_ids, const EvalCut& cut);

// Tokens that all windows score.
int64_t CountScored(const std::vector<EvalWindow>& windows);

}  // namespace shoal
