#include "cli/worker_process.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/clock.h"
#include "base/cpu_limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/memory_bandwidth.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "cli/model_loader.h"
#include "cli/ops_server.h"
#include "cli/signals.h"
#include "engine/numerics_class.h"
#include "proto/grpc_transport.h"
#include "proto/shard_server.h"
#include "worker/placement_follower.h"
#include "worker/worker.h"

namespace shoal {
namespace {

constexpr absl::Duration kDrainTime = absl::Seconds(5);
constexpr absl::Duration kModelWait = absl::Seconds(5);
constexpr absl::Duration kLimitsPeriod = absl::Seconds(10);  // Between looks at them.
constexpr int64_t kLeastMargin = int64_t{256} << 20;         // Buffers, code, the system.

uint64_t UsableMemoryBytes() {
  const int64_t available = AvailableMemoryBytes();
  return static_cast<uint64_t>(
      std::max<int64_t>(available - std::max(kLeastMargin, available / 10), 0));
}

// The format that the experts' types call for, as RowFormatOf says of a model's weights.
RowFormat RowFormatOfExperts(const Manifest& manifest) {
  for (const ShardInfo& shard : manifest.shards) {
    if (shard.kind != ShardKind::kExpert) continue;
    for (const ShardTensor& tensor : shard.tensors) {
      if (!Traits(tensor.dtype).quantized) return RowFormat::kF32;
    }
  }
  return RowFormat::kQuantized;
}

std::shared_ptr<Served> MakeServed(const PlacementFollower::Model& model, ThreadPool* pool) {
  const ModelConfig& config = model.manifest.config;
  const RowFormat format = RowFormatOfExperts(model.manifest);
  return std::make_shared<Served>(
      ServedModel{.model_id = ToHex(model.id),
                  .numerics_class = NumericsClass(format, /*activations_f32=*/false),
                  .format = format,
                  .n_layers = config.n_layers,
                  .n_experts = config.MaxExperts(),
                  .hidden_dim = config.hidden_dim},
      LocalExperts::Create(config, SelectedKernels(), pool, {.format = format}));
}

// Listens where `listen` says; where it leaves the port open, on the one of last time, if that is
// still free, so that old snapshots lead here.
absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& listen, const std::string& last,
                                                 const GrpcListenOptions& options) {
  const std::string wanted =
      listen.find(':') == std::string::npos ? absl::StrCat(listen, ":0") : listen;
  const std::string host = wanted.substr(0, wanted.rfind(':') + 1);
  if (wanted == host + "0" && last.starts_with(host)) {
    absl::StatusOr<std::unique_ptr<Listener>> again = ListenGrpc(last, options);
    if (again.ok()) return again;
    Log(LogLevel::kWarning, "the former port is taken",
        {{"peer_listen", last}, {"why", std::string(again.status().message())}});
  }
  return ListenGrpc(wanted, options);
}

// What this worker tells the coordinator: parts come from several threads. Thread-safe.
class Reporter {
 public:
  explicit Reporter(NodeReport report) : report_(std::move(report)) {}

  // Sends from now on, what is known first. `client` outlives this.
  void Attach(CoordinatorClient* client) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    client_ = client;
    client_->SetReport(report_);
  }
  template <typename Change>
  void Update(const Change& change) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    change(report_);
    if (client_ != nullptr) client_->SetReport(report_);
  }

 private:
  Mutex mu_;
  NodeReport report_ SHOAL_GUARDED_BY(mu_);
  CoordinatorClient* client_ SHOAL_GUARDED_BY(mu_) = nullptr;
};

// The parts of the process, in the order in which they are made; they stop in the opposite one.
class WorkerProcess {
 public:
  explicit WorkerProcess(const WorkerProcessOptions& options)
      : options_(options),
        n_threads_(options.threads > 0 ? options.threads : DefaultThreads()),
        memory_bytes_(options.memory_bytes > 0 ? options.memory_bytes : UsableMemoryBytes()) {}
  ~WorkerProcess();

  absl::Status Start();
  void RunUntilSignal(Signals& signals);
  void Drain();

 private:
  absl::Status StartListening();
  PlacementFollower::Options FollowerOptions();
  void Measure();
  void AddMetrics(Metrics* metrics) const;
  void OnComplete(const Sha256Digest& model_id);

