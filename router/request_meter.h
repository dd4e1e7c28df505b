#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "absl/time/time.h"
#include "base/histogram.h"
#include "base/metrics.h"
#include "base/mutex.h"

namespace shoal {

// How an answer ended, as metrics say it: by itself, at its limit, because its client left, or by a
// failure.
enum class AnswerEnd : uint8_t { kStop, kLength, kAbort, kError };

// What requests ask for and how long they wait for it. Thread-safe.
class RequestMeter {
 public:
  // The batcher's: times since the request was put into the queue, or since the token before.
  void OnAdmitted(absl::Duration since_queued);
  void OnPromptRows(int64_t n_rows);
  void OnFirstToken(absl::Duration since_queued);
  void OnNextToken(absl::Duration since_last);
  void OnEnd(AnswerEnd end, absl::Duration since_queued, int64_t n_prompt_tokens, int64_t n_tokens);
  // The server's.
  void OnReply(int http_status) SHOAL_EXCLUDES(mu_);

  void AddMetrics(Metrics* metrics) const SHOAL_EXCLUDES(mu_);
  uint64_t n_prompt_tokens() const SHOAL_EXCLUDES(mu_);
  uint64_t n_generation_tokens() const SHOAL_EXCLUDES(mu_);

 private:
  Histogram queue_time_{kSecondsBounds};
  Histogram time_to_first_token_{kSecondsBounds};
  Histogram inter_token_latency_{kSecondsBounds};
  Histogram latency_{kSecondsBounds};
  Histogram prompt_tokens_{kTokensBounds};
  Histogram generation_tokens_{kTokensBounds};
  mutable Mutex mu_;
  uint64_t n_prompt_tokens_ SHOAL_GUARDED_BY(mu_) = 0;
  uint64_t n_generation_tokens_ SHOAL_GUARDED_BY(mu_) = 0;
  std::array<uint64_t, 4> ends_ SHOAL_GUARDED_BY(mu_) = {};
  std::map<int, uint64_t> replies_ SHOAL_GUARDED_BY(mu_);  // By HTTP status.
};

}  // namespace shoal
