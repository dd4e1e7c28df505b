#include "coordinator/placement_keeper.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

constexpr double kStickiness = 0.05;  // What differs by less is the same.

bool Differs(double a, double b) { return std::abs(a - b) > kStickiness * std::max(a, b); }

bool Same(const ExpertSet& a, const ExpertSet& b) { return a == b || (a.empty() && b.empty()); }

ExpertSet Sized(const ExpertSet& set, const PlannerInput& input) {
  return set.n_layers() == input.n_layers() && set.n_experts() == input.n_experts
             ? set
             : ExpertSet(input.n_layers(), input.n_experts);
}

// Whether what is planned already does as well as a new plan: complete, and everybody's count
// within 5 %, or one expert, of what the new plan gives.
bool AsGood(const PlannerInput& input, const Placement& next) {
  for (int layer = 0; layer < input.n_layers(); ++layer) {
    for (int expert = 0; expert < input.NumExperts(layer); ++expert) {
      int n = 0;
      for (const PlannerWorker& worker : input.workers) n += worker.holds.Contains(layer, expert);
      if (n != next.replicas) return false;
    }
  }
  for (size_t i = 0; i < input.workers.size(); ++i) {
    const int now = input.workers[i].holds.size();
    const int then = next.assigned[i].size();
    if (std::abs(now - then) > std::max(1.0, kStickiness * then)) return false;
    if (input.workers[i].draining && now > 0) return false;
  }
  return true;
}

std::string Describe(const PlannerInput& input, const Placement& placement) {
  size_t n_experts = 0;
  for (const auto& layer : input.expert_bytes) n_experts += layer.size();
  std::string text = absl::StrCat(placement.replicas, " replicas of each of ", n_experts,
                                  " experts on ", input.workers.size(), " workers");
  if (!placement.warning.empty()) absl::StrAppend(&text, "; ", placement.warning);
  return text;
}

}  // namespace

ClusterBatch PlacementKeeper::Next(const ClusterState& state, const LiveNodes& live,
                                   absl::Time now) {
  if (!state.model().has_value() || expert_bytes_.empty()) return {};
  std::vector<Seat> seats = Seats(state, live, now);
  const PlannerInput input = InputFor(state, seats);
  const bool planned = PlanIsDue(input, seats, now);
  if (planned) PlanAnew(input, &seats);
  const bool urgent = TopUp(state, &seats, now);
  moving_ = IsMoving(seats);
  // Moves that come to their end one after the other do not make an epoch each.
  if (!planned && !urgent && now - changed_ < kDebounce) return {};
  Assign(state, &seats);
  moving_ = IsMoving(seats);
  ClusterBatch batch;
  for (Seat& seat : seats) {
    if (Same(seat.planned, seat.node->planned) && Same(seat.assigned, seat.node->assigned))
      continue;
    batch.emplace_back(ExpertsPlaced{seat.node->identity.node_id, std::move(seat.planned),
                                     std::move(seat.assigned)});
  }
  if (!batch.empty()) changed_ = now;
  return batch;
}

std::vector<PlacementKeeper::Seat> PlacementKeeper::Seats(const ClusterState& state,
                                                          const LiveNodes& live,
                                                          absl::Time now) const {
  std::vector<Seat> seats;
  for (const auto& [id, node] : state.nodes()) {
    if (node.revoked || node.identity.role != NodeRole::kWorker) continue;
    seats.push_back({.node = &node,
                     .report = live.Find(id),
                     .presence = live.PresenceOf(id, now),
                     .planned = node.planned,
                     .assigned = node.assigned});
  }
  return seats;
}

// Workers that were heard since the start and are not gone.
PlannerInput PlacementKeeper::InputFor(const ClusterState& state,
                                       const std::vector<Seat>& seats) const {
  PlannerInput input{.expert_bytes = expert_bytes_,
                     .n_experts = state.model()->n_experts,
                     .workers = {},
                     .replicas = std::max(state.replicas(), 1)};
  for (const Seat& seat : seats) {
    if (seat.report == nullptr || seat.presence == Presence::kGone ||
        seat.node->peer_address.empty()) {
      continue;
    }
    input.workers.push_back({.node_id = seat.node->identity.node_id,
                             .memory_bytes = seat.report->memory_bytes,
                             .read_gb_per_s = seat.report->read_gb_per_s,
                             .holds = Sized(seat.planned, input),
                             .draining = seat.node->draining});
  }
  return input;
}

