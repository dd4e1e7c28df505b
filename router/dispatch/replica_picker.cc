#include "router/dispatch/replica_picker.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {

void ReplicaPicker::Begin(std::span<const double> speeds) {
  double sum = 0;
  int n_known = 0;
  for (const double speed : speeds) {
    if (speed <= 0) continue;
    sum += speed;
    ++n_known;
  }
  const double average = n_known > 0 ? sum / n_known : 1.0;
  cost_.clear();
  for (const double speed : speeds) cost_.push_back(average / (speed > 0 ? speed : average));
  load_.assign(speeds.size(), 0);
  experts_.clear();
  candidates_.clear();
}

void ReplicaPicker::AddExpert(int32_t expert, std::span<const int> candidates) {
  SHOAL_CHECK(!candidates.empty());
  const auto begin = static_cast<int32_t>(candidates_.size());
  candidates_.insert(candidates_.end(), candidates.begin(), candidates.end());
  experts_.push_back({expert, begin, static_cast<int32_t>(candidates_.size()), -1});
}

// The candidate that would have the least to do with this expert on top; the first of equals.
int ReplicaPicker::Cheapest(const Expert& expert) const {
  int best = candidates_[expert.begin];
  for (int32_t i = expert.begin + 1; i < expert.end; ++i) {
    const int worker = candidates_[i];
    if (CostWith(worker, load_[worker] + 1) < CostWith(best, load_[best] + 1)) best = worker;
  }
  return best;
}

void ReplicaPicker::Pick(std::span<int32_t> worker_of) {
  // Those without a choice first: the others then go around them.
  order_.resize(experts_.size());
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<int32_t>(i);
  const auto n_choices = [&](int32_t i) { return experts_[i].end - experts_[i].begin; };
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int32_t a, int32_t b) { return n_choices(a) < n_choices(b); });
  for (const int32_t i : order_) {
    experts_[i].chosen = Cheapest(experts_[i]);
    ++load_[experts_[i].chosen];
  }
  for (size_t moves = 0; moves < experts_.size() && RelieveBusiest(); ++moves) {
  }
  for (const Expert& expert : experts_) worker_of[expert.id] = expert.chosen;
}

// Moves one expert away from the busiest worker to where it makes nobody as busy; false when none
// can be.
bool ReplicaPicker::RelieveBusiest() {
  int busiest = 0;
  for (size_t w = 1; w < load_.size(); ++w) {
    if (CostWith(static_cast<int>(w), load_[w]) > CostWith(busiest, load_[busiest])) {
      busiest = static_cast<int>(w);
    }
  }
  const double most = CostWith(busiest, load_[busiest]);
  for (Expert& expert : experts_) {
    if (expert.chosen != busiest) continue;
    const int other = Cheapest(expert);
    if (other == busiest || CostWith(other, load_[other] + 1) >= most) continue;
    --load_[busiest];
    ++load_[other];
    expert.chosen = other;
    return true;
  }
  return false;
}

}  // namespace shoal
