#include "coordinator/placement_keeper.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "coordinator/cluster_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr int kLayers = 4;
constexpr int kExperts = 12;
constexpr int kAll = kLayers * kExperts;
constexpr uint64_t kExpertBytes = 448;  // MakeTestModel's: a file of 512 bytes without its header.
constexpr uint64_t kPlenty = kExpertBytes * kAll * 2;

// A cluster whose workers load at once what they are told to, unless a test says otherwise.
class PlacementKeeperTest : public ::testing::Test {
 protected:
  PlacementKeeperTest() {
    auto started = TestCoordinator::Start(&disk_, &clock_);
    SHOAL_CHECK(started.ok());
    test_ = *std::move(started);
  }

  struct TestWorker {
    Caller caller;
    uint64_t memory = kPlenty;
    double speed = 10;
    ExpertSet resident;
    bool loads = true;  // Takes up what it is assigned.
    bool reports = true;
    bool linked = true;
  };

  TestWorker& AddWorker(double speed = 10, uint64_t memory = kPlenty) {
    workers_.push_back(std::make_unique<TestWorker>());
    TestWorker& worker = *workers_.back();
    worker.caller = test_->JoinNew(wire::ROLE_WORKER);
    worker.speed = speed;
    worker.memory = memory;
    return worker;
  }
  void Serve(uint32_t replicas) {
    ASSERT_EQ(test_->SetModel(test_->AddModel(kLayers, kExperts), replicas).code(), 0U);
  }

  // Time passes; workers report every second, and whenever their assignment has changed.
  void Pass(absl::Duration elapsed) {
    for (absl::Duration t; t < elapsed; t += absl::Milliseconds(50)) {
      const bool second = absl::ToUnixMillis(clock_.Now()) / 50 % 20 == 0;
      for (const auto& worker : workers_) {
        if (!worker->reports) continue;
        const ExpertSet& assigned = Assigned(*worker);
        const bool changed = worker->loads && !(worker->resident == assigned);
        if (changed) worker->resident = assigned;
        if (!changed && !second) continue;
        ASSERT_EQ(
            test_->Report(worker->caller, worker->memory, worker->speed, &worker->resident).code(),
            0U);
      }
      CheckEveryExpertIsHeld();
      test_->Run(&clock_, absl::Milliseconds(50));
    }
  }
  void Settle() { Pass(absl::Seconds(4)); }

  void Kill(TestWorker& worker) {
    worker.reports = false;
    if (worker.linked) test_->Cut(worker.caller.link);
    worker.linked = false;
  }
  void Return(TestWorker& worker) {
    worker.reports = true;
    worker.linked = true;
  }

  const ExpertSet& Assigned(const TestWorker& worker) const {
    return test_->Assigned(worker.caller);
  }
  int Held(const TestWorker& worker) const { return Assigned(worker).size(); }
  // Workers that shall hold it.
  int HoldersOf(int layer, int expert) const {
    int n = 0;
    for (const auto& worker : workers_) n += Assigned(*worker).Contains(layer, expert);
    return n;
  }
  void ExpectReplicas(int replicas) const {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int expert = 0; expert < kExperts; ++expert) {
        EXPECT_EQ(HoldersOf(layer, expert), replicas) << layer << " " << expert;
      }
    }
  }
  const std::string& text() { return test_->cluster().keeper().text(); }

  // Make before break, at every moment: once an expert was resident somewhere, the snapshot leaves
  // it to somebody that has it, as long as one of those that have it lives.
  void CheckEveryExpertIsHeld() const {
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int expert = 0; expert < kExperts; ++expert) {
        bool somebody = false;
        bool told = false;
        for (const auto& worker : workers_) {
          if (!worker->reports || !worker->resident.Contains(layer, expert)) continue;
          somebody = true;
          told = told || Assigned(*worker).Contains(layer, expert);
        }
        EXPECT_EQ(somebody, somebody && told) << layer << " " << expert;
      }
    }
  }
  wire::ControlReply Drain(const TestWorker& worker, bool force = false, bool undo = false) {
    wire::ControlRequest request;
    request.mutable_drain()->set_node_id(worker.caller.identity.node_id);
    request.mutable_drain()->set_force(force);
    request.mutable_drain()->set_undo(undo);
    return test_->AskAdmin(request);
  }

  MemoryFileSystem disk_;
  ManualClock clock_;
  std::unique_ptr<TestCoordinator> test_;
  std::vector<std::unique_ptr<TestWorker>> workers_;
};

