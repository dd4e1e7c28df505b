#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/child_process.h"
#include "cli/model_loader.h"
#include "cli/restart_timer.h"

namespace shoal {

// Workers on this machine: child processes of this very program, each with its share of a model's
// experts. They end when this object does, and also when this process dies. Thread-compatible.
class LocalCluster {
 public:
  struct Options {
    std::string model_path;
    int n_workers = 3;
    int replicas = 1;  // Workers that hold each expert.
    int threads_per_worker = 1;
    bool activations_f32 = false;
    std::string ops_host;                              // Where probes answer; empty: nowhere.
    int ops_port = 0;                                  // Of worker 0; the others' follow it.
    absl::Duration ready_timeout = absl::Minutes(10);  // Loading a large model from a slow disk.
  };

  // Starts all at once and waits until each one serves. Unavailable, with the worker's name and how
  // it ended, when one does not come up; the others are then stopped.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const Options& options);
  // The workers that a router with these options needs: `model.threads` divided among them.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> StartFor(const ModelOptions& model,
                                                                int n_workers);
  static Options OptionsFor(const ModelOptions& model, int n_workers);
  ~LocalCluster();  // As Stop.

  // "127.0.0.1:PORT" of each, which stays when one starts again.
  const std::vector<std::string>& addresses() const { return addresses_; }
  pid_t pid(int worker) const { return workers_[worker].process->pid(); }

  // Starts again whoever has ended: at once, or after a while of up to 30 s if that happens again
  // and again. Call it after each SIGCHLD and at next_restart(). Never waits.
  void Mend();
  absl::Time next_restart() const;

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
  struct Child {
    std::string name;
    std::vector<std::string> args;
    std::unique_ptr<ChildProcess> process;
    RestartTimer restart;
  };

  LocalCluster() = default;

  std::vector<Child> workers_;
  std::vector<std::string> addresses_;
};

}  // namespace shoal
