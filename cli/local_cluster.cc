#include "cli/local_cluster.h"

#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/memory_bandwidth.h"
#include "base/status_macros.h"
#include "cli/local_workers.h"
#include "nlohmann/json.hpp"
#include "proto/identity.h"
#include "proto/node_store.h"

namespace shoal {
namespace {

constexpr char kPeerListen[] = "--peer-listen";
constexpr std::string_view kWorker = "worker-";
constexpr absl::Duration kToolTime = absl::Seconds(30);  // One question to the coordinator.
constexpr absl::Duration kReadPeriod = absl::Milliseconds(200);

// The id of the node of that data directory; empty if it has never joined.
absl::StatusOr<std::string> ReadNodeId(const std::string& directory) {
  const NodeStore store(MachineFileSystem(), JoinPath(directory, "node"));
  SHOAL_ASSIGN_OR_RETURN(const auto credentials, store.ReadCredentials());
  if (!credentials.has_value()) return std::string();
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts facts,
                         ReadCertificate(credentials->certificate_pem));
  if (facts.uri_names.size() != 1) return std::string();
  SHOAL_ASSIGN_OR_RETURN(const NodeIdentity identity,
                         ParseIdentityUri(facts.uri_names[0], credentials->cluster_id));
  return identity.node_id;
}

std::string WorkerName(int i) { return absl::StrCat(std::string(kWorker), i); }

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(Options options) {
  const absl::Time deadline = MonotonicNow() + options.ready_timeout;
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(std::move(options)));
  SHOAL_RETURN_IF_ERROR(cluster->StartCoordinator(deadline));
  SHOAL_RETURN_IF_ERROR(cluster->RevokeSurplus());
  SHOAL_RETURN_IF_ERROR(cluster->StartWorkers());
  SHOAL_RETURN_IF_ERROR(cluster->WaitUntilHeard(deadline));
  // Only now, so that the first placement is among all workers.
  SHOAL_RETURN_IF_ERROR(cluster
                            ->RunTool({"model", "set", cluster->options_.model_id, "--replicas",
                                       absl::StrCat(cluster->options_.replicas)})
                            .status());
  SHOAL_RETURN_IF_ERROR(cluster->StartRouter());
  SHOAL_RETURN_IF_ERROR(cluster->WaitUntilPlaced(deadline));
  SHOAL_ASSIGN_OR_RETURN(cluster->url_, cluster->ReadRouter(kListeningPrefix, deadline));
  SHOAL_ASSIGN_OR_RETURN(cluster->model_name_, cluster->ReadRouter(kServingPrefix, deadline));
  constexpr std::string_view kScheme = "http://";
  SetArg(cluster->router_, "--listen", cluster->url_.substr(kScheme.size()));
  return cluster;
}

absl::Status LocalCluster::StartCoordinator(absl::Time deadline) {
  SHOAL_ASSIGN_OR_RETURN(
      Children::Child * coordinator,
      children_.Start("coordinator", {"coordinator", "--data-dir", options_.data_dir, kPeerListen,
                                      "127.0.0.1:0", "--ops-listen", OpsAddress(0)}));
  SHOAL_ASSIGN_OR_RETURN(coordinator_address_, ReadPeerAddress(*coordinator->process, deadline));
  SetArg(coordinator, kPeerListen, coordinator_address_);
  return absl::OkStatus();
}

// Fewer workers than last time: those left over would only be waited for.
absl::Status LocalCluster::RevokeSurplus() {
  std::error_code error;
  std::vector<std::filesystem::path> surplus;
  for (const auto& entry : std::filesystem::directory_iterator(NodeDirectory(""), error)) {
    const std::string name = entry.path().filename();
    int i = 0;
    if (name.starts_with(kWorker) && absl::SimpleAtoi(name.substr(kWorker.size()), &i) &&
        i >= options_.n_workers) {
      surplus.push_back(entry.path());
    }
  }
  for (const std::filesystem::path& directory : surplus) {
    SHOAL_ASSIGN_OR_RETURN(const std::string node_id, ReadNodeId(directory));
    if (!node_id.empty()) SHOAL_RETURN_IF_ERROR(RunTool({"node", "revoke", node_id}).status());
    std::filesystem::remove_all(directory, error);
    if (error) {
      return absl::InternalError(absl::StrCat(directory.string(), ": ", error.message()));
    }
  }
  return absl::OkStatus();
}

