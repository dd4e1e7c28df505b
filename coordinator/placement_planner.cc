#include "coordinator/placement_planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace shoal {
namespace {

// The plan for one number of replicas, layer by layer.
class Planner {
 public:
  Planner(const PlannerInput& input, int replicas) : input_(input), replicas_(replicas) {
    for (const PlannerWorker& worker : input.workers) {
      speed_.push_back(worker.read_gb_per_s);
      free_.push_back(worker.draining ? 0 : worker.memory_bytes);
      assigned_.emplace_back(input.n_layers(), input.n_experts);
    }
    FillUnknownSpeeds();
    owed_.resize(input.workers.size());
  }

  // False when memory is short.
  bool Plan() {
    for (int layer = 0; layer < input_.n_layers(); ++layer) {
      if (!PlanLayer(layer)) return false;
    }
    return true;
  }
  std::vector<ExpertSet> Take() { return std::move(assigned_); }

 private:
  int n_workers() const { return static_cast<int>(input_.workers.size()); }
  uint64_t BytesOf(int layer, int expert) const { return input_.expert_bytes[layer][expert]; }

  void FillUnknownSpeeds() {
    double sum = 0;
    int n_known = 0;
    for (const double speed : speed_) {
      sum += speed;
      n_known += speed > 0 ? 1 : 0;
    }
    for (double& speed : speed_) {
      if (speed <= 0) speed = n_known > 0 ? sum / n_known : 1;
    }
  }

  uint64_t LargestOf(int layer) const {
    const std::vector<uint64_t>& bytes = input_.expert_bytes[layer];
    return std::max<uint64_t>(*std::max_element(bytes.begin(), bytes.end()), 1);
  }

  // How many experts of a layer each worker gets: its share of n_experts * replicas by speed, at
  // most all experts and this layer's part, rounded up, of what fits its memory for the layers
  // still to come; what a full worker cannot take is shared among the others. Empty when memory is
  // short.
  std::vector<int> Quotas(int layer) {
    double to_come = 0;  // One of each expert, of this layer and those after it.
    for (int l = layer; l < input_.n_layers(); ++l) {
      to_come += static_cast<double>(LargestOf(l)) * input_.NumExperts(l);
    }
    const auto bytes = static_cast<double>(LargestOf(layer));
    const int n_experts = input_.NumExperts(layer);
    std::vector<int> most(n_workers());
    for (int w = 0; w < n_workers(); ++w) {
      if (input_.workers[w].draining) continue;
      const auto free = static_cast<double>(free_[w]);
      const double part = std::ceil(free / to_come * n_experts);
      most[w] = static_cast<int>(
          std::min({part, std::floor(free / bytes), static_cast<double>(n_experts)}));
    }
    const int left = n_experts * replicas_;
    if (std::accumulate(most.begin(), most.end(), 0) < left) return {};
    return ShareOut(left, most);
  }

  // Whole numbers in proportion to speed with sum `total` and quota[w] <= most[w]. What rounding
  // leaves goes to the largest remainders; ties change from layer to layer, so that no worker gets
  // the odd expert of every layer.
  std::vector<int> ShareOut(int total, const std::vector<int>& most) {
    std::vector<double> share(n_workers(), 0);
    std::vector<bool> full(n_workers(), false);
    double rest = total;
    while (true) {
      double speed = 0;
      for (int w = 0; w < n_workers(); ++w) speed += full[w] ? 0 : speed_[w];
      int newly_full = -1;
      for (int w = 0; w < n_workers() && newly_full < 0; ++w) {
        if (!full[w] && rest * speed_[w] / speed > most[w]) newly_full = w;
        if (!full[w]) share[w] = rest * speed_[w] / speed;
      }
      if (newly_full < 0) break;
      full[newly_full] = true;
      share[newly_full] = most[newly_full];
      rest -= most[newly_full];
    }
    return RoundShares(total, share, most);
  }

