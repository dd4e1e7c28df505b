#include "cli/local_workers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr char kPeerListen[] = "--peer-listen";
constexpr absl::Duration kSpin = absl::Microseconds(100);  // Twice what waking a core costs.

std::vector<std::string> WorkerArgs(const LocalWorkers::Options& options, int part) {
  return {"worker",        options.model_path,
          "--part",        std::to_string(part),
          "--n-parts",     std::to_string(options.n_workers),
          "--replicas",    std::to_string(options.replicas),
          kPeerListen,     "127.0.0.1:0",
          "--threads",     std::to_string(options.threads_per_worker),
          "--spin-us",     std::to_string(absl::ToInt64Microseconds(SpinFor(options.n_workers))),
          "--activations", options.activations_f32 ? "f32" : "int8"};
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalWorkers>> LocalWorkers::Start(const Options& options) {
  const absl::Time deadline = MonotonicNow() + options.ready_timeout;
  std::unique_ptr<LocalWorkers> workers(new LocalWorkers);
  for (int i = 0; i < options.n_workers; ++i) {
    SHOAL_ASSIGN_OR_RETURN(
        Children::Child * worker,
        workers->children_.Start(absl::StrCat("worker ", i), WorkerArgs(options, i)));
    workers->workers_.push_back(worker);
  }
  for (Children::Child* worker : workers->workers_) {
    SHOAL_ASSIGN_OR_RETURN(std::string address, ReadPeerAddress(*worker->process, deadline));
    SetArg(worker, kPeerListen, address);
    workers->addresses_.push_back(std::move(address));
  }
  return workers;
}

absl::StatusOr<std::unique_ptr<LocalWorkers>> LocalWorkers::StartFor(const ModelOptions& model,
                                                                     int n_workers) {
  Options options;
  options.model_path = model.model_path;
  options.n_workers = n_workers;
  options.threads_per_worker =
      ThreadsPerWorker(model.threads > 0 ? model.threads : DefaultThreads(), n_workers);
  options.activations_f32 = model.activations_f32;
  return Start(options);
}

LocalWorkers::~LocalWorkers() { Stop(); }

void LocalWorkers::Stop() { children_.Stop(kWorkerStopTime); }

int ThreadsPerWorker(int n_threads, int n_workers) { return std::max(n_threads / n_workers, 1); }

absl::Duration SpinFor(int n_workers) {
  return n_workers + 1 <= DefaultThreads() ? kSpin : absl::ZeroDuration();
}

}  // namespace shoal
