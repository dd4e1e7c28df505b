#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "engine/quality/eval_windows.h"
#include "engine/quality/reference_logits.h"
#include "engine/quality/row_score.h"

namespace shoal {

// How well a model foretells a text, and how near it comes to a reference.
struct QualityReport {
  int64_t n_scored = 0;
  double nll = 0;            // Sum of -ln p of the text's tokens,
  double nll_squared = 0;    // and of its squares.
  double reference_nll = 0;  // The reference's own; 0 without one, as all below.
  double kl = 0;             // Sum over tokens, nats.
  int64_t n_agreed = 0;      // Tokens whose most likely id is the reference's.

  double Perplexity() const;
  double PerplexityError() const;  // Standard error, from the spread of -ln p.
  double ReferencePerplexity() const;
  double MeanKl() const;
  double Top1Agreement() const;  // In [0, 1].

  void Add(const RowScore& score, const ReferenceRow* reference);
};

struct EvalRun {
  Engine* engine = nullptr;
  KvCache* kv_cache = nullptr;  // Room for one window.
  ThreadPool* pool = nullptr;   // The engine's: it rests while rows are scored.
  std::span<const int32_t> ids = {};
  std::span<const EvalWindow> windows = {};
  int32_t window_bos = -1;               // In place of each window's first id; -1: none.
  ReferenceReader* reference = nullptr;  // Or null; as many rows as the windows score.
  ReferenceWriter* save = nullptr;       // Or null; likewise.
  std::function<void(int64_t done, int64_t all)> on_progress = {};  // Tokens read; or empty.
};

// Reads every window and scores it. The same bits with any number of threads. Errors: the engine's,
// the files', and Internal when logits are not finite.
absl::StatusOr<QualityReport> Evaluate(const EvalRun& run);

// InvalidArgument, naming what differs, unless `reference` is about these ids, cut so, and a
// vocabulary of this size.
absl::Status CheckReference(const ReferenceHeader& reference, const ReferenceHeader& expected);

}  // namespace shoal
