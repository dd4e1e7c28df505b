#include "engine/quality/evaluate.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/mat.h"

namespace shoal {
namespace {

constexpr int64_t kLogitsBytes = int64_t{64} << 20;  // Of one step.

// Rows of a step whose logits are wanted.
int ScoredRows(int vocab_size) {
  return static_cast<int>(std::clamp<int64_t>(kLogitsBytes / 4 / vocab_size, 1, kMaxStepTokens));
}

class Evaluation {
 public:
  explicit Evaluation(const EvalRun& run)
      : run_(run),
        vocab_size_(run.engine->config().vocab_size),
        logits_(ScoredRows(vocab_size_), vocab_size_) {
    for (const EvalWindow& window : run.windows) n_all_ += window.n_tokens - 1;
  }

  absl::StatusOr<QualityReport> Run() {
    for (const EvalWindow& window : run_.windows) SHOAL_RETURN_IF_ERROR(ReadWindow(window));
    return report_;
  }

 private:
  // The last token is foretold and never read.
  absl::Status ReadWindow(const EvalWindow& window) {
    const auto ids =
        run_.ids.subspan(static_cast<size_t>(window.begin), static_cast<size_t>(window.n_tokens));
    window_.assign(ids.begin(), ids.end());
    if (run_.window_bos >= 0) window_.front() = run_.window_bos;
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<KvSequence> kv,
                           run_.kv_cache->Reserve(window.n_tokens));
    const int first_row = window.first_scored - 1;
    for (int row = 0; row < window.n_tokens - 1;) {
      const bool scored = row >= first_row;
      const int end =
          scored ? std::min<int>(row + static_cast<int>(logits_.rows()), window.n_tokens - 1)
                 : std::min(row + kMaxStepTokens, first_row);
      SHOAL_RETURN_IF_ERROR(ReadRows(kv.get(), row, end, scored));
      n_done_ += end - row;
      if (run_.on_progress) run_.on_progress(n_done_, n_all_);
      row = end;
    }
    return absl::OkStatus();
  }

  absl::Status ReadRows(KvSequence* kv, int begin, int end, bool scored) {
    const int n = end - begin;
    StepSequence sequence{.kv = kv,
                          .token_ids = std::span<const int32_t>(window_).subspan(
                              static_cast<size_t>(begin), static_cast<size_t>(n)),
                          .n_logits = scored ? n : 0};
    run_.engine->Step({&sequence, 1}, {.step_id = static_cast<uint64_t>(n_done_)},
                      logits_.view().Rows(0, scored ? n : 0));
    SHOAL_RETURN_IF_ERROR(sequence.status);
    return scored ? ScoreRows(begin, n) : absl::OkStatus();
  }

  // Row i of the step foretells the token at begin + i + 1.
  absl::Status ScoreRows(int begin, int n) {
    const bool compare = run_.reference != nullptr;
    references_.resize(compare ? static_cast<size_t>(n) : 0);
    for (ReferenceRow& row : references_) {
      SHOAL_ASSIGN_OR_RETURN(row, run_.reference->Next());
    }
    scores_.resize(static_cast<size_t>(n));
    summaries_.resize(run_.save != nullptr ? static_cast<size_t>(n) : 0);
    run_.pool->ParallelFor(n, 1, [&](int64_t first, int64_t last, int) {
      for (int64_t i = first; i < last; ++i) {
        const auto at = static_cast<size_t>(i);
        const std::span<const float> row(logits_.view().row(i), static_cast<size_t>(vocab_size_));
        const int32_t target = window_[static_cast<size_t>(begin) + at + 1];
        scores_[at] = ScoreRow(row, target, compare ? &references_[at] : nullptr);
        if (run_.save == nullptr || !std::isfinite(scores_[at].log_prob)) continue;
        summaries_[at] = SummarizeRow(row, target, run_.save->header().n_top);
      }
    });
    for (size_t i = 0; i < scores_.size(); ++i) {
      if (!std::isfinite(scores_[i].log_prob)) {
        return absl::InternalError(
            "the model's logits are not finite; its weights are damaged, or "
            "too large for what they are stored in");
      }
      report_.Add(scores_[i], compare ? &references_[i] : nullptr);
      if (run_.save != nullptr) SHOAL_RETURN_IF_ERROR(run_.save->Append(summaries_[i]));
    }
    return absl::OkStatus();
  }

  const EvalRun& run_;
  const int vocab_size_;
  Mat<float> logits_;  // [ScoredRows, vocab_size]
  std::vector<int32_t> window_;
  std::vector<ReferenceRow> references_;
  std::vector<RowScore> scores_;
  std::vector<ReferenceRow> summaries_;
  int64_t n_done_ = 0;
  int64_t n_all_ = 0;
  QualityReport report_;
};

}  // namespace

void QualityReport::Add(const RowScore& score, const ReferenceRow* reference) {
  ++n_scored;
  nll -= score.log_prob;
  nll_squared += score.log_prob * score.log_prob;
  if (reference == nullptr) return;
  reference_nll -= reference->target_log_prob;
  kl += score.kl;
  n_agreed += score.agrees ? 1 : 0;
}

double QualityReport::Perplexity() const { return std::exp(nll / static_cast<double>(n_scored)); }

double QualityReport::PerplexityError() const {
  if (n_scored < 2) return 0.0;
  const auto n = static_cast<double>(n_scored);
  const double mean = nll / n;
  const double variance = std::max(nll_squared / n - mean * mean, 0.0);
  return Perplexity() * std::sqrt(variance / (n - 1.0));
}

double QualityReport::ReferencePerplexity() const {
  return std::exp(reference_nll / static_cast<double>(n_scored));
}

double QualityReport::MeanKl() const { return kl / static_cast<double>(n_scored); }

double QualityReport::Top1Agreement() const {
  return static_cast<double>(n_agreed) / static_cast<double>(n_scored);
}

absl::StatusOr<QualityReport> Evaluate(const EvalRun& run) { return Evaluation(run).Run(); }

absl::Status CheckReference(const ReferenceHeader& reference, const ReferenceHeader& expected) {
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the reference, saved for ", Quoted(reference.model), ", ", what,
        "; compare what was made with one text, one vocabulary and one way to cut it"));
  };
  if (reference.vocab_size != expected.vocab_size) {
    return refuse(absl::StrCat("has ", reference.vocab_size, " tokens in its vocabulary, not ",
                               expected.vocab_size));
  }
  if (reference.ctx_size != expected.ctx_size || reference.stride != expected.stride) {
    return refuse(absl::StrCat("has --ctx-size ", reference.ctx_size, " --stride ",
                               reference.stride, ", not ", expected.ctx_size, " and ",
                               expected.stride));
  }
  if (reference.text != expected.text || reference.n_rows != expected.n_rows) {
    return refuse("is about another text, or other ids of it");
  }
  return absl::OkStatus();
}

}  // namespace shoal