// A node that has never joined gets a one-use token by its standard input.
absl::StatusOr<Children::Child*> LocalCluster::StartNode(const std::string& role,
                                                         const std::string& name,
                                                         std::vector<std::string> args) {
  args.insert(args.begin(), {role, "--data-dir", NodeDirectory(name), "--coordinator",
                             coordinator_address_, "--local-shards", options_.data_dir});
  SHOAL_ASSIGN_OR_RETURN(const std::string node_id, ReadNodeId(NodeDirectory(name)));
  if (!node_id.empty()) return children_.Start(name, std::move(args));
  SHOAL_ASSIGN_OR_RETURN(const std::string token, RunTool({"token", "create", "--role", role,
                                                           "--uses", "1", "--ttl", "10m"}));
  return children_.Start(name, std::move(args), {"--join-token-file", "-"}, token + "\n");
}

absl::Status LocalCluster::StartWorkers() {
  const int n = options_.n_workers;
  const int threads = options_.serve.model.threads;
  // Of all together, once: each by itself would measure what the others leave it just then.
  const double read_gb_per_s = MeasureReadGbPerS(threads > 0 ? threads : DefaultThreads());
  for (int i = 0; i < n; ++i) {
    SHOAL_ASSIGN_OR_RETURN(
        Children::Child * worker,
        StartNode("worker", WorkerName(i),
                  {kPeerListen, "127.0.0.1:0", "--threads",
                   absl::StrCat(ThreadsPerWorker(threads > 0 ? threads : DefaultThreads(), n)),
                   "--spin-us", absl::StrCat(absl::ToInt64Microseconds(SpinFor(n))),
                   "--memory-bytes", absl::StrCat(options_.memory_bytes / n), "--read-gb-per-s",
                   absl::StrCat(read_gb_per_s / n), "--ops-listen", OpsAddress(2 + i)}));
    workers_.push_back(worker);
  }
  return absl::OkStatus();
}

absl::Status LocalCluster::StartRouter() {
  const ServeOptions& serve = options_.serve;
  std::vector<std::string> args = {
      "--listen",     serve.listen,
      "--threads",    absl::StrCat(serve.model.threads),
      "--ctx-size",   absl::StrCat(serve.model.ctx_size),
      "--kv-type",    serve.kv_type,
      "--spin-us",    absl::StrCat(absl::ToInt64Microseconds(SpinFor(options_.n_workers))),
      "--ops-listen", OpsAddress(1)};
  if (!serve.model_name.empty()) args.insert(args.end(), {"--model-name", serve.model_name});
  if (!serve.chat_template_path.empty()) {
    args.insert(args.end(), {"--chat-template", serve.chat_template_path});
  }
  if (!serve.api_key_file.empty()) {
    args.insert(args.end(), {"--api-key-file", serve.api_key_file});
  }
  if (!serve.pre.empty()) args.insert(args.end(), {"--pre", serve.pre});
  SHOAL_ASSIGN_OR_RETURN(router_, StartNode("router", "router", std::move(args)));
  return absl::OkStatus();
}

// Until the coordinator knows what every worker can do.
absl::Status LocalCluster::WaitUntilHeard(absl::Time deadline) {
  for (const Children::Child* worker : workers_) {
    SHOAL_RETURN_IF_ERROR(ReadPeerAddress(*worker->process, deadline).status());
  }
  while (true) {
    SHOAL_ASSIGN_OR_RETURN(const nlohmann::json list, ListNodes());
    int n_heard = 0;
    for (const nlohmann::json& node : list["nodes"]) {
      n_heard += node["role"] == "worker" && node["state"] == "active" &&
                 node["read_gb_per_s"].get<double>() > 0;
    }
    if (n_heard == options_.n_workers) return absl::OkStatus();
    SHOAL_RETURN_IF_ERROR(CheckStarting(deadline));
  }
}

