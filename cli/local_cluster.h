#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/child_process.h"
#include "cli/model_loader.h"

namespace shoal {

// Workers on this machine: child processes of this very program, each with its share of a model's
// experts. They end when this object does, and also when this process dies. Thread-compatible.
class LocalCluster {
 public:
  struct Options {
    std::string model_path;
    int n_workers = 3;
    int threads_per_worker = 1;
    bool activations_f32 = false;
    absl::Duration ready_timeout = absl::Minutes(10);  // Loading a large model from a slow disk.
  };

  // Starts all at once and waits until each one serves. Unavailable, with the worker's name and how
  // it ended, when one does not come up; the others are then stopped.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const Options& options);
  // The workers that a router with these options needs: `model.threads` divided among them.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> StartFor(const ModelOptions& model,
                                                                int n_workers);
  ~LocalCluster();  // As Stop.

  // "127.0.0.1:PORT" of each; worker i holds experts e with e % n_workers == i.
  const std::vector<std::string>& addresses() const { return addresses_; }
  pid_t pid(int worker) const { return workers_[worker]->pid(); }

  // "worker 1: signal 9" when one has ended by itself; nothing while all run. Never waits.
  std::optional<std::string> Ended();

  // Lets every worker finish what it computes and ends it; kills those that take longer than
  // FAILURE-MODEL 4 gives a drain. None is left afterwards.
  void Stop();

  // Threads of each worker when the box's `n_threads` are divided: the router waits while workers
  // compute, so they share all of them.
  static int ThreadsPerWorker(int n_threads, int n_workers);

  // How long one process of a router and n_workers may poll for its next message before it sleeps:
  // not at all unless each has a core of its own.
  static absl::Duration SpinFor(int n_workers);

 private:
  LocalCluster() = default;

  std::vector<std::unique_ptr<ChildProcess>> workers_;
  std::vector<std::string> addresses_;
};

}  // namespace shoal
