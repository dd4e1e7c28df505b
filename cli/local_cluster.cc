#include "cli/local_cluster.h"

#include <algorithm>
#include <csignal>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr char kPeerListen[] = "--peer-listen";
constexpr char kAnyPort[] = "127.0.0.1:0";
constexpr absl::Duration kStopTime = absl::Seconds(6);     // A worker drains for 5 s.
constexpr absl::Duration kSpin = absl::Microseconds(100);  // Twice what waking a core costs.

std::string OpsAddress(const LocalCluster::Options& options, int worker) {
  if (options.ops_host.empty()) return "";
  return absl::StrCat(options.ops_host, ":", options.ops_port == 0 ? 0 : options.ops_port + worker);
}

std::vector<std::string> WorkerArgs(const LocalCluster::Options& options, int part) {
  const auto spin = LocalCluster::SpinFor(options.n_workers);
  return {"worker",        options.model_path,
          "--part",        std::to_string(part),
          "--n-parts",     std::to_string(options.n_workers),
          "--replicas",    std::to_string(options.replicas),
          "--ops-listen",  OpsAddress(options, part),
          kPeerListen,     kAnyPort,
          "--threads",     std::to_string(options.threads_per_worker),
          "--spin-us",     std::to_string(absl::ToInt64Microseconds(spin)),
          "--activations", options.activations_f32 ? "f32" : "int8"};
}

// The address in the line that a worker prints once it serves.
absl::StatusOr<std::string> ReadAddress(ChildProcess& worker, absl::Time deadline) {
  SHOAL_ASSIGN_OR_RETURN(const std::string line, worker.ReadLine(deadline));
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  const auto found = json.is_object() ? json.find("peer_listen") : json.end();
  if (found == json.end() || !found->is_string()) {
    return absl::InternalError(absl::StrCat(worker.name(), ": printed no address"));
  }
  return found->get<std::string>();
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(const Options& options) {
  const absl::Time deadline = MonotonicNow() + options.ready_timeout;
  std::unique_ptr<LocalCluster> cluster(new LocalCluster);
  for (int i = 0; i < options.n_workers; ++i) {
    Child worker{.name = absl::StrCat("worker ", i),
                 .args = WorkerArgs(options, i),
                 .process = nullptr,
                 .restart = {}};
    SHOAL_ASSIGN_OR_RETURN(worker.process, ChildProcess::Start(worker.name, worker.args));
    worker.restart.OnStart(MonotonicNow());
    cluster->workers_.push_back(std::move(worker));
  }
  for (Child& worker : cluster->workers_) {
    SHOAL_ASSIGN_OR_RETURN(std::string address, ReadAddress(*worker.process, deadline));
    *std::next(std::find(worker.args.begin(), worker.args.end(), kPeerListen)) = address;
    cluster->addresses_.push_back(std::move(address));
  }
  return cluster;
}

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::StartFor(const ModelOptions& model,
                                                                     int n_workers) {
  return Start(OptionsFor(model, n_workers));
}

LocalCluster::Options LocalCluster::OptionsFor(const ModelOptions& model, int n_workers) {
  Options options;
  options.model_path = model.model_path;
  options.n_workers = n_workers;
  options.threads_per_worker =
      ThreadsPerWorker(model.threads > 0 ? model.threads : DefaultThreads(), n_workers);
  options.activations_f32 = model.activations_f32;
  return options;
}

LocalCluster::~LocalCluster() { Stop(); }

std::optional<std::string> LocalCluster::Ended() {
  for (const Child& worker : workers_) {
    if (const std::optional<std::string> how = worker.process->Ended()) {
      return absl::StrCat(worker.name, ": ", *how);
    }
  }
  return std::nullopt;
}

void LocalCluster::Mend() {
  const absl::Time now = MonotonicNow();
  for (Child& worker : workers_) {
    const std::optional<std::string> how = worker.process->Ended();
    if (!how.has_value()) continue;
    worker.restart.OnEnd(now);
    if (now < worker.restart.at()) continue;
    worker.restart.OnStart(now);
    auto next = ChildProcess::Start(worker.name, worker.args);
    const std::string outcome(next.ok() ? "ok" : next.status().message());
    Log(LogLevel::kWarning, "restarted",
        {{"child", worker.name}, {"ended_with", *how}, {"outcome", outcome}});
    if (next.ok()) {
      worker.process = *std::move(next);
    } else {
      worker.restart.OnEnd(now);
    }
  }
}

absl::Time LocalCluster::next_restart() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Child& worker : workers_) next = std::min(next, worker.restart.at());
  return next;
}

void LocalCluster::Stop() {
  for (const Child& worker : workers_) worker.process->Signal(SIGTERM);
  const absl::Time deadline = MonotonicNow() + kStopTime;
  for (const Child& worker : workers_) worker.process->WaitUntil(deadline);
  workers_.clear();  // Kills what is left, and waits for it.
}

int LocalCluster::ThreadsPerWorker(int n_threads, int n_workers) {
  return std::max(n_threads / n_workers, 1);
}

absl::Duration LocalCluster::SpinFor(int n_workers) {
  return n_workers + 1 <= DefaultThreads() ? kSpin : absl::ZeroDuration();
}

}  // namespace shoal