TEST_F(PlacementKeeperTest, WorkersThatReportGetExpertsInProportionToTheirSpeed) {
  AddWorker(5);
  AddWorker(10);
  AddWorker(15);
  Serve(1);
  Settle();
  ExpectReplicas(1);
  EXPECT_NEAR(Held(*workers_[0]), kAll / 6.0, 0.15 * kAll / 6 + 1);
  EXPECT_NEAR(Held(*workers_[1]), kAll / 3.0, 0.15 * kAll / 3);
  EXPECT_NEAR(Held(*workers_[2]), kAll / 2.0, 0.15 * kAll / 2);
}

// Goal: "settled" is never said while an expert has more holders than planned, or is on its way.
TEST_F(PlacementKeeperTest, SettledMeansThatNothingMoves) {
  AddWorker();
  AddWorker();
  Serve(1);
  Settle();
  EXPECT_TRUE(test_->cluster().keeper().settled());
  AddWorker();
  bool moved = false;
  for (int i = 0; i < 80; ++i) {
    Pass(absl::Milliseconds(50));
    if (!test_->cluster().keeper().settled()) {
      moved = true;
    } else if (Held(*workers_[2]) > 0) {
      ExpectReplicas(1);
    }
  }
  EXPECT_TRUE(moved);
  EXPECT_TRUE(test_->cluster().keeper().settled());
  EXPECT_NEAR(Held(*workers_[2]), kAll / 3.0, 1 + 0.15 * kAll / 3);
}

// A dense layer has one expert: nobody is told to hold what the model does not have, and what it
// has is on as many workers as wanted, also after one is gone.
TEST_F(PlacementKeeperTest, LayersOfOtherSizesArePlacedAsTheyAre) {
  for (int i = 0; i < 3; ++i) AddWorker();
  const Sha256Digest mixed = test_->AddModel(kLayers, kExperts, /*seed=*/3, /*n_dense=*/2);
  ASSERT_EQ(test_->SetModel(mixed, 2).code(), 0U);
  const auto expect_placed = [&] {
    EXPECT_TRUE(test_->cluster().keeper().settled());
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int expert = 0; expert < kExperts; ++expert) {
        const bool exists = layer >= 2 || expert == 0;
        EXPECT_EQ(HoldersOf(layer, expert), exists ? 2 : 0) << layer << " " << expert;
      }
    }
  };
  Settle();
  expect_placed();
  ASSERT_EQ(Drain(*workers_[0]).code(), 0U);
  Settle();
  expect_placed();
}

// A fine-tune of the same shape is another model: everything is placed anew.
TEST_F(PlacementKeeperTest, AnotherModelOfTheSameSizesIsPlacedToo) {
  AddWorker();
  AddWorker();
  Serve(1);
  Pass(absl::Seconds(5));
  EXPECT_EQ(Assigned(*workers_[0]).size() + Assigned(*workers_[1]).size(), kAll);
  ASSERT_EQ(test_->SetModel(test_->AddModel(kLayers, kExperts, /*seed=*/2), 1).code(), 0U);
  Pass(absl::Seconds(5));
  EXPECT_EQ(Assigned(*workers_[0]).size() + Assigned(*workers_[1]).size(), kAll);
}

// A placement that could not be kept is tried again.
TEST_F(PlacementKeeperTest, F12_APlacementSurvivesADiskThatRefusesOnce) {
  AddWorker();
  Serve(1);
  Pass(absl::Milliseconds(300));  // Reported, not yet placed.
  ASSERT_TRUE(Assigned(*workers_[0]).empty());
  disk_.FailOperation(0);
  Pass(absl::Seconds(5));
  EXPECT_TRUE(disk_.failed());
  EXPECT_EQ(Assigned(*workers_[0]).size(), kAll);
}

