// Experts on workers that come and go, over links that cannot be trusted: the bits of LocalExperts,
// or expert_unavailable, and nothing else.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/dialer_testing.h"
#include "proto/frame_codec.h"
#include "proto/in_process_transport.h"
#include "router/dispatch/remote_experts.h"
#include "tests/support/random_experts.h"
#include "tests/support/test_cluster.h"

namespace shoal {
namespace {

using ::testing::StartsWith;

class FailoverTest : public ::testing::Test {
 protected:
  std::unique_ptr<TestCluster> StartCluster(int n_workers, int n_replicas) {
    return TestCluster::Start(config_, *weights_, n_workers, network_, n_replicas);
  }

  // Ends the call and compares it with what this process computes.
  void ExpectSameBits(RemoteExperts& remote, ExpertCall call, int layer, const RandomRows& rows) {
    Mat<float> out(rows.x.rows(), rows.x.cols());
    const RowStatuses statuses = remote.Finish(std::move(call), out.view());
    ASSERT_TRUE(statuses.ok()) << statuses.row(0);
    Mat<float> expected(rows.x.rows(), rows.x.cols());
    ExpertCall here = local_.experts->Start(layer, rows.x.view(), rows.routing, {});
    ASSERT_TRUE(local_.experts->Finish(std::move(here), expected.view()).ok());
    ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.rows() * out.cols() * sizeof(float)), 0);
  }
  void ExpectSameBits(RemoteExperts& remote, int layer, const RandomRows& rows) {
    ExpectSameBits(remote, remote.Start(layer, rows.x.view(), rows.routing, {}), layer, rows);
  }

  const ModelConfig config_ = TinyExpertsConfig();
  const std::unique_ptr<MemoryWeights> weights_ = RandomExpertWeights(config_, DType::kQ8_0, 11);
  const LoadedExperts local_ = LoadExperts(config_, *weights_, {}, {});
  InProcessNetwork network_;
};

TEST_F(FailoverTest, F02_RowsParkUntilTheLastReplicaIsBack) {
  const auto cluster = StartCluster(2, 1);
  const auto remote = cluster->Connect(network_);
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(1);
  const RandomRows rows(config_, 9, 71);
  ExpertCall call = (*remote)->Start(0, rows.x.view(), rows.routing, {});
  std::thread helper([&] { cluster->StartWorker(1); });
  ExpectSameBits(**remote, std::move(call), 0, rows);
  helper.join();
  EXPECT_GE((*remote)->counters().parked, 1U);
}

