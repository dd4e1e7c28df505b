#include "router/dispatch/remote_experts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/limits.h"
#include "engine/numerics_class.h"

namespace shoal {
namespace {

// How often a waiting step looks whether it has been cancelled, who has fallen silent, and who has
// come back.
constexpr absl::Duration kTendPeriod = absl::Milliseconds(10);
constexpr int kMaxEventsAtStart = 1024;  // More wait for Await.
// After a rest this long, links may have closed or opened unseen.
constexpr absl::Duration kRest = absl::Milliseconds(50);

CallForm FormOf(const RemoteExperts::Options& options) {
  return {.model_id = options.model_id,
          .numerics_class = NumericsClass(options.format, options.activations_f32),
          .format = options.format,
          .hidden_dim = options.hidden_dim};
}

int MaxCallResults(const RemoteExperts::Options& options) {
  const int fit = RowsPerMessage(FormOf(options));
  return options.max_call_results > 0 ? std::min(options.max_call_results, fit) : fit;
}

// "layer 2: experts 1, 7 and 12 more" of what `held` lacks of layers with that many experts each;
// empty when it lacks nothing.
std::string MissingFrom(const ExpertSet& held, const std::vector<int>& layer_experts) {
  constexpr size_t kNamed = 4;
  for (int layer = 0; layer < held.n_layers(); ++layer) {
    std::vector<int> missing;
    for (int expert = 0; expert < layer_experts[layer]; ++expert) {
      if (!held.Contains(layer, expert)) missing.push_back(expert);
    }
    if (missing.empty()) continue;
    const size_t n_more = missing.size() - std::min(missing.size(), kNamed);
    missing.resize(missing.size() - n_more);
    return absl::StrCat("layer ", layer, ": experts ", absl::StrJoin(missing, ", "),
                        n_more > 0 ? absl::StrCat(" and ", n_more, " more") : "");
  }
  return "";
}

}  // namespace

RemoteExperts::Options RemoteExperts::OptionsFor(const ModelConfig& config, RowFormat format,
                                                 const KernelTable& kernels) {
  Options options;
  options.n_layers = config.n_layers;
  options.n_experts = config.MaxExperts();
  for (int layer = 0; layer < config.n_layers; ++layer) {
    options.layer_experts.push_back(config.NumExperts(layer));
  }
  options.top_k = config.MaxPicks();
  options.hidden_dim = config.hidden_dim;
  options.format = format;
  options.kernels = &kernels;
  return options;
}

absl::StatusOr<std::unique_ptr<RemoteExperts>> RemoteExperts::Create(
    Options options, std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health) {
  SHOAL_CHECK(options.kernels != nullptr);
  SHOAL_CHECK_EQ(options.layer_experts.size(), static_cast<size_t>(options.n_layers));
  if (const int most = MaxCallResults(options); most < options.top_k) {
    return absl::InvalidArgumentError(
        absl::StrCat("one row's top_k=", options.top_k, " results do not fit a call of ", most));
  }
  return std::unique_ptr<RemoteExperts>(
      new RemoteExperts(std::move(options), std::move(calls), std::move(health)));
}

RemoteExperts::RemoteExperts(Options options, std::unique_ptr<Dialer> calls,
                             std::unique_ptr<Dialer> health)
    : options_(std::move(options)),
      calls_dialer_(std::move(calls)),
      health_({.model_id = options_.model_id,
               .numerics_class = NumericsClass(options_.format, options_.activations_f32),
               .n_layers = options_.n_layers,
               .n_experts = options_.n_experts,
               .clock = options_.clock},
              std::move(health)),
      links_(calls_dialer_.get()),
      calls_({.form = FormOf(options_),
              .n_layers = options_.n_layers,
              .n_experts = options_.n_experts,
              .max_call_results = MaxCallResults(options_),
              .random = options_.random,
              .dialer = calls_dialer_.get(),
              .links = &links_}) {}

absl::Status RemoteExperts::CheckServable() const {
  const auto views = health_.views();
  ExpertSet held(options_.n_layers, options_.n_experts);
  std::string troubles;
  bool unfit = false;
  for (size_t i = 0; i < views->size(); ++i) {
    const PeerView& view = (*views)[i];
    if (!view.reachable) {
      unfit |= view.unfit;
      absl::StrAppend(&troubles, "; ", NameOf(view.member, static_cast<int>(i)), ": ",
                      std::string(view.trouble.message()));
      continue;
    }
    for (int layer = 0; layer < options_.n_layers; ++layer) {
      for (int expert = 0; expert < options_.n_experts; ++expert) {
        if (view.resident.Contains(layer, expert)) held.Insert(layer, expert);
      }
    }
  }
  const std::string missing = MissingFrom(held, options_.layer_experts);
  if (missing.empty()) return absl::OkStatus();
  const std::string why = absl::StrCat("no worker within reach holds ", missing, troubles);
  return unfit ? absl::FailedPreconditionError(why) : absl::UnavailableError(why);
}

absl::Status RemoteExperts::WaitUntilServable(absl::Time deadline) {
  while (true) {
    Tend();
    const absl::Status servable = CheckServable();
    if (servable.ok() && LinksReady()) return absl::OkStatus();
    const absl::Time now = options_.clock->Now();
    if (now >= deadline) {
      return servable.ok() ? absl::UnavailableError("no link for calls opened in time") : servable;
    }
    std::optional<LinkEvent> event = calls_dialer_->Next(std::min(deadline, now + kTendPeriod));
    if (event.has_value()) OnEvent(*std::move(event));
  }
}

// Whether calls can go to every worker whose health is good.
bool RemoteExperts::LinksReady() {
  for (int place = 0; place < links_.size(); ++place) {
    const WorkerLinks::Worker& worker = links_.at(place);
    if (worker.present && worker.reachable && worker.state != WorkerLinks::State::kOpen) {
      return false;
    }
  }
  return true;
}

ExpertCall RemoteExperts::Start(int layer, MatView<const float> x, const Routing& routing,
                                const StepContext& step) {
  step_ = step;
  TakeInArrived();
  const absl::Time now = options_.clock->Now();
  deadline_ = std::min(step.deadline, now + options_.replica_wait);
  const ExpertInput input =
      encode_buffers_.Encode(*options_.kernels, /*pool=*/nullptr, options_.format, x);
  calls_.Begin(layer, input, routing, step.step_id, deadline_, now);
  return ExpertCall(next_call_id_++);
}

RowStatuses RemoteExperts::Finish(ExpertCall /*call*/, MatView<float> out) {
  const absl::Time start = options_.clock->Now();
  Await();
  read_ = options_.clock->Now();
  const absl::Duration wait = read_ - start;
  calls_.counters().wait += wait;
  calls_.counters().network += wait - std::min(wait, calls_.last_compute());
  RowStatuses statuses = calls_.Combine(*options_.kernels, out);
  MutexLock lock(&mu_);
  published_ = calls_.AllCounters();
  PublishTraffic();
  return statuses;
}

// Until every row has its results or has failed, or the deadline passes.
void RemoteExperts::Await() {
  while (!calls_.done()) {
    if (step_.cancelled != nullptr && step_.cancelled->load()) {
      return calls_.FailRest(absl::CancelledError("the step was cancelled"));
    }
    const absl::Time now = options_.clock->Now();
    if (now >= deadline_) return calls_.FailRestAsUnavailable();
    if (now - tended_ >= kTendPeriod) {
      Tend();
      continue;
    }
    std::optional<LinkEvent> event =
        calls_dialer_->Next(std::min(deadline_, tended_ + kTendPeriod));
    if (event.has_value()) OnEvent(*std::move(event));
  }
}

void RemoteExperts::OnEvent(LinkEvent event) {
  const absl::Time now = options_.clock->Now();
  if (!event.status.ok()) return calls_.OnClosed(event.link, event.status, now);
  if (!event.opened) return calls_.OnFrame(event.link, std::move(event.frame), now);
  WorkerLinks::Worker* worker = links_.Find(event.link);
  if (worker == nullptr) return;
  links_.OnOpened(*worker);
  calls_.Tend(now);  // Parked rows may have waited for it.
}

// Between two steps nobody reads: what has come meanwhile, and who is a member now.
void RemoteExperts::TakeInArrived() {
  const absl::Time now = options_.clock->Now();
  if (now - read_ > kRest) {
    for (int n_empty = 0, n_events = 0; n_empty < 2 && n_events < kMaxEventsAtStart; ++n_events) {
      std::optional<LinkEvent> event = calls_dialer_->Next(now);
      event.has_value() ? OnEvent(*std::move(event)) : static_cast<void>(++n_empty);
    }
  }
  if (now - tended_ >= kTendPeriod || health_.version() != followed_version_) Tend();
}

void RemoteExperts::Tend() {
  tended_ = options_.clock->Now();
  if (health_.version() != followed_version_) FollowMembers();
  links_.Dial(tended_);
  calls_.Tend(tended_);
}

void RemoteExperts::FollowMembers() {
  const uint64_t version = health_.version();
  std::vector<LinkId> gone;
  if (links_.Sync(*health_.views(), &gone)) followed_version_ = version;
  for (const LinkId link : gone) calls_.OnGone(link, tended_);
  MutexLock lock(&mu_);
  names_.clear();
  for (int place = 0; place < links_.size(); ++place) {
    const WorkerLinks::Worker& worker = links_.at(place);
    const std::string& id = worker.member.node_id;
    names_.push_back(!worker.present ? "" : id.empty() ? worker.member.address : id);
  }
  PublishTraffic();
}

void RemoteExperts::PublishTraffic() {
  traffic_.resize(names_.size());
  for (size_t place = 0; place < traffic_.size(); ++place) {
    traffic_[place] = links_.at(static_cast<int>(place)).traffic;
  }
}

RemoteExperts::Traffic RemoteExperts::traffic() const {
  Traffic traffic;
  MutexLock lock(&mu_);
  for (size_t place = 0; place < names_.size(); ++place) {
    if (!names_[place].empty()) traffic.emplace_back(names_[place], traffic_[place]);
  }
  return traffic;
}

DispatchCounters RemoteExperts::counters() const {
  MutexLock lock(&mu_);
  return published_;
}

absl::StatusOr<std::vector<WorkerStatus>> RemoteExperts::GetWorkerStatus(absl::Time deadline) {
  const auto views = health_.Ask(deadline);
  if (!views.ok()) return views.status();
  std::vector<WorkerStatus> workers;
  for (const PeerView& view : **views) workers.push_back(view.status);
  return workers;
}

}  // namespace shoal