bool PlacementKeeper::BasisChanged(const PlannerInput& input) const {
  if (!basis_.has_value() || basis_->expert_bytes != input.expert_bytes ||
      basis_->replicas != input.replicas || basis_->workers.size() != input.workers.size()) {
    return true;
  }
  for (size_t i = 0; i < input.workers.size(); ++i) {
    const PlannerWorker& a = basis_->workers[i];
    const PlannerWorker& b = input.workers[i];
    if (a.node_id != b.node_id || a.draining != b.draining ||
        Differs(a.read_gb_per_s, b.read_gb_per_s) ||
        Differs(static_cast<double>(a.memory_bytes), static_cast<double>(b.memory_bytes))) {
      return true;
    }
  }
  return false;
}

bool PlacementKeeper::PlanIsDue(const PlannerInput& input, const std::vector<Seat>& seats,
                                absl::Time now) {
  const auto expected = [](const Seat& seat) {  // It holds something and may be on its way.
    return seat.presence == Presence::kUnheard && !seat.planned.empty();
  };
  const auto away = [](const Seat& seat) {
    return seat.presence != Presence::kPresent && !seat.planned.empty();
  };
  const bool all_back = std::none_of(seats.begin(), seats.end(), away);
  if (!BasisChanged(input) && !(topped_up_ && all_back)) {
    plan_wanted_since_.reset();
    return false;
  }
  if (std::any_of(seats.begin(), seats.end(), expected)) return false;
  if (!plan_wanted_since_.has_value()) plan_wanted_since_ = now;
  return now - *plan_wanted_since_ >= kDebounce;
}

void PlacementKeeper::PlanAnew(const PlannerInput& input, std::vector<Seat>* seats) {
  plan_wanted_since_.reset();
  basis_ = input;
  if (input.workers.empty()) {
    text_ = "no worker has reported yet";
    return;
  }
  const absl::StatusOr<Placement> next = PlanPlacement(input);
  if (!next.ok()) {  // What lies stays as it lies.
    text_ = absl::StrCat("not placed: ", std::string(next.status().message()));
    return;
  }
  text_ = Describe(input, *next);
  topped_up_ = false;
  planned_replicas_ = next->replicas;
  if (AsGood(input, *next)) return;
  for (Seat& seat : *seats) {
    seat.planned = {};
    for (size_t i = 0; i < input.workers.size(); ++i) {
      if (input.workers[i].node_id == seat.node->identity.node_id) seat.planned = next->assigned[i];
    }
  }
}

// Experts with too few holders that can be reached: none while one is missing, or no second one
// once a lease ran out.
std::vector<std::pair<int, int>> PlacementKeeper::Needy(const ClusterState& state,
                                                        const std::vector<Seat>& seats) const {
  // A coordinator that has just started has not planned yet: then one holder has to do.
  const int wanted = std::clamp(planned_replicas_, 1, 2);
  std::vector<std::pair<int, int>> needy;
  for (int layer = 0; layer < state.model()->n_layers; ++layer) {
    for (int expert = 0; expert < NumExperts(layer); ++expert) {
      int n_live = 0;
      bool missing = false;
      bool lost = false;
      for (const Seat& seat : seats) {
        const bool planned = seat.planned.Contains(layer, expert);
        if (IsThere(seat) && (planned || Holds(seat, layer, expert))) ++n_live;
        missing = missing || (planned && seat.presence == Presence::kMissing);
        lost = lost || (planned && seat.presence >= Presence::kLost);
      }
      if ((missing && n_live == 0) || (lost && n_live < wanted)) needy.emplace_back(layer, expert);
    }
  }
  return needy;
}

bool PlacementKeeper::TopUp(const ClusterState& state, std::vector<Seat>* seats, absl::Time now) {
  const std::vector<std::pair<int, int>> needy = Needy(state, *seats);
  if (needy.empty()) {
    urgent_since_.reset();
    return false;
  }
  if (!urgent_since_.has_value()) urgent_since_ = now;
  if (now - *urgent_since_ < kUrgentDebounce) return false;
  std::vector<uint64_t> bytes;
  for (const Seat& seat : *seats) bytes.push_back(BytesOf(seat.planned));
  bool placed = false;
  for (const auto& [layer, expert] : needy) {
    const uint64_t each = expert_bytes_[layer][expert];
    const int to = LeastLoaded(*seats, bytes, layer, expert, each);
    if (to < 0) continue;
    ExpertSet& planned = (*seats)[to].planned;
    if (planned.n_layers() == 0) {
      planned = ExpertSet(state.model()->n_layers, state.model()->n_experts);
    }
    planned.Insert(layer, expert);
    bytes[to] += each;
    placed = true;
  }
  topped_up_ = topped_up_ || placed;
  return placed;
}