TEST_F(PlacementKeeperTest, WithoutAModelNothingIsPlacedAndItSaysSo) {
  AddWorker();
  Settle();
  EXPECT_EQ(Held(*workers_[0]), 0);
  EXPECT_THAT(text(), HasSubstr("shoal model set"));
}

TEST_F(PlacementKeeperTest, WhatDoesNotFitIsSaidWithNumbersUntilItDoes) {
  AddWorker(10, kExpertBytes * kAll / 2);
  Serve(2);
  Settle();
  EXPECT_EQ(Held(*workers_[0]), 0);
  EXPECT_THAT(text(), HasSubstr("not placed"));
  AddWorker(10, kExpertBytes * kAll * 3 / 4);
  Settle();
  ExpectReplicas(1);
  EXPECT_THAT(text(), HasSubstr("1 of 2 replicas"));
  AddWorker(10, kExpertBytes * kAll);
  Settle();
  ExpectReplicas(2);
}

TEST_F(PlacementKeeperTest, ABurstOfWorkersIsOnePlacement) {
  Serve(2);
  AddWorker();
  Settle();
  for (int i = 0; i < 5; ++i) AddWorker();
  for (const auto& worker : workers_) {
    test_->Report(worker->caller, worker->memory, worker->speed, &worker->resident);
  }
  const uint64_t epoch = test_->epoch();
  test_->Run(&clock_, absl::Milliseconds(450));
  EXPECT_EQ(test_->epoch(), epoch) << "it waits whether more come";
  test_->Run(&clock_, absl::Milliseconds(150));
  EXPECT_EQ(test_->epoch(), epoch + 1);
}

TEST_F(PlacementKeeperTest, MakeBeforeBreak) {
  TestWorker& old_worker = AddWorker();
  Serve(1);
  Settle();
  ASSERT_EQ(Held(old_worker), kAll);
  TestWorker& new_worker = AddWorker();
  new_worker.loads = false;  // Takes its time.
  Settle();
  EXPECT_EQ(Held(old_worker), kAll) << "nothing leaves before it has arrived";
  EXPECT_NEAR(Held(new_worker), kAll / 2, 1);
  // Half of it arrives: exactly that leaves the other.
  const ExpertSet coming = Assigned(new_worker);
  new_worker.resident = ExpertSet(kLayers, kExperts);
  for (int expert = 0; expert < kExperts; ++expert) {
    for (int layer = 0; layer < kLayers / 2; ++layer) {
      if (coming.Contains(layer, expert)) new_worker.resident.Insert(layer, expert);
    }
  }
  Settle();
  EXPECT_EQ(Held(old_worker), kAll - new_worker.resident.size());
  new_worker.loads = true;
  Settle();
  ExpectReplicas(1);
}

TEST_F(PlacementKeeperTest, MovesNeverOverfillAWorker) {
  const uint64_t tight = kExpertBytes * (kAll / 2 + 2 * kLayers);
  AddWorker(10, tight);
  AddWorker(10, tight);
  Serve(1);
  Settle();
  ExpectReplicas(1);
  workers_[0]->speed = 5;  // A third moves.
  workers_[0]->memory = workers_[1]->memory = tight;
  for (int i = 0; i < 100; ++i) {
    Pass(absl::Milliseconds(50));
    for (const auto& worker : workers_) {
      ASSERT_LE(static_cast<uint64_t>(Held(*worker)) * kExpertBytes, worker->memory);
    }
  }
  Settle();
  ExpectReplicas(1);
  EXPECT_LT(Held(*workers_[0]), Held(*workers_[1]));
}

TEST_F(PlacementKeeperTest, SmallChangesOfSpeedMoveNothing) {
  AddWorker(10);
  AddWorker(10);
  AddWorker(10);
  Serve(2);
  Settle();
  const uint64_t epoch = test_->epoch();
  workers_[0]->speed = 10.4;
  workers_[1]->speed = 9.7;
  Settle();
  EXPECT_EQ(test_->epoch(), epoch);
}

