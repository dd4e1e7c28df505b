#include "coordinator/placement_planner.h"

#include <cmath>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kExpertBytes = 1 << 20;

PlannerInput Input(int n_layers, int n_experts, const std::vector<double>& speeds, int replicas) {
  PlannerInput input;
  input.n_experts = n_experts;
  input.replicas = replicas;
  input.expert_bytes.assign(n_layers, std::vector<uint64_t>(n_experts, kExpertBytes));
  for (size_t w = 0; w < speeds.size(); ++w) {
    input.workers.push_back({.node_id = std::to_string(w),
                             .memory_bytes = uint64_t{1} << 40,
                             .read_gb_per_s = speeds[w],
                             .holds = ExpertSet(n_layers, n_experts)});
  }
  return input;
}

int HoldersOf(const Placement& placement, int layer, int expert) {
  int n = 0;
  for (const ExpertSet& set : placement.assigned) n += set.Contains(layer, expert);
  return n;
}

void ExpectEverywhere(const PlannerInput& input, const Placement& placement, int replicas) {
  for (int layer = 0; layer < input.n_layers(); ++layer) {
    for (int e = 0; e < input.NumExperts(layer); ++e) {
      ASSERT_EQ(HoldersOf(placement, layer, e), replicas) << layer << "/" << e;
    }
  }
  for (size_t w = 0; w < input.workers.size(); ++w) {
    ASSERT_LE(placement.assigned[w].size() * kExpertBytes, input.workers[w].memory_bytes);
  }
}

TEST(PlacementPlannerTest, SharesFollowSpeeds) {
  const PlannerInput input = Input(8, 64, {10, 5, 20, 5, 12}, 1);
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok()) << placement.status();
  ExpectEverywhere(input, *placement, 1);
  for (size_t w = 0; w < input.workers.size(); ++w) {
    const double share = placement->assigned[w].size() / (8.0 * 64);
    EXPECT_NEAR(share / (input.workers[w].read_gb_per_s / 52), 1, 0.02) << w;
  }
}

TEST(PlacementPlannerTest, EveryLayerIsBalancedToo) {
  const PlannerInput input = Input(48, 128, {1, 1, 1, 1}, 2);
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok());
  for (const ExpertSet& set : placement->assigned) {
    for (int layer = 0; layer < 48; ++layer) {
      int n = 0;
      for (int e = 0; e < 128; ++e) n += set.Contains(layer, e);
      EXPECT_EQ(n, 64);
    }
  }
}

TEST(PlacementPlannerTest, FallsBackToFewerReplicasWithAWarning) {
  PlannerInput input = Input(4, 8, {1, 1}, 2);
  input.workers[0].memory_bytes = 20 * kExpertBytes;
  input.workers[1].memory_bytes = 20 * kExpertBytes;
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->replicas, 1);
  EXPECT_THAT(placement->warning, HasSubstr("1 of 2 replicas"));
  ExpectEverywhere(input, *placement, 1);
  input.workers.resize(1);
  input.workers[0].memory_bytes = uint64_t{1} << 30;
  EXPECT_THAT(PlanPlacement(input)->warning, HasSubstr("no more workers"));
}

TEST(PlacementPlannerTest, RefusesWhatDoesNotFitWithTheNumbers) {
  PlannerInput input = Input(4, 8, {1, 1}, 1);
  for (PlannerWorker& worker : input.workers) worker.memory_bytes = 15 * kExpertBytes;
  const auto placement = PlanPlacement(input);
  EXPECT_EQ(placement.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(placement.status().message()),
              HasSubstr("take 32 MiB and the 2 workers have 30 MiB"));
}

TEST(PlacementPlannerTest, WhatFitsInAllIsPlacedThoughNoLayersShareIsWhole) {
  PlannerInput input = Input(32, 8, {1, 1, 1}, 1);  // 256 MiB on 285; 2.97 experts of a layer each.
  for (PlannerWorker& worker : input.workers) worker.memory_bytes = 95 * kExpertBytes;
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok()) << placement.status();
  ExpectEverywhere(input, *placement, 1);
}

