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
    : admission_(options.kv_cache, options.max_queued),
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
  server_->Start([this](const HttpRequest& request) { return api_.Handle(request); });
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

int Router::n_answers() const {
  return batcher_.n_running() + static_cast<int>(admission_.n_queued());
}

}  // namespace shoal
