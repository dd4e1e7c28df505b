#include "router/request_meter.h"

#include "absl/strings/str_cat.h"

namespace shoal {

void RequestMeter::OnAdmitted(absl::Duration since_queued) {
  queue_time_.Observe(absl::ToDoubleSeconds(since_queued));
}

void RequestMeter::OnPromptRows(int64_t n_rows) {
  MutexLock lock(&mu_);
  n_prompt_tokens_ += static_cast<uint64_t>(n_rows);
}

void RequestMeter::OnFirstToken(absl::Duration since_queued) {
  time_to_first_token_.Observe(absl::ToDoubleSeconds(since_queued));
  MutexLock lock(&mu_);
  ++n_generation_tokens_;
}

void RequestMeter::OnNextToken(absl::Duration since_last) {
  inter_token_latency_.Observe(absl::ToDoubleSeconds(since_last));
  MutexLock lock(&mu_);
  ++n_generation_tokens_;
}

void RequestMeter::OnEnd(AnswerEnd end, absl::Duration since_queued, int64_t n_prompt_tokens,
                         int64_t n_tokens) {
  latency_.Observe(absl::ToDoubleSeconds(since_queued));
  prompt_tokens_.Observe(static_cast<double>(n_prompt_tokens));
  generation_tokens_.Observe(static_cast<double>(n_tokens));
  MutexLock lock(&mu_);
  ++ends_[static_cast<size_t>(end)];
}

void RequestMeter::OnReply(int http_status) {
  MutexLock lock(&mu_);
  ++replies_[http_status];
}

uint64_t RequestMeter::n_prompt_tokens() const {
  MutexLock lock(&mu_);
  return n_prompt_tokens_;
}

uint64_t RequestMeter::n_generation_tokens() const {
  MutexLock lock(&mu_);
  return n_generation_tokens_;
}

void RequestMeter::AddMetrics(Metrics* metrics) const {
  metrics->Add("shoal_router_request_queue_time_seconds", queue_time_.Read());
  metrics->Add("shoal_router_time_to_first_token_seconds", time_to_first_token_.Read());
  metrics->Add("shoal_router_inter_token_latency_seconds", inter_token_latency_.Read());
  metrics->Add("shoal_router_e2e_request_latency_seconds", latency_.Read());
  metrics->Add("shoal_router_request_prompt_tokens", prompt_tokens_.Read());
  metrics->Add("shoal_router_request_generation_tokens", generation_tokens_.Read());
  MutexLock lock(&mu_);
  metrics->Add("shoal_router_prompt_tokens_total", static_cast<double>(n_prompt_tokens_));
  metrics->Add("shoal_router_generation_tokens_total", static_cast<double>(n_generation_tokens_));
  constexpr const char* kEnds[] = {"stop", "length", "abort", "error"};
  for (size_t i = 0; i < ends_.size(); ++i) {
    metrics->Add("shoal_router_requests_total", static_cast<double>(ends_[i]),
                 {{"finished_reason", kEnds[i]}});
  }
  for (const auto& [status, n] : replies_) {
    metrics->Add("shoal_router_http_responses_total", static_cast<double>(n),
                 {{"code", absl::StrCat(status)}});
  }
}

}  // namespace shoal