  const WorkerProcessOptions options_;
  const int n_threads_;
  const uint64_t memory_bytes_;
  std::unique_ptr<PlacementFollower> follower_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<ShardServer> shard_server_;
  std::unique_ptr<OpsServer> ops_;
  std::string limits_;  // As they were when speed was measured.
  std::atomic<double> read_gb_per_s_{0};
};

WorkerProcess::~WorkerProcess() {
  if (follower_ != nullptr) follower_->Stop();
}

absl::Status WorkerProcess::Start() {
  NodeSeams seams = MachineSeams();
  seams.is_busy = [this] { return worker_->service().IsBusy(); };  // Nothing is fetched before.
  SHOAL_ASSIGN_OR_RETURN(node_, Node::Open(options_.node, NodeRole::kWorker, std::move(seams)));
  InitLog(absl::StrCat("worker-", node_->identity().node_id));
  SHOAL_RETURN_IF_ERROR(StartListening());
  NodeReport report;
  report.peer_address = worker_->address();
  report.memory_bytes = memory_bytes_;
  reporter_ = std::make_unique<Reporter>(std::move(report));
  Measure();
  follower_ = std::make_unique<PlacementFollower>(FollowerOptions());
  node_->Follow([this](std::shared_ptr<const Snapshot> snapshot) {
    follower_->OnSnapshot(std::move(snapshot));
  });
  reporter_->Attach(&node_->client());
  follower_->Start();
  SHOAL_ASSIGN_OR_RETURN(
      ops_,
      OpsServer::Start(
          options_.ops_listen,
          {.is_ready = [this] { return follower_->IsComplete() && !worker_->service().draining(); },
           .add_metrics = [this](Metrics* metrics) { AddMetrics(metrics); }}));
  return absl::OkStatus();
}

void WorkerProcess::AddMetrics(Metrics* metrics) const {
  const auto add = [metrics](std::string_view name, auto value) {
    metrics->Add(name, static_cast<double>(value));
  };
  node_->AddMetrics(metrics);
  worker_->service().AddMetrics(metrics);
  const ExpertStore::Progress progress = follower_->progress();
  add("shoal_worker_assigned_experts", progress.n_assigned);
  add("shoal_worker_resident_experts", progress.n_advertised);
  add("shoal_worker_expert_memory_bytes", progress.memory_bytes);
  add("shoal_worker_memory_limit_bytes", memory_bytes_);
  add("shoal_worker_read_bytes_per_second", read_gb_per_s_.load() * 1e9);
  add("shoal_worker_loaded_experts_total", progress.n_loaded);
  add("shoal_worker_failed_loads_total", progress.n_failed);
  add("shoal_worker_corrupt_files_total", progress.n_corrupt);
  add("shoal_worker_shard_bytes_sent_total", shard_server_->counters().bytes);
}

absl::Status WorkerProcess::StartListening() {
  Worker::Parts parts;
  const GrpcListenOptions listen = {
      .transport = {.credentials = node_->credentials(),
                    .spin = absl::Microseconds(options_.spin_us)},
      .kinds = {StreamKind::kRunExperts, StreamKind::kHealth, StreamKind::kFetchShard}};
  SHOAL_ASSIGN_OR_RETURN(parts.listener,
                         Listen(options_.peer_listen, node_->LastAddress(), listen));
  parts.pool = std::make_unique<ThreadPool>(n_threads_);
  parts.service.isa = std::string(IsaName(SelectedKernels().isa));
  parts.service.snapshot = [this] { return node_->snapshot(); };
  worker_ = Worker::Start(std::move(parts));
  shard_server_ = ShardServer::Start({.listener = worker_->listener(),
                                      .data = &node_->data(),
                                      .snapshot = [this] { return node_->snapshot(); },
                                      .is_busy = [this] { return worker_->service().IsBusy(); }});
  if (worker_->address() != node_->LastAddress()) {
    // A disk that takes no writes is no reason not to serve what it holds (F12).
    const absl::Status kept = node_->KeepAddress(worker_->address());
    if (!kept.ok()) {
      Log(LogLevel::kWarning, "address not kept", {{"why", std::string(kept.message())}});
    }
  }
  std::printf("{\"peer_listen\": \"%s\"}\n", worker_->address().c_str());
  std::fflush(stdout);
  return absl::OkStatus();
}

