#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/cluster_state.h"
#include "coordinator/live_nodes.h"
#include "coordinator/placement_planner.h"

namespace shoal {

// Decides when experts are placed anew, and how a placement turns into the next one without an
// expert ever losing its last holder. Called again and again; what it returns is for the log.
// Thread-compatible.
//
//   - Workers that come, go, drain or measure otherwise: a whole new plan, at most every 500 ms.
//   - A worker that cannot be reached, or whose lease ran out: experts that nobody else holds (one
//     other, once the lease ran out) get one more holder, 100 ms after this is noticed. The worker
//     keeps its share, which lies on its disk; a minute later it is planned without it.
//   - An expert is taken from a worker only when everybody who shall hold it says that he does.
class PlacementKeeper {
 public:
  static constexpr absl::Duration kDebounce = absl::Milliseconds(500);
  static constexpr absl::Duration kUrgentDebounce = absl::Milliseconds(100);

  // The model's experts; empty: none is served.
  void SetModel(ExpertBytes expert_bytes) {
    expert_bytes_ = std::move(expert_bytes);
    PlanAgain();
  }
  // What Next last said has not come to pass, or everything is new: it plans from scratch.
  void PlanAgain() { basis_.reset(); }

  // The records that place experts as they should lie now; none when they do.
  ClusterBatch Next(const ClusterState& state, const LiveNodes& live, absl::Time now);

  // Whether the others have room for one of each expert. ResourceExhausted, with the numbers.
  absl::Status FitsWithout(const ClusterState& state, const LiveNodes& live,
                           std::string_view node_id) const;

  // As SetModel got them.
  const ExpertBytes& expert_bytes() const { return expert_bytes_; }

  // One line for the operator: what the last plan promises, lacks, or why there is none.
  const std::string& text() const { return text_; }
  // Whether the plan follows from what is known now, none is about to be made, and every worker has
  // been told all of it.
  bool settled() const {
    return basis_.has_value() && !plan_wanted_since_.has_value() && !urgent_since_.has_value() &&
           !moving_;
  }

 private:
  struct Seat {  // One worker while Next runs.
    const ClusterNode* node = nullptr;
    const LiveNodes::Report* report = nullptr;
    Presence presence = Presence::kGone;
    ExpertSet planned;
    ExpertSet assigned;
  };

  std::vector<Seat> Seats(const ClusterState& state, const LiveNodes& live, absl::Time now) const;
  PlannerInput InputFor(const ClusterState& state, const std::vector<Seat>& seats) const;
  bool BasisChanged(const PlannerInput& input) const;
  bool PlanIsDue(const PlannerInput& input, const std::vector<Seat>& seats, absl::Time now);
  void PlanAnew(const PlannerInput& input, std::vector<Seat>* seats);
  static bool IsMoving(const std::vector<Seat>& seats);
  static bool IsThere(const Seat& seat);
  static bool Holds(const Seat& seat, int layer, int expert);
  std::vector<std::pair<int, int>> Needy(const ClusterState& state,
                                         const std::vector<Seat>& seats) const;
  // Gives needy experts one more holder; whether any got one.
  bool TopUp(const ClusterState& state, std::vector<Seat>* seats, absl::Time now);
  static int LeastLoaded(const std::vector<Seat>& seats, const std::vector<uint64_t>& bytes,
                         int layer, int expert, uint64_t each);
  void Assign(const ClusterState& state, std::vector<Seat>* seats) const;
  static bool Release(int layer, int expert, std::vector<Seat>* seats);
  uint64_t BytesOf(const ExpertSet& set) const;
  int NumExperts(int layer) const { return static_cast<int>(expert_bytes_[layer].size()); }

  ExpertBytes expert_bytes_;
  std::optional<PlannerInput> basis_;  // Of the last plan.
  int planned_replicas_ = 0;           // That it gave.
  bool topped_up_ = false;             // Some expert has more holders than planned.
  std::optional<absl::Time> plan_wanted_since_;
  std::optional<absl::Time> urgent_since_;
  bool moving_ = false;                        // Somebody has not been told all of the plan yet.
  absl::Time changed_ = absl::InfinitePast();  // When records were returned last.
  std::string text_ = "no model is set; `shoal model set MODEL`";
};

}  // namespace shoal
