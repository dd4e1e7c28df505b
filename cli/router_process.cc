#include "cli/router_process.h"

#include <signal.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "cli/progress.h"

namespace shoal {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(20);  // Between looks at a signal.
constexpr absl::Duration kWaitPeriod = absl::Milliseconds(250);
constexpr absl::Duration kSayPeriod = absl::Seconds(5);  // Between words on what is missing.
constexpr absl::Duration kFirstWord = absl::Seconds(2);  // Of the coordinator, at the start.
constexpr int kMaxLoads = 3;                             // Of one model's stored weights.

// Runs `work` on a thread of its own until it ends; a signal sets `cancelled`.
template <typename Work>
absl::Status RunUnlessSignalled(Signals& signals, std::atomic<bool>* cancelled, const Work& work) {
  absl::Status status;
  std::atomic<bool> done{false};
  std::thread thread([&] {
    status = work();
    done.store(true);
  });
  while (!done.load()) {
    const std::optional<int> signal = signals.WaitUntil(MonotonicNow() + kLook);
    if (signal == SIGINT || signal == SIGTERM) cancelled->store(true);
  }
  thread.join();
  return status;
}

// The workers of a snapshot, as dispatch knows them.
std::vector<WorkerMember> WorkersOf(const Snapshot& snapshot) {
  std::vector<WorkerMember> workers;
  for (const Snapshot::Member& member : snapshot.members) {
    if (member.node.role != NodeRole::kWorker) continue;
    workers.push_back({.node_id = member.node.node_id,
                       .address = member.peer_address,
                       .draining = member.draining});
  }
  return workers;
}

class RouterProcess {
 public:
  explicit RouterProcess(const RouterProcessOptions& options) : options_(options) {}
  ~RouterProcess() { SetModel({}, nullptr); }

  absl::Status Start();
  absl::Status Run(Signals& signals);

 private:
  void KeepPort(const std::string& url);
  void HearCoordinator();
  void Rest(absl::Duration time) SHOAL_EXCLUDES(mu_);
  absl::Status Load();
  absl::Status TakeShards(const Node::Model& model);
  void PutDamagedAside(const Node::Model& model);
  bool WaitUntilServable();
  void SetModel(const Sha256Digest& id, RemoteExperts* experts) SHOAL_EXCLUDES(mu_);
  void TakeMembers() SHOAL_EXCLUDES(mu_);
  bool ModelHasChanged() const;
  void Report(std::optional<RouterLoad> load);
  void Say(const absl::Status& missing);

  RouterProcessOptions options_;
  std::atomic<bool> cancelled_{false};
  absl::Time said_ = absl::InfinitePast();
  Sha256Digest model_id_ = {};  // Of model_.

  Mutex mu_;
  CondVar rest_;
  RemoteExperts* experts_ SHOAL_GUARDED_BY(mu_) = nullptr;  // Of model_.

  std::unique_ptr<Node> node_;  // Its thread calls TakeMembers.
  std::unique_ptr<LoadedModel> model_;
};

absl::Status RouterProcess::Start() {
  SHOAL_ASSIGN_OR_RETURN(node_, Node::Open(options_.node, NodeRole::kRouter, MachineSeams()));
  InitLog(absl::StrCat("router-", node_->identity().node_id));
  options_.serve.model.node = node_.get();
  options_.serve.model.spin = absl::Microseconds(options_.spin_us);
  SHOAL_ASSIGN_OR_RETURN(options_.serve.model.kv_type, ParseKvType(options_.serve.kv_type));
  node_->Follow([this](const std::shared_ptr<const Snapshot>&) { TakeMembers(); });
  node_->client().SetReport({});
  return absl::OkStatus();
}

absl::Status RouterProcess::Run(Signals& signals) {
  SHOAL_RETURN_IF_ERROR(ListenForRequests(options_.serve).status());  // Before a long load.
  SHOAL_ASSIGN_OR_RETURN(const auto probes,
                         RouterProbes::Start(options_.serve.ops_listen, [this](Metrics* metrics) {
                           node_->AddMetrics(metrics);
                         }));
  while (true) {
    SHOAL_RETURN_IF_ERROR(RunUnlessSignalled(signals, &cancelled_, [this] { return Load(); }));
    if (cancelled_.load()) return absl::OkStatus();
    const auto beat = [this, &probes = *probes] {
      Report(probes.ReadLoad());
      return !ModelHasChanged();
    };
    const auto by_signal = ServeLoaded(options_.serve, *model_, *probes, signals, beat,
                                       [this](const std::string& url, const std::string& name) {
                                         KeepPort(url);
                                         PrintListening(url, name);
                                       });
    SetModel({}, nullptr);
    model_.reset();
    if (!by_signal.ok()) return by_signal.status();
    if (*by_signal) return absl::OkStatus();
    Log(LogLevel::kInfo, "another model");
  }
}

// The next model is served at the same port, also where any was good.
void RouterProcess::KeepPort(const std::string& url) {
  std::string& listen = options_.serve.listen;
  listen = listen.substr(0, listen.rfind(':')) + url.substr(url.rfind(':'));
}

// What lies on the disk may be of long ago: a coordinator that is there gets to speak first.
void RouterProcess::HearCoordinator() {
  const absl::Time until = MonotonicNow() + kFirstWord;
  while (!cancelled_.load() && MonotonicNow() < until) {
    const CoordinatorClient::Counters counters = node_->client().counters();
    if (counters.snapshots + counters.stale_snapshots > 0) return;
    Rest(kLook);
  }
}

void RouterProcess::Rest(absl::Duration time) {
  MutexLock lock(&mu_);
  rest_.WaitUntil(&mu_, std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(time));
}

// The model that the snapshot says, ready for requests; ends early once it is cancelled.
absl::Status RouterProcess::Load() {
  HearCoordinator();
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(2), SystemRandom());
  for (int n_loads = 0; !cancelled_.load();) {
    const auto model = node_->WaitForModel(MonotonicNow() + kWaitPeriod, &cancelled_);
    if (!model.ok()) {
      Say(model.status());
      continue;
    }
    const absl::Status taken = TakeShards(*model);
    if (absl::IsResourceExhausted(taken)) return taken;
    if (!taken.ok()) {
      Say(taken);
      Rest(backoff.Next());
      continue;
    }
    options_.serve.model.model_id = model->manifest.id;
    auto loaded = LoadedModel::Load(options_.serve.model);
    const bool damaged = absl::IsDataLoss(loaded.status()) || absl::IsNotFound(loaded.status());
    if (damaged && ++n_loads < kMaxLoads) {
      Say(loaded.status());
      PutDamagedAside(*model);
      continue;
    }
    if (!loaded.ok()) return loaded.status();
    model_ = *std::move(loaded);
    SetModel(model->manifest.id, model_->remote_experts());
    if (WaitUntilServable()) {
      node_->KeepOnly(model_id_);
      return absl::OkStatus();
    }
    SetModel({}, nullptr);
    model_.reset();
  }
  return absl::OkStatus();
}

