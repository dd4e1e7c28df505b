#include "router/router.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace shoal {

absl::StatusOr<std::unique_ptr<Router>> Router::Create(const Options& options,
                                                       std::unique_ptr<HttpServer> server) {
  if (options.model_name.empty()) return absl::InvalidArgumentError("the model has no name");
  if (options.context_length < 2 || options.context_length > options.kv_cache->capacity_tokens()) {
    return absl::InvalidArgumentError(
        absl::StrCat("context of ", options.context_length, " tokens is not in [2, ",
                     options.kv_cache->capacity_tokens(), "], what the KV cache holds"));
  }
  return std::unique_ptr<Router>(new Router(options, std::move(server)));
}

Router::Router(const Options& options, std::unique_ptr<HttpServer> server)
    : kv_cache_(options.kv_cache),
      engine_(options.engine),
      context_length_(options.context_length),
      admission_(options.kv_cache, options.max_queued),
      batcher_(options.engine, &admission_, options.batch),
      generate_({.tokenizer = options.tokenizer,
                 .chat_template = options.chat_template,
                 .admission = &admission_,
                 .context_length = options.context_length}),
      api_(
          &generate_,
          {.name = options.model_name,
           .fingerprint = options.fingerprint,
           .created = absl::ToUnixSeconds(absl::Now())},
          [this] { return ready_.load(); }, options.api_keys),
      server_(std::move(server)) {}

Router::~Router() { Stop(); }

void Router::Start() {
  batcher_.Start();
  server_->Start([this](const HttpRequest& request) {
    auto reply = api_.Handle(request);
    const auto* whole = std::get_if<HttpReply>(&reply);
    batcher_.requests().OnReply(whole != nullptr ? whole->status : 200);
    return reply;
  });
  ready_ = true;
}

void Router::Drain() {
  ready_ = false;
  admission_.Close();
}

void Router::Stop() {
  Drain();
  batcher_.Stop();  // Every answer has ended now, so that the server can finish their replies.
  server_->Stop();
}

void Router::AddMetrics(absl::Duration network, Metrics* metrics) const {
  const auto add = [metrics](std::string_view name, auto value) {
    metrics->Add(name, static_cast<double>(value));
  };
  batcher_.requests().AddMetrics(metrics);
  batcher_.steps().AddMetrics(network, metrics);
  add("shoal_router_steps_total", batcher_.n_steps());
  add("shoal_router_requests_running", n_running());
  add("shoal_router_requests_waiting", n_waiting());
  add("shoal_router_kv_cache_capacity_tokens", kv_cache_->capacity_tokens());
  add("shoal_router_kv_cache_usage_ratio", kv_use());
  add("shoal_router_kv_cache_bytes", kv_cache_->n_bytes());
  add("shoal_router_trunk_memory_bytes", engine_->trunk_bytes());
  add("shoal_router_context_tokens", context_length_);
  add("shoal_router_http_connections", server_->n_connections());
}

double Router::kv_use() const {
  return 1 - static_cast<double>(kv_cache_->free_tokens()) /
                 static_cast<double>(kv_cache_->capacity_tokens());
}

}  // namespace shoal