  // Fractions carry over from layer to layer: over the whole model a worker's count is its share.
  std::vector<int> RoundShares(int total, const std::vector<double>& share,
                               const std::vector<int>& most) {
    std::vector<int> quota(n_workers());
    std::vector<std::pair<double, int>> remainders;
    int given = 0;
    for (int w = 0; w < n_workers(); ++w) {
      owed_[w] += share[w];
      const double due = owed_[w] - static_cast<double>(assigned_[w].size());
      quota[w] = std::clamp(static_cast<int>(std::min(due, share[w] + 1)), 0, most[w]);
      given += quota[w];
      remainders.emplace_back(due - quota[w], w);
    }
    std::stable_sort(remainders.begin(), remainders.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    while (given != total) {
      for (const auto& [remainder, w] : remainders) {
        if (given < total && quota[w] < most[w]) {
          ++quota[w];
          ++given;
        }
      }
      for (auto it = remainders.rbegin(); it != remainders.rend(); ++it) {
        if (given > total && quota[it->second] > 0) {
          --quota[it->second];
          --given;
        }
      }
    }
    return quota;
  }

  bool PlanLayer(int layer) {
    std::vector<int> quota = Quotas(layer);
    if (quota.empty()) return false;
    std::vector<int> missing(input_.NumExperts(layer), replicas_);
    KeepHeld(layer, &quota, &missing);
    return PlaceMissing(layer, &quota, &missing);
  }

  void Assign(int layer, int expert, int w, std::vector<int>* quota, std::vector<int>* missing) {
    assigned_[w].Insert(layer, expert);
    free_[w] -= std::min(free_[w], BytesOf(layer, expert));
    --(*quota)[w];
    --(*missing)[expert];
  }

  // Held experts stay, the scarcest first, as far as quotas allow.
  void KeepHeld(int layer, std::vector<int>* quota, std::vector<int>* missing) {
    std::vector<std::pair<int, int>> by_holders;  // (holders, expert)
    for (int e = 0; e < input_.NumExperts(layer); ++e) {
      int n = 0;
      for (const PlannerWorker& worker : input_.workers) n += worker.holds.Contains(layer, e);
      if (n > 0) by_holders.emplace_back(n, e);
    }
    std::sort(by_holders.begin(), by_holders.end());
    for (const auto& [n, e] : by_holders) {
      for (int w = 0; w < n_workers() && (*missing)[e] > 0; ++w) {
        if (input_.workers[w].holds.Contains(layer, e) && (*quota)[w] > 0) {
          Assign(layer, e, w, quota, missing);
        }
      }
    }
  }

  // Every missing replica goes to the worker with the most room left that lacks the expert; where
  // only workers that have it have room, one of their experts moves on to make place.
  bool PlaceMissing(int layer, std::vector<int>* quota, std::vector<int>* missing) {
    for (int round = replicas_; round >= 1; --round) {  // Experts that lack most come first.
      for (int i = 0; i < input_.NumExperts(layer); ++i) {
        const int e = (i + layer) % input_.NumExperts(layer);
        if ((*missing)[e] < round) continue;
        const int w = Roomiest(layer, e, *quota);
        if (w >= 0) {
          Assign(layer, e, w, quota, missing);
        } else if (!MakePlace(layer, e, quota, missing)) {
          return false;
        }
      }
    }
    return true;
  }

  int Roomiest(int layer, int expert, const std::vector<int>& quota) const {
    int best = -1;
    for (int w = 0; w < n_workers(); ++w) {
      if (quota[w] <= 0 || assigned_[w].Contains(layer, expert)) continue;
      if (best < 0 || quota[w] > quota[best]) best = w;
    }
    return best;
  }

  // A worker with room holds the expert already: it takes another one from a worker that lacks it.
  bool MakePlace(int layer, int expert, std::vector<int>* quota, std::vector<int>* missing) {
    for (int roomy = 0; roomy < n_workers(); ++roomy) {
      if ((*quota)[roomy] <= 0) continue;
      for (int giver = 0; giver < n_workers(); ++giver) {
        if (assigned_[giver].Contains(layer, expert) || input_.workers[giver].draining) continue;
        for (int other = 0; other < input_.NumExperts(layer); ++other) {
          if (!assigned_[giver].Contains(layer, other)) continue;
          if (assigned_[roomy].Contains(layer, other)) continue;
          assigned_[giver].Erase(layer, other);
          free_[giver] += BytesOf(layer, other);
          ++(*quota)[giver];
          ++(*missing)[other];
          Assign(layer, other, roomy, quota, missing);
          Assign(layer, expert, giver, quota, missing);
          return true;
        }
      }
    }
    return false;
  }

  const PlannerInput& input_;
  const int replicas_;
  std::vector<double> speed_;
  std::vector<uint64_t> free_;
  std::vector<ExpertSet> assigned_;
  std::vector<double> owed_;  // Shares of the layers so far, not yet rounded.
};

}  // namespace

absl::StatusOr<Placement> PlanPlacement(const PlannerInput& input) {
  for (const auto& layer : input.expert_bytes) {
    SHOAL_CHECK(!layer.empty() && layer.size() <= static_cast<size_t>(input.n_experts));
  }
  const auto n_usable =
      static_cast<int>(std::count_if(input.workers.begin(), input.workers.end(),
                                     [](const PlannerWorker& worker) { return !worker.draining; }));
  for (int replicas = std::min(input.replicas, n_usable); replicas >= 1; --replicas) {
    Planner planner(input, replicas);
    if (!planner.Plan()) continue;
    Placement placement{.assigned = planner.Take(), .replicas = replicas, .warning = {}};
    if (replicas < input.replicas) {
      placement.warning = absl::StrCat(
          replicas, " of ", input.replicas, " replicas of each expert: ",
          replicas == n_usable ? "there are no more workers" : "memory is short for more");
    }
    return placement;
  }
  uint64_t needed = 0;
  for (const auto& layer : input.expert_bytes) {
    needed = std::accumulate(layer.begin(), layer.end(), needed);
  }
  uint64_t there = 0;
  for (const PlannerWorker& worker : input.workers) {
    if (!worker.draining) there += worker.memory_bytes;
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the experts take ", needed >> 20, " MiB and the ", n_usable, " workers have ", there >> 20,
      " MiB for them; add a worker, or give them more with --memory-bytes"));
}

}  // namespace shoal