TEST_F(PlacementKeeperTest, F02_TheLastHoldersLossIsMendedAtOnce) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(1);
  Settle();
  const uint64_t epoch = test_->epoch();
  const int held = Held(*workers_[1]);
  Kill(*workers_[1]);
  test_->Run(&clock_, absl::Milliseconds(200));
  EXPECT_EQ(test_->epoch(), epoch + 1) << "one epoch for all that it held";
  EXPECT_EQ(Held(*workers_[0]) + Held(*workers_[2]), kAll);
  EXPECT_EQ(Held(*workers_[1]), held) << "its disk has them still";
}

TEST_F(PlacementKeeperTest, AHeldReplicaWaitsForTheLease) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(2);
  Settle();
  const uint64_t epoch = test_->epoch();
  Kill(*workers_[0]);
  Pass(absl::Seconds(8));
  EXPECT_EQ(test_->epoch(), epoch) << "every expert has another holder; it may come back";
  Pass(absl::Seconds(4));
  EXPECT_EQ(test_->epoch(), epoch + 1);
  EXPECT_EQ(Held(*workers_[1]) + Held(*workers_[2]), 2 * kAll) << "two holders again";
}

TEST_F(PlacementKeeperTest, ThreeReplicasAreNotInAHurry) {
  for (int i = 0; i < 4; ++i) AddWorker();
  Serve(3);
  Settle();
  const uint64_t epoch = test_->epoch();
  Kill(*workers_[0]);
  Pass(absl::Seconds(60));
  EXPECT_EQ(test_->epoch(), epoch) << "two are left of each";
  Pass(absl::Seconds(15));
  EXPECT_GT(test_->epoch(), epoch);
  EXPECT_EQ(Held(*workers_[1]) + Held(*workers_[2]) + Held(*workers_[3]), 3 * kAll);
  EXPECT_EQ(Held(*workers_[0]), 0) << "gone for a minute";
}

TEST_F(PlacementKeeperTest, ARestartedWorkerGetsItsOwnShareBack) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(2);
  Settle();
  const ExpertSet share = Assigned(*workers_[0]);
  const uint64_t epoch = test_->epoch();
  Kill(*workers_[0]);
  Pass(absl::Seconds(3));
  Return(*workers_[0]);
  Settle();
  EXPECT_EQ(test_->epoch(), epoch) << "nobody moved anything";
  Kill(*workers_[0]);
  Pass(absl::Seconds(15));
  Return(*workers_[0]);
  Settle();
  Settle();
  ExpectReplicas(2);
  int same = 0;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int expert = 0; expert < kExperts; ++expert) {
      same += share.Contains(layer, expert) && Assigned(*workers_[0]).Contains(layer, expert);
    }
  }
  EXPECT_GT(same, share.size() * 3 / 4) << "its shards are on its disk";
  EXPECT_NEAR(Held(*workers_[0]), share.size(), 2);
}

TEST_F(PlacementKeeperTest, AWorkerThatARouterCannotReachIsMissingAfterHalfItsLease) {
  AddWorker();
  AddWorker();
  Serve(1);
  Settle();
  const Caller router = test_->JoinNew(wire::ROLE_ROUTER);
  workers_[0]->reports = false;  // Hangs: its link stays.
  wire::ControlRequest request;
  auto* seen = request.mutable_report_status()->add_peers();
  seen->set_node_id(workers_[0]->caller.identity.node_id);
  seen->set_reachable(false);
  const uint64_t epoch = test_->epoch();
  ASSERT_EQ(test_->Ask(router, request).code(), 0U);
  Pass(absl::Seconds(3));
  EXPECT_EQ(test_->epoch(), epoch);
  ASSERT_EQ(test_->Ask(router, request).code(), 0U);
  Pass(absl::Seconds(3));
  EXPECT_EQ(test_->epoch(), epoch + 1);
  EXPECT_EQ(Held(*workers_[1]), kAll);
}

