#include "worker/placement_follower.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "base/thread_priority.h"

namespace shoal {
namespace {

constexpr absl::Duration kShortestRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(5);

}  // namespace

PlacementFollower::PlacementFollower(Options options)
    : options_(std::move(options)), backoff_(kShortestRetry, kLongestRetry, options_.random) {}

PlacementFollower::~PlacementFollower() { Stop(); }

void PlacementFollower::Start() {
  thread_ = std::thread([this] {
    LowerThreadPriority();
    Loop();
  });
}

void PlacementFollower::Stop() {
  {
    MutexLock lock(&mu_);
    stop_.store(true);
    cancelled_.store(true);
    woken_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void PlacementFollower::Loop() {
  while (!stop_.load()) {
    const absl::Time next = RunOnce();
    const absl::Duration wait =
        std::clamp(next - options_.store.clock->Now(), absl::ZeroDuration(), absl::Hours(1));
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(wait);
    MutexLock lock(&mu_);
    while (!stop_.load() && !wake_ && woken_.WaitUntil(&mu_, until)) {
    }
    wake_ = false;
  }
}

std::shared_ptr<PlacementFollower::Hosted> PlacementFollower::hosted() const {
  MutexLock lock(&mu_);
  return hosted_;
}

void PlacementFollower::OnSnapshot(std::shared_ptr<const Snapshot> snapshot) {
  {
    MutexLock lock(&mu_);
    snapshot_ = std::move(snapshot);
    if (hosted_ != nullptr && snapshot_->model_id == hosted_->model_id) {
      AssignFrom(*snapshot_, *hosted_);
    } else {
      if (hosted_ != nullptr) hosted_->store->Assign({}, {});
      cancelled_.store(true);
    }
    wake_ = true;
    woken_.SignalAll();
  }
  Report();
}

// Of what is assigned here, what no other member holds comes first.
void PlacementFollower::AssignFrom(const Snapshot& snapshot, const Hosted& hosted) const {
  const Snapshot::Member* self = snapshot.Find(options_.node_id);
  if (self == nullptr) return hosted.store->Assign({}, {});
  ExpertSet first = self->assigned;
  for (int layer = 0; layer < first.n_layers(); ++layer) {
    for (int expert = 0; expert < first.n_experts(); ++expert) {
      if (!first.Contains(layer, expert)) continue;
      if (snapshot.HoldersOf(layer, expert).size() > 1) first.Erase(layer, expert);
    }
  }
  hosted.store->Assign(self->assigned, first);
}

absl::Time PlacementFollower::RunOnce() {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<Hosted> hosted;
  {
    MutexLock lock(&mu_);
    snapshot = snapshot_;
    hosted = hosted_;
    if (!stop_.load()) cancelled_.store(false);
  }
  if (snapshot == nullptr) return absl::InfiniteFuture();
  if (hosted == nullptr ? snapshot->model_id.has_value() : snapshot->model_id != hosted->model_id) {
    return ChangeModel(snapshot);
  }
  if (hosted == nullptr) return absl::InfiniteFuture();
  absl::Time next = hosted->store->RunOnce(&cancelled_);
  Report();
  const ExpertStore::Progress progress = hosted->store->progress();
  const bool complete = progress.n_advertised == progress.n_assigned;
  if (complete && !hosted->complete) options_.on_complete(hosted->model_id);
  hosted->complete = complete;
  if (next <= options_.store.clock->Now()) return next;
  options_.on_idle();
  return std::min(next, hosted->scrubber->RunOnce());
}

// Lets go of one model and makes ready for the next. Returns when to go on.
absl::Time PlacementFollower::ChangeModel(const std::shared_ptr<const Snapshot>& snapshot) {
  const absl::Time now = options_.store.clock->Now();
  {
    MutexLock lock(&mu_);
    hosted_ = nullptr;
  }
  options_.serve(nullptr);
  Report();
  if (!snapshot->model_id.has_value()) return absl::InfiniteFuture();
  absl::StatusOr<std::shared_ptr<Hosted>> made = MakeHosted(*snapshot);
  if (!made.ok()) {
    if (!absl::IsCancelled(made.status())) {
      Log(LogLevel::kWarning, "no model yet", {{"why", std::string(made.status().message())}});
    }
    return now + backoff_.Next();
  }
  backoff_.Reset();
  options_.serve((*made)->served);
  MutexLock lock(&mu_);
  hosted_ = *std::move(made);
  // The newest: it may be another one by now, and then names another model or not.
  if (snapshot_->model_id == hosted_->model_id) AssignFrom(*snapshot_, *hosted_);
  return now;
}

absl::StatusOr<std::shared_ptr<PlacementFollower::Hosted>> PlacementFollower::MakeHosted(
    const Snapshot& snapshot) {
  auto hosted = std::make_shared<Hosted>();
  SHOAL_ASSIGN_OR_RETURN(Model model, options_.get_model(snapshot, &cancelled_));
  hosted->model_id = model.id;
  SHOAL_ASSIGN_OR_RETURN(hosted->served, options_.make_served(model));
  const auto manifest = std::make_shared<const Manifest>(std::move(model.manifest));
  hosted->store = std::make_unique<ExpertStore>(options_.store, manifest, hosted->served);
  hosted->scrubber = std::make_unique<Scrubber>(
      Scrubber::Options{.files = options_.store.files,
                        .clock = options_.store.clock,
                        .on_corrupt = [store = hosted->store.get()](
                                          const ShardInfo& shard) { store->OnFileLost(shard); }},
      manifest);
  return hosted;
}

void PlacementFollower::Report() {
  MutexLock report_lock(&report_mu_);
  const std::shared_ptr<Hosted> hosted = this->hosted();
  const Sha256Digest model_id = hosted == nullptr ? Sha256Digest{} : hosted->model_id;
  ExpertSet advertised = hosted == nullptr ? ExpertSet() : hosted->served->advertised();
  if (model_id == reported_model_ && advertised == reported_) return;
  reported_model_ = model_id;
  reported_ = std::move(advertised);
  options_.report(reported_model_, reported_);
}

bool PlacementFollower::IsComplete() const {
  const std::shared_ptr<Hosted> hosted = this->hosted();
  if (hosted == nullptr) return false;
  const ExpertStore::Progress progress = hosted->store->progress();
  return progress.n_advertised == progress.n_assigned;
}

ExpertStore::Progress PlacementFollower::progress() const {
  const std::shared_ptr<Hosted> hosted = this->hosted();
  return hosted == nullptr ? ExpertStore::Progress{} : hosted->store->progress();
}

}  // namespace shoal