// Until every worker holds what it shall hold: with replicas, from then on one may die.
absl::Status LocalCluster::WaitUntilPlaced(absl::Time deadline) {
  while (true) {
    SHOAL_ASSIGN_OR_RETURN(const nlohmann::json list, ListNodes());
    int64_t n_assigned = 0;
    bool complete = list["settled"].get<bool>();
    for (const nlohmann::json& node : list["nodes"]) {
      if (node["state"] == "revoked") continue;
      n_assigned += node["assigned"].get<int64_t>();
      complete &= node["resident"] == node["assigned"];
    }
    if (complete) {
      const auto placement = list["placement"].get<std::string>();
      if (n_assigned == 0) return absl::ResourceExhaustedError(placement);
      std::fprintf(stderr, "shoal up: %s\n", placement.c_str());
      return absl::OkStatus();
    }
    SHOAL_RETURN_IF_ERROR(CheckStarting(deadline));
  }
}

absl::StatusOr<nlohmann::json> LocalCluster::ListNodes() const {
  SHOAL_ASSIGN_OR_RETURN(const std::string line, RunTool({"node", "list", "--json"}));
  nlohmann::json list = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (list.is_object()) return list;
  return absl::InternalError("node list: printed no JSON");
}

// Unavailable when somebody has ended or the deadline has passed; else rests for a moment.
absl::Status LocalCluster::CheckStarting(absl::Time deadline) {
  if (MonotonicNow() > deadline) return absl::UnavailableError("not everybody was ready in time");
  std::optional<std::string> ended = children_.Ended();
  if (!ended.has_value()) {
    children_.WaitForEnd(MonotonicNow() + kReadPeriod);
    ended = children_.Ended();
  }
  if (!ended.has_value()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(*ended, ", before everything was ready"));
}

// The rest of the router's next line, which begins with `prefix`. Unavailable when anybody ends
// before.
absl::StatusOr<std::string> LocalCluster::ReadRouter(std::string_view prefix, absl::Time deadline) {
  while (true) {
    const auto line = router().ReadLine(MonotonicNow() + kReadPeriod);
    if (line.ok() && line->starts_with(prefix)) return line->substr(prefix.size());
    if (line.ok()) return absl::InternalError(absl::StrCat("router: said \"", *line, "\""));
    if (router().Ended().has_value()) return line.status();
    SHOAL_RETURN_IF_ERROR(CheckStarting(deadline));
  }
}

// The first line that one of this program's own commands prints; empty if it prints none.
absl::StatusOr<std::string> LocalCluster::RunTool(std::vector<std::string> args) const {
  const std::string name = absl::StrCat(args[0], " ", args[1]);
  args.insert(args.end(), {"--data-dir", options_.data_dir});
  SHOAL_ASSIGN_OR_RETURN(const auto tool, ChildProcess::Start(name, std::move(args)));
  const absl::Time deadline = MonotonicNow() + kToolTime;
  const absl::StatusOr<std::string> line = tool->ReadLine(deadline);
  tool->WaitUntil(deadline);
  const std::string how = tool->Ended().value_or("no end in time");
  if (how == "exit status 0") return line.value_or("");
  return absl::UnavailableError(absl::StrCat(name, ": ", how));
}

std::string LocalCluster::NodeDirectory(const std::string& name) const {
  return JoinPath(JoinPath(options_.data_dir, "nodes"), name);
}

// The coordinator's, the router's, then the workers'.
std::string LocalCluster::OpsAddress(int offset) const {
  const std::string& first = options_.serve.ops_listen;
  const absl::StatusOr<ListenAddress> address = ParseAnyAddress(first);
  if (!address.ok() || address->port == 0) return first;
  return absl::StrCat(first.substr(0, first.rfind(':') + 1), address->port + offset);
}

void LocalCluster::Stop() { children_.Stop(kWorkerStopTime); }

}  // namespace shoal