TEST_F(PlacementKeeperTest, TwoOfThreeGoneTheThirdGetsEverything) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(2);
  Settle();
  Kill(*workers_[0]);
  Kill(*workers_[1]);
  Pass(absl::Seconds(1));
  EXPECT_EQ(Held(*workers_[2]), kAll);
}

TEST_F(PlacementKeeperTest, ADrainedWorkerEndsWithNothingAndNobodyMissesIt) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(2);
  Settle();
  ASSERT_EQ(Drain(*workers_[1]).code(), 0U);
  EXPECT_TRUE(test_->cluster().snapshot()->Find(workers_[1]->caller.identity.node_id)->draining);
  Settle();
  EXPECT_EQ(Held(*workers_[1]), 0);
  EXPECT_EQ(Held(*workers_[0]) + Held(*workers_[2]), 2 * kAll);
  ASSERT_EQ(Drain(*workers_[1], false, /*undo=*/true).code(), 0U);
  Settle();
  EXPECT_NEAR(Held(*workers_[1]), 2 * kAll / 3, 2);
}

TEST_F(PlacementKeeperTest, F31_ADrainOfTheLastRoomIsRefusedUnlessForced) {
  AddWorker(10, kExpertBytes * kAll * 2 / 3);
  AddWorker(10, kExpertBytes * kAll * 2 / 3);
  Serve(1);
  Settle();
  const wire::ControlReply refused = Drain(*workers_[0]);
  EXPECT_EQ(refused.code(), static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(refused.message(), HasSubstr("--force"));
  ASSERT_EQ(Drain(*workers_[0], /*force=*/true).code(), 0U);
  Settle();
  ExpectReplicas(1);  // What fits nowhere else stays where it is.
}

TEST_F(PlacementKeeperTest, ARevokedWorkersExpertsAreHeldByOthers) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(1);
  Settle();
  wire::ControlRequest request;
  request.mutable_revoke()->set_node_id(workers_[0]->caller.identity.node_id);
  ASSERT_EQ(test_->AskAdmin(request).code(), 0U);
  EXPECT_EQ(Held(*workers_[0]), 0);
  workers_[0]->reports = false;
  Settle();
  EXPECT_EQ(Held(*workers_[1]) + Held(*workers_[2]), kAll);
}

TEST_F(PlacementKeeperTest, AnotherNumberOfReplicasIsAPlacementChange) {
  AddWorker();
  AddWorker();
  AddWorker();
  Serve(1);
  Settle();
  ASSERT_EQ(test_->SetModel(test_->cluster().state().model()->id, 3).code(), 0U);
  Settle();
  ExpectReplicas(3);
  ASSERT_EQ(test_->SetModel(test_->cluster().state().model()->id, 2).code(), 0U);
  Settle();
  ExpectReplicas(2);
}

// Goal: whatever comes, goes, slows down or drains in whatever order, an expert that somebody alive
// holds is always left to somebody that holds it (checked at each step), and in the end all is
// well.
TEST_F(PlacementKeeperTest, RandomLivesEndWell) {
  std::mt19937 random(7);
  for (int i = 0; i < 5; ++i) AddWorker(5 + 5 * (i % 3));
  Serve(2);
  Settle();
  for (int round = 0; round < 40; ++round) {
    TestWorker& worker = *workers_[random() % workers_.size()];
    switch (random() % 5) {
      case 0:
        Kill(worker);
        break;
      case 1:
      case 2:
        Return(worker);
        break;
      case 3:
        worker.speed = 5 + random() % 20;
        break;
      case 4:
        worker.loads = !worker.loads;
        break;
    }
    Pass(absl::Milliseconds(100 * (random() % 60)));
  }
  for (const auto& worker : workers_) {
    Return(*worker);
    worker->loads = true;
  }
  for (int i = 0; i < 5; ++i) Settle();
  ExpectReplicas(2);
  double speed = 0;
  for (const auto& worker : workers_) speed += worker->speed;
  for (const auto& worker : workers_) {
    const double share = std::min<double>(kAll, 2 * kAll * worker->speed / speed);
    EXPECT_NEAR(Held(*worker), share, 0.15 * share + 1);
  }
}

}  // namespace
}  // namespace shoal
