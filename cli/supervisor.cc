#include "cli/supervisor.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "cli/data_option.h"
#include "cli/import_with_progress.h"
#include "cli/local_cluster.h"
#include "cli/signals.h"

namespace shoal {
namespace {

constexpr absl::Duration kRouterStopTime = absl::Seconds(310);  // It drains for at most 300 s.

constexpr uint64_t kProcessBytes = uint64_t{64} << 20;  // Code, buffers, one expert on its way.

// Finds before anything is started what would make a process fail afterwards. The memory that is
// left to experts.
absl::StatusOr<uint64_t> CheckBeforeStarting(const SupervisorOptions& options) {
  SHOAL_RETURN_IF_ERROR(ListenForRequests(options.serve).status());
  ModelOptions model = options.serve.model;
  SHOAL_ASSIGN_OR_RETURN(model.kv_type, ParseKvType(options.serve.kv_type));
  SHOAL_ASSIGN_OR_RETURN(const LoadedModel::Room room, LoadedModel::Check(model));
  const int n_processes = options.n_workers + 3;
  const uint64_t taken = n_processes * kProcessBytes;
  if (room.left_to_experts >= taken + room.expert_bytes) return room.left_to_experts - taken;
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough memory: the experts take ", room.expert_bytes >> 20, " MiB and ", n_processes,
      " processes ", taken >> 20, " MiB, but ", room.left_to_experts >> 20,
      " MiB are left beside the other weights and the KV cache; lower --ctx-size or --workers"));
}

// The id of the model, which is imported if it is a file.
absl::StatusOr<std::string> Import(const SupervisorOptions& options) {
  if (options.serve.model.data != nullptr) return ToHex(options.serve.model.model_id);
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kShared));
  SHOAL_ASSIGN_OR_RETURN(
      const ImportResult result,
      ImportWithProgress("up", data.get(), {.path = options.serve.model.model_path}));
  return ToHex(result.model_id);
}

// Keeps everybody running until a signal that ends everything.
int Watch(Signals* signals, LocalCluster* cluster) {
  while (true) {
    cluster->Mend();
    const std::optional<int> signal = signals->WaitUntil(cluster->next_restart());
    if (signal.has_value() && *signal != SIGCHLD) return *signal;
  }
}

// Passes `signal` on, and whatever signal comes until the router has ended.
void StopRouter(Signals* signals, ChildProcess* router, int signal) {
  const absl::Time deadline = MonotonicNow() + kRouterStopTime;
  router->Signal(signal);
  while (!router->Ended().has_value()) {
    const std::optional<int> next = signals->WaitUntil(deadline);
    if (!next.has_value()) return;
    if (*next != SIGCHLD) router->Signal(SIGINT);
  }
}

}  // namespace

absl::Status Supervise(const SupervisorOptions& options, OnReady on_ready) {
  LocalCluster::Options cluster_options;
  SHOAL_ASSIGN_OR_RETURN(cluster_options.memory_bytes, CheckBeforeStarting(options));
  SHOAL_ASSIGN_OR_RETURN(cluster_options.model_id, Import(options));
  cluster_options.serve = options.serve;
  cluster_options.data_dir = options.data_dir;
  cluster_options.n_workers = options.n_workers;
  cluster_options.replicas = std::min(options.replicas, options.n_workers);
  SHOAL_ASSIGN_OR_RETURN(const auto cluster, LocalCluster::Start(std::move(cluster_options)));
  Signals signals;  // Until here a signal just ended this process, and its children with it.
  on_ready(cluster->url(), cluster->model());
  const int signal = Watch(&signals, cluster.get());
  StopRouter(&signals, &cluster->router(), signal);
  return absl::OkStatus();
}

}  // namespace shoal
