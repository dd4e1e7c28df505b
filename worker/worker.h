#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/thread_pool.h"
#include "proto/transport.h"
#include "worker/worker_service.h"

namespace shoal {

// A worker: experts, the thread that computes them, and the streams that calls come in on. One
// thread reads calls, computes them and answers, so that a call is never handed from thread to
// thread; a second one answers about health meanwhile. Thread-compatible.
class Worker {
 public:
  struct Parts {
    std::unique_ptr<Listener> listener;
    std::unique_ptr<ThreadPool> pool;  // What experts are computed with.
    std::shared_ptr<Served> served;    // Null: see Serve.
    WorkerService::Options service;
  };

  // Serves from now on.
  static std::unique_ptr<Worker> Start(Parts parts);
  ~Worker();  // Stops: calls under way are finished, waiting ones are dropped.

  // Where it listens.
  const std::string& address() const { return parts_.listener->address(); }
  // For streams of other kinds, which others poll.
  Listener* listener() { return parts_.listener.get(); }
  ThreadPool* pool() { return parts_.pool.get(); }
  const WorkerService& service() const { return service_; }

  // What is served from the next call on, computed with pool(). Null: nothing. Any thread.
  void Serve(std::shared_ptr<Served> served) { service_.Serve(std::move(served)); }

  // Refuses new calls and waits for those accepted; false when the deadline passes first.
  bool Drain(absl::Time deadline) { return service_.Drain(deadline); }

 private:
  explicit Worker(Parts parts);
  void ComputeLoop();
  void HealthLoop();
  WorkerService::Reply ReplyTo(StreamKind kind, LinkId link);

  Parts parts_;
  WorkerService service_;
  std::atomic<bool> stop_{false};
  Mutex mu_;
  CondVar stopping_;
  std::thread compute_thread_;
  std::thread health_thread_;
};

}  // namespace shoal