// Goal: a layer with one expert, the block of a dense one, is that expert and no more.
TEST(PlacementPlannerTest, LayersMayDifferInTheirExperts) {
  PlannerInput input = Input(6, 8, {1, 1, 1}, 2);
  for (const int dense : {0, 1, 4}) input.expert_bytes[dense] = {4 * kExpertBytes};
  for (PlannerWorker& worker : input.workers) worker.memory_bytes = 26 * kExpertBytes;
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok()) << placement.status();
  ExpectEverywhere(input, *placement, 2);
  int n_all = 0;
  for (const ExpertSet& set : placement->assigned) {
    EXPECT_NEAR(set.size(), 18, 1);
    n_all += set.size();
  }
  EXPECT_EQ(n_all, 2 * (3 + 3 * 8));
}

TEST(PlacementPlannerTest, KeepsWhatIsHeld) {
  PlannerInput input = Input(8, 32, {1, 1, 1}, 2);
  const auto first = PlanPlacement(input);
  ASSERT_TRUE(first.ok());
  for (int w = 0; w < 3; ++w) input.workers[w].holds = first->assigned[w];
  EXPECT_EQ(PlanPlacement(input)->assigned, first->assigned);

  // A fourth worker takes its quarter; little else moves.
  input.workers.push_back({.node_id = "3",
                           .memory_bytes = uint64_t{1} << 40,
                           .read_gb_per_s = 1,
                           .holds = ExpertSet(8, 32)});
  const auto second = PlanPlacement(input);
  ASSERT_TRUE(second.ok());
  ExpectEverywhere(input, *second, 2);
  int moved = 0;
  for (int layer = 0; layer < 8; ++layer) {
    for (int e = 0; e < 32; ++e) {
      for (int w = 0; w < 4; ++w) {
        moved +=
            second->assigned[w].Contains(layer, e) && !input.workers[w].holds.Contains(layer, e);
      }
    }
  }
  EXPECT_EQ(second->assigned[3].size(), 8 * 32 * 2 / 4);
  EXPECT_LE(moved, 8 * 32 * 2 / 4 * 5 / 4);
}

TEST(PlacementPlannerTest, DrainingWorkersGetNothing) {
  PlannerInput input = Input(4, 8, {1, 1, 1}, 2);
  input.workers[1].draining = true;
  const auto placement = PlanPlacement(input);
  ASSERT_TRUE(placement.ok());
  EXPECT_TRUE(placement->assigned[1].empty());
  ExpectEverywhere(input, *placement, 2);
}

TEST(PlacementPlannerTest, HoldsOnRandomClusters) {
  std::mt19937 rng(1);
  const auto draw = [&rng](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(rng);
  };
  for (int run = 0; run < 500; ++run) {
    std::vector<double> speeds(draw(1, 9));
    for (double& speed : speeds) speed = draw(0, 40);
    PlannerInput input = Input(draw(1, 12), draw(1, 40), speeds, draw(1, 3));
    for (PlannerWorker& worker : input.workers) {
      worker.memory_bytes = draw(0, 600) * kExpertBytes;
      for (int i = draw(0, 200); i > 0; --i) {
        worker.holds.Insert(draw(0, input.n_layers() - 1), draw(0, input.n_experts - 1));
      }
    }
    for (auto& layer : input.expert_bytes) {
      if (draw(0, 3) == 0) layer.resize(draw(1, input.n_experts));
    }
    const auto placement = PlanPlacement(input);
    if (!placement.ok()) continue;
    ExpectEverywhere(input, *placement, placement->replicas);
    EXPECT_EQ(PlanPlacement(input)->assigned, placement->assigned);
  }
}

}  // namespace
}  // namespace shoal
