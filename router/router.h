#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "router/admission.h"
#include "router/generate.h"
#include "router/http/api.h"
#include "router/http/server.h"
#include "router/step_batcher.h"

namespace shoal {

// The router: takes requests over HTTP, batches them into steps of one engine, streams the answers
// back. Thread-safe but for Start and Stop.
class Router {
 public:
  struct Options {
    // All outlive the router.
    Engine* engine = nullptr;
    KvCache* kv_cache = nullptr;
    const Tokenizer* tokenizer = nullptr;
    const ChatTemplate* chat_template = nullptr;  // Null: chat is refused, completions work.
    const ApiKeys* api_keys = nullptr;            // Null: whoever reaches it is answered.

    std::string model_name;
    std::string fingerprint;
    int64_t context_length = 0;  // Of one answer with its prompt; at most what the cache holds.
    StepBatcher::Options batch;
    size_t max_queued = kMaxQueuedRequests;
  };

  // `server` has its port and was not started. InvalidArgument when the context is longer than the
  // cache, or a name is missing.
  static absl::StatusOr<std::unique_ptr<Router>> Create(const Options& options,
                                                        std::unique_ptr<HttpServer> server);
  // Stops.
  ~Router();

  void Start();
  // Refuses new answers from now on; those that wait or run go on.
  void Drain();
  // Fails every answer that still runs, ends the server and joins all threads.
  void Stop();

  uint16_t port() const { return server_->port(); }
  // Answers that run or wait.
  int n_answers() const { return n_running() + n_waiting(); }
  int n_running() const { return batcher_.n_running(); }
  int n_waiting() const { return static_cast<int>(admission_.n_queued()); }
  double kv_use() const;  // Share of the cache that is reserved.
  int n_connections() const { return server_->n_connections(); }
  const StepBatcher& batcher() const { return batcher_; }
  // What it counts. `network`: of the time that steps spent on experts, what went into the way to
  // workers. Any thread.
  void AddMetrics(absl::Duration network, Metrics* metrics) const;

 private:
  Router(const Options& options, std::unique_ptr<HttpServer> server);

  const KvCache* const kv_cache_;
  const Engine* const engine_;
  const int64_t context_length_;
  std::atomic<bool> ready_{false};
  Admission admission_;
  StepBatcher batcher_;
  Generate generate_;
  Api api_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace shoal