PlacementFollower::Options WorkerProcess::FollowerOptions() {
  PlacementFollower::Options options;
  options.node_id = node_->identity().node_id;
  options.store = {.files = &node_->data().shards(),
                   .fetch =
                       [this](const ShardInfo& shard, const std::atomic<bool>* cancelled) {
                         const ShardInfo* const one[] = {&shard};
                         return node_->EnsureShards(one, {}, cancelled);
                       },
                   .memory_bytes = memory_bytes_,
                   .disk_bytes = memory_bytes_,  // What would fit, were it assigned again.
                   .n_threads = n_threads_,
                   .is_busy = [this] { return worker_->service().IsBusy(); }};
  options.get_model =
      [this](const Snapshot&,
             const std::atomic<bool>* cancelled) -> absl::StatusOr<PlacementFollower::Model> {
    SHOAL_ASSIGN_OR_RETURN(Node::Model model,
                           node_->WaitForModel(MonotonicNow() + kModelWait, cancelled));
    return PlacementFollower::Model{model.manifest.id, std::move(model.manifest.manifest)};
  };
  options.make_served = [this](const PlacementFollower::Model& model) {
    return MakeServed(model, worker_->pool());
  };
  options.serve = [this](std::shared_ptr<Served> served) { worker_->Serve(std::move(served)); };
  options.report = [this](const Sha256Digest& model_id, const ExpertSet& advertised) {
    reporter_->Update([&](NodeReport& report) {
      report.model_id = model_id;
      report.resident = advertised;
    });
  };
  options.on_idle = [this] { node_->SyncShards(); };
  options.on_complete = [this](const Sha256Digest& model_id) { OnComplete(model_id); };
  return options;
}

// Everything assigned is served: says so, and lets go of the files of other models.
void WorkerProcess::OnComplete(const Sha256Digest& model_id) {
  const ExpertStore::Progress progress = follower_->progress();
  const ShardFetcher::Counters fetched = node_->fetched();
  Log(LogLevel::kInfo, "serving",
      {{"model", ToHex(model_id).substr(0, 12)},
       {"experts", progress.n_advertised},
       {"memory_bytes", progress.memory_bytes},
       {"fetched_bytes", fetched.bytes},
       {"bad_chunks", fetched.bad_chunks},
       {"corrupt_files", progress.n_corrupt}});
  if (progress.n_assigned > 0) node_->KeepOnly(model_id);
}

// Once when it joins, and again when its limits change: what a busy machine reads just now is not
// what it can.
void WorkerProcess::Measure() {
  limits_ = CpuLimits();
  const std::string basis =
      absl::StrReplaceAll(absl::StrCat(n_threads_, " threads\n", limits_, ": "), {{"\n", "; "}});
  const std::string last = node_->LastMeasure();
  double read_gb_per_s = options_.read_gb_per_s;
  const bool known =
      read_gb_per_s > 0 ||
      (last.starts_with(basis) && absl::SimpleAtod(last.substr(basis.size()), &read_gb_per_s) &&
       read_gb_per_s > 0);
  if (!known) {
    read_gb_per_s = MeasureReadGbPerS(n_threads_);
    // Unkept, it is measured again at the next start.
    node_->KeepMeasure(absl::StrCat(basis, read_gb_per_s)).IgnoreError();
  }
  Log(LogLevel::kInfo, "measured",
      {{"read_gb_per_s", read_gb_per_s},
       {"threads", n_threads_},
       {"memory_bytes", static_cast<unsigned long>(memory_bytes_)}});
  read_gb_per_s_.store(read_gb_per_s);
  reporter_->Update([&](NodeReport& report) { report.read_gb_per_s = read_gb_per_s; });
}

void WorkerProcess::RunUntilSignal(Signals& signals) {
  while (true) {
    const std::optional<int> signal = signals.WaitUntil(MonotonicNow() + kLimitsPeriod);
    if (signal == SIGTERM || signal == SIGINT) return;
    if (CpuLimits() != limits_) Measure();
  }
}

void WorkerProcess::Drain() {
  reporter_->Update([](NodeReport& report) { report.draining = true; });
  const bool drained = worker_->Drain(MonotonicNow() + kDrainTime);
  Log(drained ? LogLevel::kInfo : LogLevel::kWarning, drained ? "drained" : "drain timed out",
      {{"fetched_bytes", node_->fetched().bytes}});
}

}  // namespace

absl::Status RunWorkerProcess(const WorkerProcessOptions& options) {
  Signals signals;  // Before any thread.
  InitLog("worker");
  WorkerProcess process(options);
  SHOAL_RETURN_IF_ERROR(process.Start());
  process.RunUntilSignal(signals);
  process.Drain();
  return absl::OkStatus();
}

}  // namespace shoal
