#include "cli/supervisor.h"

#include <signal.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "cli/child_process.h"
#include "cli/local_cluster.h"
#include "cli/signals.h"
#include "router/http/server.h"

namespace shoal {
namespace {

constexpr absl::Duration kRouterReadyTime = absl::Minutes(10);  // Loading from a slow disk.
constexpr absl::Duration kRouterStopTime = absl::Seconds(310);  // It drains for at most 300 s.

// Finds before anything is loaded what would make the router fail afterwards.
absl::Status CheckBeforeLoading(const ServeOptions& serve) {
  SHOAL_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(serve.listen));
  SHOAL_RETURN_IF_ERROR(HttpServer::Listen(address).status());
  ModelOptions model = serve.model;
  SHOAL_ASSIGN_OR_RETURN(model.kv_type, ParseKvType(serve.kv_type));
  return LoadedModel::Check(model);
}

std::vector<std::string> RouterArgs(const ServeOptions& serve,
                                    const std::vector<std::string>& workers) {
  std::vector<std::string> args = {"router",       serve.model.model_path,
                                   "--workers-at", absl::StrJoin(workers, ","),
                                   "--listen",     serve.listen,
                                   "--threads",    absl::StrCat(serve.model.threads),
                                   "--ctx-size",   absl::StrCat(serve.model.ctx_size),
                                   "--kv-type",    serve.kv_type,
                                   "--ops-listen", serve.ops_listen};
  if (!serve.model_name.empty()) args.insert(args.end(), {"--model-name", serve.model_name});
  if (!serve.chat_template_path.empty()) {
    args.insert(args.end(), {"--chat-template", serve.chat_template_path});
  }
  return args;
}

// The rest of a line that begins with `prefix`.
absl::StatusOr<std::string> ReadFact(ChildProcess* process, std::string_view prefix,
                                     absl::Time deadline) {
  SHOAL_ASSIGN_OR_RETURN(const std::string line, process->ReadLine(deadline));
  if (line.compare(0, prefix.size(), prefix) == 0) return line.substr(prefix.size());
  return absl::InternalError(
      absl::StrCat(process->name(), " did not say \"", std::string(prefix), "\""));
}

// Until a signal that ends everything; Unavailable when the router has ended by itself.
absl::StatusOr<int> Watch(Signals* signals, ChildProcess* router, LocalCluster* cluster) {
  while (true) {
    cluster->Mend();
    const std::optional<std::string> how = router->Ended();
    if (how.has_value()) return absl::UnavailableError(absl::StrCat("router: ", *how));
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

absl::Status Supervise(const SupervisorOptions& options,
                       absl::FunctionRef<void(const std::string&, const std::string&)> on_ready) {
  SHOAL_RETURN_IF_ERROR(CheckBeforeLoading(options.serve));
  LocalCluster::Options cluster_options =
      LocalCluster::OptionsFor(options.serve.model, options.n_workers);
  cluster_options.replicas = std::min(options.replicas, options.n_workers);
  if (!options.serve.ops_listen.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const ListenAddress ops, ParseAnyAddress(options.serve.ops_listen));
    cluster_options.ops_host = ops.host;
    cluster_options.ops_port = ops.port == 0 ? 0 : ops.port + 1;
  }
  SHOAL_ASSIGN_OR_RETURN(const auto cluster, LocalCluster::Start(cluster_options));
  SHOAL_ASSIGN_OR_RETURN(
      const auto router,
      ChildProcess::Start("router", RouterArgs(options.serve, cluster->addresses())));
  const absl::Time deadline = MonotonicNow() + kRouterReadyTime;
  SHOAL_ASSIGN_OR_RETURN(const std::string url, ReadFact(router.get(), kListeningPrefix, deadline));
  SHOAL_ASSIGN_OR_RETURN(const std::string model, ReadFact(router.get(), kServingPrefix, deadline));
  Signals signals;  // Until here a signal just ended this process, and its children with it.
  on_ready(url, model);
  const absl::StatusOr<int> signal = Watch(&signals, router.get(), cluster.get());
  StopRouter(&signals, router.get(), signal.ok() ? *signal : SIGINT);
  if (signal.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(std::string(signal.status().message()), "; the others were stopped"));
}

}  // namespace shoal
