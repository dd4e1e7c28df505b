#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/children.h"
#include "cli/model_loader.h"

namespace shoal {

// Workers on this machine that belong to no cluster, each with its share of a model file's experts:
// what `shoal bench` and `shoal logits` measure a network by. Thread-compatible.
class LocalWorkers {
 public:
  struct Options {
    std::string model_path;
    int n_workers = 3;
    int replicas = 1;  // Workers that hold each expert.
    int threads_per_worker = 1;
    bool activations_f32 = false;
    absl::Duration ready_timeout = absl::Minutes(10);  // Loading a large model from a slow disk.
  };

  // Starts all at once and waits until each one serves. Unavailable, with the worker's name and how
  // it ended, when one does not come up; the others are then stopped.
  static absl::StatusOr<std::unique_ptr<LocalWorkers>> Start(const Options& options);
  // The workers that a router with these options needs: `model.threads` divided among them.
  static absl::StatusOr<std::unique_ptr<LocalWorkers>> StartFor(const ModelOptions& model,
                                                                int n_workers);
  ~LocalWorkers();  // As Stop.

  // "127.0.0.1:PORT" of each, which stays when one starts again.
  const std::vector<std::string>& addresses() const { return addresses_; }
  pid_t pid(int worker) const { return workers_[worker]->process->pid(); }

  void Mend() { children_.Mend(); }
  std::optional<std::string> Ended() { return children_.Ended(); }

  // Lets every worker finish what it computes and ends it; kills those that take longer than
  // FAILURE-MODEL 4 gives a drain. None is left afterwards.
  void Stop();

 private:
  LocalWorkers() = default;

  Children children_;
  std::vector<Children::Child*> workers_;
  std::vector<std::string> addresses_;
};

// Threads of each worker when the box's `n_threads` are divided: the router waits while workers
// compute, so they share all of them.
int ThreadsPerWorker(int n_threads, int n_workers);

// How long one process of a router and n_workers on this machine may poll for its next message
// before it sleeps: not at all unless each has a core of its own.
absl::Duration SpinFor(int n_workers);

inline constexpr absl::Duration kWorkerStopTime = absl::Seconds(6);  // A worker drains for 5 s.

}  // namespace shoal
