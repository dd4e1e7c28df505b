#include "engine/quality/eval_windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

constexpr int kMinWindow = 4;

std::vector<EvalWindow> SideBySide(int64_t n_ids, int ctx_size) {
  std::vector<EvalWindow> windows;
  for (int64_t begin = 0; begin + ctx_size <= n_ids; begin += ctx_size) {
    windows.push_back({.begin = begin, .n_tokens = ctx_size, .first_scored = ctx_size / 2 + 1});
  }
  return windows;
}

std::vector<EvalWindow> Sliding(int64_t n_ids, const EvalCut& cut) {
  std::vector<EvalWindow> windows;
  int64_t scored_to = 1;  // Nothing foretells the first.
  for (int64_t begin = 0; scored_to < n_ids; begin += cut.stride) {
    const int64_t end = std::min<int64_t>(begin + cut.ctx_size, n_ids);
    // With a stride of a whole window nothing foretells a window's first token either.
    const int64_t first = std::max(scored_to, begin + 1);
    if (first < end) {
      windows.push_back({.begin = begin,
                         .n_tokens = static_cast<int>(end - begin),
                         .first_scored = static_cast<int>(first - begin)});
    }
    scored_to = end;
  }
  return windows;
}

}  // namespace

absl::StatusOr<std::vector<EvalWindow>> PlanWindows(int64_t n_ids, const EvalCut& cut) {
  if (cut.ctx_size < kMinWindow) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ctx-size: ", cut.ctx_size, " is less than ", kMinWindow));
  }
  if (cut.stride < 0 || cut.stride > cut.ctx_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("--stride: ", cut.stride, " is not in [0, --ctx-size ", cut.ctx_size, "]"));
  }
  std::vector<EvalWindow> windows =
      cut.stride == 0 ? SideBySide(n_ids, cut.ctx_size) : Sliding(n_ids, cut);
  if (!windows.empty()) return windows;
  return absl::InvalidArgumentError(absl::StrCat(
      "the text has ", n_ids, " tokens, a window ", cut.ctx_size,
      "; give a longer text, lower --ctx-size, or set --stride, which needs 2 tokens only"));
}

int64_t CountScored(const std::vector<EvalWindow>& windows) {
  int64_t n = 0;
  for (const EvalWindow& window : windows) n += window.n_scored();
  return n;
}

}  // namespace shoal
