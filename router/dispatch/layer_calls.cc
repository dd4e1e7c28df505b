#include "router/dispatch/layer_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"

namespace shoal {
namespace {

// FAILURE-MODEL 4: attempts of a call before its rows pause, and the longest such pause.
constexpr uint32_t kMaxAttempts = 3;
constexpr absl::Duration kMaxPause = absl::Milliseconds(50);
constexpr absl::Duration kDecodePatience = absl::Seconds(1);
constexpr absl::Duration kPrefillPatience = absl::Seconds(10);
// How long a worker that owes an answer is asked last; its health has spoken by then.
constexpr absl::Duration kOverdue = absl::Seconds(1);

constexpr int32_t kUnset = -2;  // In worker_of_: no pair has asked for that expert yet.
constexpr int32_t kNobody = -1;

}  // namespace

LayerCalls::LayerCalls(const Options& options)
    : options_(options),
      dialer_(*options.dialer),
      links_(*options.links),
      table_(options.random->Next64()),
      latency_(options.n_layers),
      worker_of_(options.n_experts, kUnset),
      scratch_(options.form.hidden_dim) {}

void LayerCalls::Begin(int layer, const ExpertInput& input, const Routing& routing,
                       uint64_t step_id, absl::Time deadline, absl::Time now) {
  layer_ = layer;
  input_ = input;
  n_tokens_ = routing.n_tokens;
  step_id_ = step_id;
  deadline_ = deadline;
  now_ = now;
  patience_cap_ = n_tokens_ <= kMaxBatchSequences ? kDecodePatience : kPrefillPatience;
  last_compute_ = absl::ZeroDuration();
  disturbed_ = false;
  parked_.clear();
  statuses_ = RowStatuses();
  plan_.Begin(routing);
  table_.Clear();
  links_.BeginStep();
  const size_t n_pairs = routing.topk_ids.size();
  pairs_.assign(n_pairs, PairState{});
  while (all_pairs_.size() < n_pairs) all_pairs_.push_back(static_cast<int32_t>(all_pairs_.size()));
  for (const int t : RowsNotFinite(input)) {
    FailPairs(std::span(all_pairs_).subspan(size_t(t) * routing.top_k, routing.top_k),
              absl::InternalError("a row for the experts holds a number that is not finite"));
  }
  SendToReplicas(std::span(all_pairs_).first(n_pairs), 0, {}, now);
  HandleEnded();
}

// Plans and sends calls for those of `pairs` (ascending) that are not settled, to workers outside
// `tried`; those that nobody can be asked for are parked until `retry_at`.
void LayerCalls::SendToReplicas(std::span<const int32_t> pairs, uint32_t attempt,
                                const WorkerSet& tried, absl::Time retry_at) {
  std::vector<int32_t> left;
  if (plan_.n_unsettled() < static_cast<int>(pairs_.size())) {
    for (const int32_t pair : pairs) {
      if (!plan_.settled(pair)) left.push_back(pair);
    }
    pairs = left;
  }
  const bool complete = ChooseWorkers(pairs, tried);
  const int first = plan_.AddCalls(pairs, worker_of_, options_.max_call_results);
  std::vector<int32_t> nowhere;
  for (const int32_t pair : pairs) {
    if (!complete && worker_of_[plan_.expert_of(pair)] == kNobody) nowhere.push_back(pair);
  }
  for (const int32_t pair : pairs) worker_of_[plan_.expert_of(pair)] = kUnset;
  const auto end = static_cast<int>(plan_.calls().size());
  for (int i = first; i < end; ++i) OpenCall(i, attempt, tried);
  for (int i = first; i < end; ++i) SendWaiting(links_.at(plan_.calls()[i].worker));
  if (!nowhere.empty()) Park(std::move(nowhere), attempt, retry_at);
}

// Fills worker_of_ for the experts of `pairs`; false when one of them has nobody.
bool LayerCalls::ChooseWorkers(std::span<const int32_t> pairs, const WorkerSet& tried) {
  bool complete = true;
  picker_.Begin(links_.speeds());
  for (const int32_t pair : pairs) {
    const int32_t expert = plan_.expert_of(pair);
    if (worker_of_[expert] != kUnset) continue;
    worker_of_[expert] = kNobody;
    const std::span<const int> candidates = links_.Candidates(layer_, expert, tried, now_);
    if (candidates.empty()) {
      complete = false;
    } else {
      picker_.AddExpert(expert, candidates);
    }
  }
  picker_.Pick(worker_of_);
  return complete;
}

void LayerCalls::OpenCall(int i, uint32_t attempt, const WorkerSet& tried) {
  const PlannedCall& planned = plan_.calls()[i];
  WorkerLinks::Worker& worker = links_.at(planned.worker);
  WorkerCall call;
  call.link = worker.link;
  call.format = options_.form.format;
  call.n_results = static_cast<uint32_t>(planned.assignment.n_results());
  call.hidden_dim = static_cast<uint32_t>(options_.form.hidden_dim);
  call.tried = tried;
  call.tried.set(planned.worker);
  table_.Open(std::move(call), step_id_, static_cast<uint32_t>(layer_),
              static_cast<uint32_t>(planned.worker), attempt);
  SHOAL_CHECK_EQ(table_.calls().size(), static_cast<size_t>(i) + 1);
  for (const int32_t pair : planned.pairs) ++pairs_[pair].n_calls;
  worker.waiting.push_back(i);
  ++counters_.calls;
  ++worker.traffic.calls;
  budget_.OnCall(now_);
  disturbed_ |= attempt > 0;
}

// A worker refuses more calls at once than kMaxCallsPerPeer; the others follow as replies come.
void LayerCalls::SendWaiting(WorkerLinks::Worker& worker) {
  while (!worker.waiting.empty() && worker.n_outstanding < kMaxCallsPerPeer) {
    const int i = worker.waiting.front();
    worker.waiting.pop_front();
    if (table_.call(i).state == CallState::kWaiting) SendCall(i, worker);
  }
}

void LayerCalls::SendCall(int i, WorkerLinks::Worker& worker) {
  WorkerCall& call = table_.call(i);
  const PlannedCall& planned = plan_.calls()[i];
  FrameBuffer frame = EncodeCall(options_.form, planned, call.id, input_, deadline_ - now_);
  const size_t n_bytes = frame.size();
  if (absl::Status sent = dialer_.Send(worker.link, std::move(frame)); !sent.ok()) {
    const LinkId link = worker.link;
    dialer_.Close(link);
    links_.OnClosed(worker, sent, now_);
    ++counters_.lost_workers;
    return table_.OnClosed(link, sent);
  }
  counters_.bytes_out += n_bytes;
  worker.traffic.bytes_out += n_bytes;
  call.state = CallState::kSent;
  call.sent = now_;
  call.patience =
      now_ + latency_.Patience(layer_, static_cast<int>(planned.tokens.size()), patience_cap_);
  ++worker.n_outstanding;
}

void LayerCalls::OnFrame(LinkId link, FrameBuffer frame, absl::Time now) {
  now_ = now;
  counters_.bytes_in += frame.size();
  WorkerLinks::Worker* worker = links_.Find(link);
  if (worker != nullptr) worker->traffic.bytes_in += frame.size();
  const CallTable::FrameKind kind = table_.OnFrame(link, std::move(frame));
  if (worker != nullptr) {
    worker->overdue_until = absl::InfinitePast();
    if (kind == CallTable::FrameKind::kCorrupt) links_.OnCorrupt(*worker, now);
  }
  HandleEnded();
}

void LayerCalls::OnClosed(LinkId link, const absl::Status& why, absl::Time now) {
  now_ = now;
  if (WorkerLinks::Worker* worker = links_.Find(link); worker != nullptr) {
    if (worker->state == WorkerLinks::State::kOpen) ++counters_.lost_workers;
    links_.OnClosed(*worker, why, now);
  }
  table_.OnClosed(link, why);
  HandleEnded();
}

void LayerCalls::OnGone(LinkId link, absl::Time now) {
  now_ = now;
  table_.OnClosed(link, absl::UnavailableError("left the cluster"));
  HandleEnded();
}

void LayerCalls::HandleEnded() {
  while (const std::optional<int> i = table_.NextEnded()) {
    Release(*i);
    const WorkerCall& call = table_.call(*i);
    switch (call.state) {
      case CallState::kAnswered:
        OnAnswered(*i);
        break;
      case CallState::kAbandoned:
        break;
      case CallState::kHopeless:
        CountFailed(*i);
        OnHopeless(*i);
        break;
      default:
        CountFailed(*i);
        Retry(*i);
    }
    SendWaiting(links_.at(plan_.calls()[*i].worker));
  }
}

void LayerCalls::CountFailed(int i) {
  ++counters_.failed_calls;
  ++TrafficOf(i).failed_calls;
}

// That worker and this router do not fit together; another worker may.
void LayerCalls::OnHopeless(int i) {
  const WorkerCall& call = table_.call(i);
  const absl::Status why(call.status.code(),
                         absl::StrCat(NameOfWorker(i), ": ", std::string(call.status.message())));
  const uint32_t attempt = call.id.attempt() + 1;
  const WorkerSet tried = call.tried;
  std::vector<int32_t> elsewhere;
  for (const int32_t pair : Uncovered(i)) {
    if (links_.Candidates(layer_, plan_.expert_of(pair), tried, now_).empty()) {
      FailPairs(std::span(&pair, 1), why);
    } else {
      elsewhere.push_back(pair);
    }
  }
  if (!elsewhere.empty()) SendToReplicas(elsewhere, attempt, tried, now_);
}

// An ended call no longer stands for its pairs, nor for one of its worker's places.
void LayerCalls::Release(int i) {
  const WorkerCall& call = table_.call(i);
  WorkerLinks::Worker& worker = links_.at(plan_.calls()[i].worker);
  const bool was_sent = call.patience != absl::InfiniteFuture();
  if (was_sent && worker.link == call.link && worker.state == WorkerLinks::State::kOpen) {
    --worker.n_outstanding;
  }
  if (call.overdue) return;
  for (const int32_t pair : plan_.calls()[i].pairs) --pairs_[pair].n_calls;
}

void LayerCalls::OnAnswered(int i) {
  const WorkerCall& call = table_.call(i);
  const PlannedCall& planned = plan_.calls()[i];
  latency_.Add(layer_, static_cast<int>(planned.tokens.size()), now_ - call.sent);
  last_compute_ = call.compute;
  WorkerTraffic& traffic = TrafficOf(i);
  ++traffic.answers;
  traffic.rows += call.n_results;
  traffic.call_time += now_ - call.sent;
  for (const int32_t row : call.rows_not_finite) {
    FailPairs(std::span(&planned.pairs[row], 1),
              absl::InternalError(absl::StrCat(
                  NameOfWorker(i), ": a result row holds a number that is not finite")));
  }
  plan_.Answer(i);
  if (disturbed_) AbandonSettled();
}

// Of several calls for the same pairs the first answer won.
void LayerCalls::AbandonSettled() {
  for (size_t i = 0; i < table_.calls().size(); ++i) {
    if (!table_.calls()[i].open()) continue;
    const std::vector<int32_t>& pairs = plan_.calls()[i].pairs;
    const auto settled = [this](int32_t pair) { return plan_.settled(pair); };
    if (!std::all_of(pairs.begin(), pairs.end(), settled)) continue;
    table_.End(static_cast<int>(i), CallState::kAbandoned, absl::OkStatus());
  }
}

// Pairs of a call that nobody works on any more, ascending.
std::vector<int32_t> LayerCalls::Uncovered(int i) const {
  std::vector<int32_t> pairs;
  for (const int32_t pair : plan_.calls()[i].pairs) {
    if (!plan_.settled(pair) && pairs_[pair].n_calls == 0 && !pairs_[pair].parked) {
      pairs.push_back(pair);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

// A call was lost, refused or garbled.
void LayerCalls::Retry(int i) {
  const WorkerCall& call = table_.call(i);
  const std::vector<int32_t> pairs = Uncovered(i);
  if (pairs.empty()) return;
  const bool free = call.state == CallState::kLost;
  ++(free                                ? counters_.retried.lost
     : call.state == CallState::kRefused ? counters_.retried.refused
                                         : counters_.retried.corrupt);
  ++TrafficOf(i).retried_calls;
  const uint32_t attempt = call.id.attempt() + 1;
  const WorkerSet tried = call.tried;
  const absl::Time later = free ? now_ : SoonAfterNow();
  if (!free && attempt >= kMaxAttempts) return Park(pairs, attempt, later);
  SendToReplicas(pairs, attempt, tried, later);
}

// Full jitter, so that calls of many routers do not come back all at once.
absl::Time LayerCalls::SoonAfterNow() {
  const auto most = static_cast<uint64_t>(absl::ToInt64Microseconds(kMaxPause));
  return now_ + absl::Microseconds(1000 + options_.random->Next64() % most);
}

void LayerCalls::Tend(absl::Time now) {
  now_ = now;
  if (done()) return;
  const auto n_calls = static_cast<int>(table_.calls().size());
  for (int i = 0; i < n_calls; ++i) {
    const WorkerCall& call = table_.call(i);
    if (call.state != CallState::kSent || call.overdue) continue;
    if (now >= call.patience || !links_.at(plan_.calls()[i].worker).reachable) MoveAway(i);
  }
  if (!parked_.empty()) Unpark();
  HandleEnded();
}

// Sends a call that is still open to others as well; whoever answers first is used. Not so when
// there is nobody else: then it waits on.
void LayerCalls::MoveAway(int i) {
  WorkerCall& call = table_.call(i);
  const PlannedCall& planned = plan_.calls()[i];
  WorkerLinks::Worker& worker = links_.at(planned.worker);
  const uint32_t attempt = call.id.attempt() + 1;
  std::vector<int32_t> pairs = planned.pairs;
  std::sort(pairs.begin(), pairs.end());
  const WorkerSet asked = StillAsked(pairs);
  if (!AnyoneElse(planned, asked)) return;
  if (!worker.reachable) {
    ++counters_.retried.suspect;
  } else if (attempt < kMaxAttempts && budget_.TryTake(now_)) {
    ++counters_.retried.slow;
    worker.overdue_until = now_ + kOverdue;
  } else {
    return;
  }
  ++worker.traffic.retried_calls;
  call.overdue = true;
  for (const int32_t pair : planned.pairs) --pairs_[pair].n_calls;
  SendToReplicas(Uncovered(i), attempt, asked, now_);
}

bool LayerCalls::AnyoneElse(const PlannedCall& planned, const WorkerSet& tried) {
  for (const int32_t expert : planned.assignment.expert_ids) {
    const std::span<const int> candidates = links_.Candidates(layer_, expert, tried, now_);
    if (!candidates.empty() && WorkerLinks::Sound(links_.at(candidates[0]), now_)) return true;
  }
  return false;
}

// All sequences of the step wait with the parked rows: there is one step at a time. Cancelling the
// step ends it.
void LayerCalls::Park(std::vector<int32_t> pairs, uint32_t attempt, absl::Time retry_at) {
  for (const int32_t pair : pairs) pairs_[pair].parked = true;
  if (attempt == 0 || StillAsked(pairs).none()) ++counters_.parked;
  parked_.push_back({std::move(pairs), attempt, retry_at});
}

void LayerCalls::Unpark() {
  const uint64_t n_parked = counters_.parked;
  std::vector<Parked> parked = std::exchange(parked_, {});
  for (Parked& group : parked) {
    if (now_ < group.retry_at) {
      parked_.push_back(std::move(group));
      continue;
    }
    for (const int32_t pair : group.pairs) pairs_[pair].parked = false;
    std::erase_if(group.pairs, [this](int32_t pair) { return plan_.settled(pair); });
    SendToReplicas(group.pairs, group.attempt, StillAsked(group.pairs), now_);
  }
  counters_.parked = n_parked;  // Those that have to wait on are counted already.
}

// Workers that have an open call for any of the pairs.
WorkerSet LayerCalls::StillAsked(std::span<const int32_t> pairs) const {
  WorkerSet asked;
  for (size_t i = 0; i < table_.calls().size(); ++i) {
    if (!table_.calls()[i].open()) continue;
    for (const int32_t pair : plan_.calls()[i].pairs) {
      if (std::binary_search(pairs.begin(), pairs.end(), pair)) asked.set(plan_.calls()[i].worker);
    }
  }
  return asked;
}

void LayerCalls::FailPairs(std::span<const int32_t> pairs, const absl::Status& why) {
  for (const int32_t pair : pairs) {
    if (plan_.settled(pair)) continue;
    plan_.Fail(pair);
    const int t = plan_.row_of(pair);
    if (statuses_.row(t).ok()) statuses_.Fail(t, why);
  }
}

void LayerCalls::FailRest(const absl::Status& why) {
  FailPairs(std::span(all_pairs_).first(pairs_.size()), why);
}

void LayerCalls::FailRestAsUnavailable() {
  for (size_t i = 0; i < table_.calls().size(); ++i) {
    if (!table_.calls()[i].open()) continue;
    FailPairs(plan_.calls()[i].pairs,
              absl::UnavailableError(absl::StrCat(kExpertUnavailable, ": ",
                                                  NameOfWorker(static_cast<int>(i)),
                                                  ": no answer before the deadline")));
  }
  for (const int32_t pair : std::span(all_pairs_).first(pairs_.size())) {
    if (plan_.settled(pair)) continue;
    FailPairs(std::span(&pair, 1),
              absl::UnavailableError(
                  absl::StrCat(kExpertUnavailable, ": no worker within reach holds expert ",
                               plan_.expert_of(pair), " of layer ", layer_, links_.Troubles())));
  }
}

RowStatuses LayerCalls::Combine(const KernelTable& kernels, MatView<float> out) {
  parked_.clear();
  AbandonSettled();
  HandleEnded();
  outputs_.clear();
  for (const WorkerCall& call : table_.calls()) outputs_.push_back(call.output);
  for (int t = 0; t < n_tokens_; ++t) {
    if (!statuses_.ok() && !statuses_.row(t).ok()) continue;
    plan_.CombineRow(kernels, outputs_, t, scratch_.data(), out.row(t));
  }
  return std::move(statuses_);
}

DispatchCounters LayerCalls::AllCounters() const {
  DispatchCounters counters = counters_;
  counters.dropped = table_.dropped();
  return counters;
}

}  // namespace shoal