// Who is present, may get it and has room for `each` more bytes: -1 if nobody, else the one whose
// memory is read soonest.
int PlacementKeeper::LeastLoaded(const std::vector<Seat>& seats, const std::vector<uint64_t>& bytes,
                                 int layer, int expert, uint64_t each) {
  int best = -1;
  double best_load = 0;
  for (size_t i = 0; i < seats.size(); ++i) {
    const Seat& seat = seats[i];
    if (seat.presence != Presence::kPresent || seat.node->draining ||
        seat.node->peer_address.empty() || seat.planned.Contains(layer, expert) ||
        bytes[i] + each > seat.report->memory_bytes) {
      continue;
    }
    const double load =
        static_cast<double>(bytes[i] + each) / std::max(seat.report->read_gb_per_s, 1e-3);
    if (best >= 0 && load >= best_load) continue;
    best = static_cast<int>(i);
    best_load = load;
  }
  return best;
}

bool PlacementKeeper::IsMoving(const std::vector<Seat>& seats) {
  return std::any_of(seats.begin(), seats.end(),
                     [](const Seat& seat) { return !Same(seat.planned, seat.assigned); });
}

bool PlacementKeeper::IsThere(const Seat& seat) {
  return seat.presence == Presence::kPresent || seat.presence == Presence::kUnheard;
}

bool PlacementKeeper::Holds(const Seat& seat, int layer, int expert) {
  return seat.presence == Presence::kPresent && seat.report->resident.Contains(layer, expert);
}

// From what is planned to what is told. Nothing goes before everybody who shall hold it does;
// additions come as far as memory allows beside what cannot go yet, those that nobody holds first.
void PlacementKeeper::Assign(const ClusterState& state, std::vector<Seat>* seats) const {
  const int n_layers = state.model()->n_layers;
  std::vector<std::pair<int, int>> held_by_none;
  std::vector<std::pair<int, int>> held;
  for (Seat& seat : *seats) {
    if (seat.assigned.n_layers() == 0) {
      seat.assigned = ExpertSet(n_layers, state.model()->n_experts);
    }
  }
  for (int layer = 0; layer < n_layers; ++layer) {
    for (int expert = 0; expert < NumExperts(layer); ++expert) {
      (Release(layer, expert, seats) ? held : held_by_none).emplace_back(layer, expert);
    }
  }
  for (Seat& seat : *seats) {
    uint64_t bytes = BytesOf(seat.assigned);
    const uint64_t room = seat.report == nullptr ? UINT64_MAX : seat.report->memory_bytes;
    for (const auto* experts : {&held_by_none, &held}) {
      for (const auto& [layer, expert] : *experts) {
        if (!seat.planned.Contains(layer, expert) || seat.assigned.Contains(layer, expert))
          continue;
        const uint64_t each = expert_bytes_[layer][expert];
        if (bytes + each > room) continue;
        seat.assigned.Insert(layer, expert);
        bytes += each;
      }
    }
  }
}

// Takes an expert from those who shall not hold it, once all who shall do. False: nobody holds it.
bool PlacementKeeper::Release(int layer, int expert, std::vector<Seat>* seats) {
  bool planned = false;
  bool all_hold = true;
  bool somebody = false;
  for (const Seat& seat : *seats) {
    const bool holds = Holds(seat, layer, expert);
    somebody = somebody || holds;
    if (!seat.planned.Contains(layer, expert)) continue;
    planned = true;
    all_hold = all_hold && holds;
  }
  for (Seat& seat : *seats) {
    if (planned && all_hold && !seat.planned.Contains(layer, expert)) {
      seat.assigned.Erase(layer, expert);
    }
  }
  return somebody;
}

uint64_t PlacementKeeper::BytesOf(const ExpertSet& set) const {
  uint64_t bytes = 0;
  for (int layer = 0; layer < set.n_layers(); ++layer) {
    for (int expert = 0; expert < NumExperts(layer); ++expert) {
      if (set.Contains(layer, expert)) bytes += expert_bytes_[layer][expert];
    }
  }
  return bytes;
}

absl::Status PlacementKeeper::FitsWithout(const ClusterState& state, const LiveNodes& live,
                                          std::string_view node_id) const {
  if (!state.model().has_value() || expert_bytes_.empty()) return absl::OkStatus();
  const ClusterNode* node = state.FindNode(node_id);
  if (node == nullptr || node->assigned.empty()) return absl::OkStatus();
  PlannerInput input{.expert_bytes = expert_bytes_,
                     .n_experts = state.model()->n_experts,
                     .workers = {},
                     .replicas = 1};
  for (const auto& [id, other] : state.nodes()) {
    const LiveNodes::Report* report = live.Find(id);
    if (other.revoked || other.identity.role != NodeRole::kWorker || report == nullptr) continue;
    input.workers.push_back({.node_id = id,
                             .memory_bytes = report->memory_bytes,
                             .read_gb_per_s = report->read_gb_per_s,
                             .holds = Sized(other.planned, input),
                             .draining = other.draining || id == node_id});
  }
  return PlanPlacement(input).status();
}

}  // namespace shoal