TEST_F(FailoverTest, F02_RowsParkUntilANewMemberHoldsTheirExperts) {
  const auto cluster = StartCluster(2, 2);  // Both hold everything.
  const auto remote = TestCluster::Connect(cluster->options(), {cluster->members()[0]},
                                           network_.NewDialer(), network_.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(0);
  const RandomRows rows(config_, 9, 72);
  ExpertCall call = (*remote)->Start(1, rows.x.view(), rows.routing, {});
  (*remote)->SetMembers({cluster->members()[1]});
  ExpectSameBits(**remote, std::move(call), 1, rows);
}

TEST_F(FailoverTest, F02_TheLastReplicasLossEndsWithinTheBound) {
  const auto cluster = StartCluster(1, 1);
  const auto remote = cluster->Connect(network_, [](RemoteExperts::Options& options) {
    options.replica_wait = absl::Milliseconds(200);
  });
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(0);
  const RandomRows rows(config_, 3, 73);
  Mat<float> out(3, config_.hidden_dim);
  const absl::Time begin = MonotonicNow();
  ExpertCall call = (*remote)->Start(0, rows.x.view(), rows.routing, {});
  const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
  EXPECT_GE(MonotonicNow() - begin, absl::Milliseconds(200));
  EXPECT_LT(MonotonicNow() - begin, absl::Seconds(5));
  for (int t = 0; t < 3; ++t) {
    EXPECT_EQ(statuses.row(t).code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(statuses.row(t).message()), StartsWith("expert_unavailable: "));
  }
}

TEST_F(FailoverTest, F25_CancellingTheStepEndsParkedRows) {
  const auto cluster = StartCluster(1, 1);
  const auto remote = cluster->Connect(network_);
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(0);
  const RandomRows rows(config_, 3, 74);
  Mat<float> out(3, config_.hidden_dim);
  std::atomic<bool> cancelled{false};
  ExpertCall call =
      (*remote)->Start(0, rows.x.view(), rows.routing, StepContext{.cancelled = &cancelled});
  std::thread helper([&] { cancelled.store(true); });
  const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
  helper.join();
  EXPECT_EQ(statuses.row(2).code(), absl::StatusCode::kCancelled);
}

// Goal: more pieces than a worker takes at once are all computed.
// Method: 200 rows in pieces of one row, to two workers: hundreds of calls to each.
TEST_F(FailoverTest, S15_NoMoreCallsAreUnderWayThanAWorkerTakes) {
  const auto cluster = StartCluster(2, 1);
  const auto remote = cluster->Connect(
      network_, [](RemoteExperts::Options& options) { options.max_call_results = options.top_k; });
  ASSERT_TRUE(remote.ok()) << remote.status();
  ExpectSameBits(**remote, 0, RandomRows(config_, 200, 75));
  EXPECT_GT((*remote)->counters().calls, 128U);
  EXPECT_EQ((*remote)->counters().failed_calls, 0U);
}

TEST_F(FailoverTest, RowsThatAreNoNumbersFailOneByOne) {
  const auto cluster = StartCluster(2, 1);
  const auto remote = cluster->Connect(network_);
  ASSERT_TRUE(remote.ok()) << remote.status();
  RandomRows rows(config_, 6, 76);
  rows.x.row(2)[5] = std::numeric_limits<float>::infinity();
  Mat<float> out(6, config_.hidden_dim);
  ExpertCall call = (*remote)->Start(0, rows.x.view(), rows.routing, {});
  const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
  for (int t = 0; t < 6; ++t) EXPECT_EQ(statuses.row(t).ok(), t != 2) << t;
}

// Goal: members may come, go and drain at any moment.
// Method: another thread publishes member lists, each of which leaves every expert a replica, while
// 60 steps run.
TEST_F(FailoverTest, I4_MembersChangeWhileStepsRun) {
  const auto cluster = StartCluster(3, 2);
  const auto remote = cluster->Connect(network_);
  ASSERT_TRUE(remote.ok()) << remote.status();
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    std::mt19937_64 rng(9);
    while (!stop.load()) {
      std::vector<WorkerMember> members = cluster->members();
      members[rng() % 3].draining = rng() % 2 == 0;
      if (rng() % 2 == 0) members.erase(members.begin() + rng() % 3);
      std::shuffle(members.begin(), members.end(), rng);
      (*remote)->SetMembers(std::move(members));
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 60 && !HasFatalFailure(); ++i) {
    ExpectSameBits(**remote, i % 2, RandomRows(config_, 1 + i % 4, 5000 + i));
  }
  stop.store(true);
  publisher.join();
}

// After each frame that arrives, a crowd of forged ones: copies of it, of earlier ones, a quarter
// with ids that were never given, a fifth with a flipped bit.
class ForgingDialer final : public ForwardingDialer {
 public:
  ForgingDialer(std::unique_ptr<Dialer> inner, std::atomic<int>* n_forged)
      : ForwardingDialer(std::move(inner)), n_forged_(n_forged) {}
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    std::optional<LinkEvent> event;
    if (!forged_.empty()) {
      event.emplace(std::move(forged_.front()));
      forged_.pop_front();
      n_forged_->fetch_add(1);
      return event;
    }
    event = ForwardingDialer::Next(deadline);
    if (event.has_value() && !event->frame.empty()) Forge(*event);
    return event;
  }

 private:
  static constexpr int kCrowd = 40;

  void Forge(const LinkEvent& event) {
    past_.push_back(Copy(event.frame));
    if (past_.size() > 50) past_.pop_front();
    for (int i = 0; i < kCrowd; ++i) {
      FrameBuffer frame = Copy(past_[rng_() % past_.size()]);
      if (i % 4 == 0) frame = WithAnotherId(frame);
      if (rng_() % 5 == 0) frame.data()[rng_() % frame.size()] ^= std::byte{16};
      forged_.push_back({event.link, absl::OkStatus(), std::move(frame)});
    }
  }
  // The same result, to a call that nobody made; checksums hold.
  FrameBuffer WithAnotherId(const FrameBuffer& buffer) {
    const auto frame = DecodeFrame(buffer);
    wire::FrameHeader header = frame->header;
    wire::CallId& id = *header.mutable_run_experts_reply()->mutable_id();
    switch (rng_() % 4) {
      case 0:
        id.set_router_incarnation(rng_());
        break;
      case 1:
        id.set_call(id.call() + 1 + rng_() % 100);
        id.set_step(~uint64_t{0});
        break;
      case 2:
        id.set_layer(id.layer() ^ 1);
        break;
      default:
        id.set_attempt(id.attempt() + 1);
        break;
    }
    FrameWriter writer(header, frame->payload.size());
    std::fill(writer.payload().begin(), writer.payload().end(), std::byte{0});  // Wrong numbers.
    return std::move(writer).Finish();
  }
  static FrameBuffer Copy(const FrameBuffer& from) {
    FrameBuffer copy(from.size());
    std::memcpy(copy.data(), from.data(), from.size());
    return copy;
  }

  std::atomic<int>* const n_forged_;
  std::mt19937_64 rng_{21};
  std::deque<FrameBuffer> past_;
  std::deque<LinkEvent> forged_;
};

// Goal: 100,000 corrupted, duplicated, late and unknown replies: none is used, nothing crashes.
TEST_F(FailoverTest, I3_ForgedRepliesAreNeverUsed) {
  const auto cluster = StartCluster(3, 2);
  std::atomic<int> n_forged{0};
  const auto remote = TestCluster::Connect(
      cluster->options(), cluster->members(),
      std::make_unique<ForgingDialer>(network_.NewDialer(), &n_forged), network_.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  for (int i = 0; n_forged.load() < 100'000 && !HasFatalFailure(); ++i) {
    ExpectSameBits(**remote, i % 2, RandomRows(config_, 2, 7000 + i % 50));
  }
  const DroppedReplies dropped = (*remote)->counters().dropped;
  EXPECT_GT(dropped.duplicate + dropped.late + dropped.unknown, 70'000U);
  EXPECT_GT(dropped.duplicate, 0U);
  EXPECT_GT(dropped.late, 0U);
  EXPECT_GT(dropped.unknown, 0U);
  EXPECT_GT(dropped.corrupt, 15'000U);
}

}  // namespace
}  // namespace shoal