// Loading ends at the first one; after a power cut there may be many. They come anew.
void RouterProcess::PutDamagedAside(const Node::Model& model) {
  for (const ShardInfo* shard : TrunkShards(model.manifest.manifest)) {
    node_->data().shards().Verify(*shard).IgnoreError();  // Deletes what is damaged.
  }
}

absl::Status RouterProcess::TakeShards(const Node::Model& model) {
  const std::vector<const ShardInfo*> shards = TrunkShards(model.manifest.manifest);
  ProgressLine progress("fetch");
  return node_->EnsureShards(
      shards, [&](uint64_t done, uint64_t all) { progress.Update(done, all); }, &cancelled_);
}

// Whether every expert is with a worker that answers; not, once cancelled or when the cluster's
// model has changed meanwhile.
bool RouterProcess::WaitUntilServable() {
  while (!cancelled_.load() && !ModelHasChanged()) {
    Report(std::nullopt);
    const absl::Status status =
        model_->remote_experts()->WaitUntilServable(MonotonicNow() + kWaitPeriod);
    if (status.ok()) return true;
    Say(status);
  }
  return false;
}

void RouterProcess::SetModel(const Sha256Digest& id, RemoteExperts* experts) {
  model_id_ = id;
  {
    MutexLock lock(&mu_);
    experts_ = experts;
  }
  TakeMembers();
}

// The newest ones, whoever calls first.
void RouterProcess::TakeMembers() {
  MutexLock lock(&mu_);
  if (experts_ != nullptr) experts_->SetMembers(WorkersOf(*node_->snapshot()));
}

bool RouterProcess::ModelHasChanged() const {
  const std::shared_ptr<const Snapshot> snapshot = node_->snapshot();
  return snapshot->model_id.has_value() && *snapshot->model_id != model_id_;
}

// Tells the coordinator what this router does, and what it sees of the workers.
void RouterProcess::Report(std::optional<RouterLoad> load) {
  NodeReport report;
  report.load = std::move(load);
  report.model_id = model_id_;
  const std::shared_ptr<const PeerViews> views = model_->remote_experts()->peers();
  for (const PeerView& view : *views) {
    report.peers.push_back({.node_id = view.member.node_id,
                            .reachable = view.reachable,
                            .round_trip = view.round_trip});
  }
  node_->client().SetReport(std::move(report));
}

void RouterProcess::Say(const absl::Status& missing) {
  if (MonotonicNow() - said_ < kSayPeriod) return;
  said_ = MonotonicNow();
  Log(LogLevel::kInfo, "waiting", {{"for", std::string(missing.message())}});
}

}  // namespace

absl::Status RunRouterProcess(const RouterProcessOptions& options) {
  Signals signals;  // Before any thread.
  InitLog("router");
  RouterProcess process(options);
  SHOAL_RETURN_IF_ERROR(process.Start());
  return process.Run(signals);
}

}  // namespace shoal
