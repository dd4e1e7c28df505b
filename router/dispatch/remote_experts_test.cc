#include "router/dispatch/remote_experts.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "engine/numerics_class.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/in_process_transport.h"
#include "tests/support/random_experts.h"
#include "tests/support/test_cluster.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<float> RunExperts(ExpertExecutor& experts, int layer, const RandomRows& rows,
                              const StepContext& step = {}) {
  Mat<float> out(rows.x.rows(), rows.x.cols());
  ExpertCall call = experts.Start(layer, rows.x.view(), rows.routing, step);
  const RowStatuses statuses = experts.Finish(std::move(call), out.view());
  EXPECT_TRUE(statuses.ok()) << statuses.row(0);
  return {out.data(), out.data() + out.rows() * out.cols()};
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Goal: a dense layer has one expert, and nobody waits for others.
TEST(RemoteExpertsTest, I1_LayersOfOtherSizesAreServed) {
  ModelConfig config = TinyExpertsConfig();
  config.architecture = "glm4moe";  // Has both kinds of layers.
  config.n_layers = 3;
  config.dense_ffn_dim = 160;
  config.MutableLayer(0).dense = true;
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 12);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network);
  const auto remote = cluster->Connect(network);
  ASSERT_TRUE(remote.ok()) << remote.status();
  for (int layer = 0; layer < config.n_layers; ++layer) {
    RandomRows rows(config, 5, 500);
    if (config.IsDense(layer)) {
      rows.topk_ids.assign(5, 0);
      rows.topk_weights.assign(5, 1.0F);
      rows.routing = {
          .n_tokens = 5, .top_k = 1, .topk_ids = rows.topk_ids, .topk_weights = rows.topk_weights};
    }
    EXPECT_TRUE(
        SameBits(RunExperts(**remote, layer, rows), RunExperts(*local.experts, layer, rows)))
        << "layer " << layer;
  }
}

// Goal: whoever computes the experts, the bits are the same.
// Method: random experts, on 1 to 5 workers and in this process; calls whole and cut.
TEST(RemoteExpertsTest, I1_SameBitsAsLocalExperts) {
  const ModelConfig config = TinyExpertsConfig();
  for (const DType dtype : {DType::kQ8_0, DType::kF32}) {
    const auto weights = RandomExpertWeights(config, dtype, 11);
    const RowFormat format = *RowFormatOf(config, *weights);
    const LoadedExperts local = LoadExperts(config, *weights, {}, {.format = format});
    for (const int n_workers : {1, 2, 3, 5}) {
      InProcessNetwork network;
      const auto cluster = TestCluster::Start(config, *weights, n_workers, network);
      for (const int max_results : {0, 4}) {
        const auto remote = cluster->Connect(network, [&](RemoteExperts::Options& options) {
          options.max_call_results = max_results;
        });
        ASSERT_TRUE(remote.ok()) << remote.status();
        for (const int n_tokens : {1, 2, 33}) {
          for (int layer = 0; layer < config.n_layers; ++layer) {
            const RandomRows rows(config, n_tokens, 400 + n_tokens);
            EXPECT_TRUE(SameBits(RunExperts(**remote, layer, rows),
                                 RunExperts(*local.experts, layer, rows)))
                << n_workers << " workers, " << n_tokens << " rows, layer " << layer;
          }
        }
      }
    }
  }
}

TEST(RemoteExpertsTest, EveryWorkerShowsWhatItComputed) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network);
  const auto remote = cluster->Connect(network);
  ASSERT_TRUE(remote.ok()) << remote.status();
  RunExperts(**remote, 0, RandomRows(config, 40, 5));
  const auto workers = (*remote)->GetWorkerStatus(absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(workers.ok()) << workers.status();
  uint64_t rows = 0;
  uint64_t residents = 0;
  for (const WorkerStatus& worker : *workers) {
    EXPECT_GT(worker.rows_computed, 0U);
    EXPECT_EQ(worker.calls, 1U);
    EXPECT_GT(worker.bytes_in, 0U);
    EXPECT_GT(worker.bytes_out, 0U);
    EXPECT_GT(worker.resident_expert_bytes, 0U);
    EXPECT_GT(worker.rss_bytes, 0U);
    rows += worker.rows_computed;
    residents += worker.resident_experts;
  }
  EXPECT_EQ(rows, 40U * config.top_k);
  EXPECT_EQ(residents, static_cast<uint64_t>(config.n_experts * config.n_layers));
  EXPECT_EQ((*remote)->counters().calls, 3U);
  EXPECT_EQ((*remote)->counters().failed_calls, 0U);
}

TEST(RemoteExpertsTest, F02_RowsOfTheLastReplicaFailAfterTheWaitAndNoOthers) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network);
  const auto remote = cluster->Connect(network, [](RemoteExperts::Options& options) {
    options.replica_wait = absl::Milliseconds(300);
  });
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(1);
  const RandomRows rows(config, 40, 5);
  const std::vector<float> expected = RunExperts(*local.experts, 0, rows);
  for (int attempt = 0; attempt < 2; ++attempt) {
    Mat<float> out(40, config.hidden_dim);
    ExpertCall call = (*remote)->Start(0, rows.x.view(), rows.routing, {});
    const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
    int n_failed = 0;
    for (int t = 0; t < 40; ++t) {
      bool needs_lost = false;
      for (int k = 0; k < config.top_k; ++k) {
        needs_lost |= rows.topk_ids[t * config.top_k + k] % 3 == 1;
      }
      const absl::Status status = statuses.row(t);
      EXPECT_EQ(status.ok(), !needs_lost) << t;
      if (needs_lost) {
        ++n_failed;
        EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
        EXPECT_THAT(std::string(status.message()), StartsWith("expert_unavailable"));
      } else {
        EXPECT_EQ(std::memcmp(out.row(t), expected.data() + t * config.hidden_dim,
                              config.hidden_dim * sizeof(float)),
                  0);
      }
    }
    EXPECT_GT(n_failed, 0);
    EXPECT_LT(n_failed, 40);
  }
}

TEST(RemoteExpertsTest, WorkersOfAnotherModelAreRefused) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 2, network);
  const auto expect_refused = [&](auto change, absl::StatusCode code, const char* why) {
    RemoteExperts::Options options = cluster->options();
    change(options);
    const auto remote = TestCluster::Connect(options, cluster->members(), network.NewDialer(),
                                             network.NewDialer(), absl::Milliseconds(500));
    EXPECT_EQ(remote.status().code(), code) << remote.status();
    EXPECT_THAT(std::string(remote.status().message()), HasSubstr(why));
  };
  const auto unfit = absl::StatusCode::kFailedPrecondition;
  expect_refused([](RemoteExperts::Options& o) { o.model_id = "other"; }, unfit, "serves model");
  expect_refused([](RemoteExperts::Options& o) { o.activations_f32 = true; }, unfit,
                 "numerics class");
}

TEST(RemoteExpertsTest, AbsentExpertsAreNamed) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 2, network);
  std::vector<WorkerMember> members = cluster->members();
  members[1].address = "nowhere";
  const auto remote = TestCluster::Connect(cluster->options(), members, network.NewDialer(),
                                           network.NewDialer(), absl::Milliseconds(500));
  EXPECT_EQ(remote.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(remote.status().message()),
              testing::AllOf(HasSubstr("nowhere"), HasSubstr("layer 0: experts 1, 3")));
}

TEST(RemoteExpertsTest, CancelledStepEndsAtOnce) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 1, network);
  auto mute = std::make_unique<MuteDialer>(network.NewDialer());
  const auto remote = TestCluster::Connect(cluster->options(), cluster->members(), std::move(mute),
                                           network.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  const RandomRows rows(config, 2, 5);
  Mat<float> out(2, config.hidden_dim);
  std::atomic<bool> cancelled{true};
  ExpertCall call =
      (*remote)->Start(0, rows.x.view(), rows.routing, StepContext{.cancelled = &cancelled});
  EXPECT_EQ((*remote)->Finish(std::move(call), out.view()).row(1).code(),
            absl::StatusCode::kCancelled);
}

TEST(RemoteExpertsTest, SilentWorkerFailsAtTheDeadline) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 1, network);
  auto mute = std::make_unique<MuteDialer>(network.NewDialer());
  const auto remote = TestCluster::Connect(cluster->options(), cluster->members(), std::move(mute),
                                           network.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  const RandomRows rows(config, 2, 5);
  Mat<float> out(2, config.hidden_dim);
  ExpertCall call = (*remote)->Start(0, rows.x.view(), rows.routing,
                                     StepContext{.deadline = absl::Now() + absl::Milliseconds(30)});
  const absl::Status status = (*remote)->Finish(std::move(call), out.view()).row(0);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), StartsWith("expert_unavailable"));
}

// Goal: with the network duplicating, replaying and delaying, either the right bits or an error.
TEST(RemoteExpertsTest, F23_ReplayedRepliesChangeNothing) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network);
  auto echo = std::make_unique<ReplayingDialer>(network.NewDialer(), /*seed=*/3);
  const auto remote = TestCluster::Connect(cluster->options(), cluster->members(), std::move(echo),
                                           network.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  for (int i = 0; i < 200; ++i) {
    const RandomRows rows(config, 3, 1000 + i);
    ASSERT_TRUE(
        SameBits(RunExperts(**remote, i % 2, rows), RunExperts(*local.experts, i % 2, rows)))
        << i;
  }
  const DroppedReplies dropped = (*remote)->counters().dropped;
  EXPECT_GT(dropped.duplicate + dropped.late, 100U);
}

// Goal: a worker that dies while it owes an answer costs no row and changes no bit.
// Method: three workers, two replicas; again and again one is stopped while steps run, and started.
TEST(RemoteExpertsTest, F01_ALostWorkersCallsGoToOthers) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network, /*n_replicas=*/2);
  const auto remote = cluster->Connect(network);
  ASSERT_TRUE(remote.ok()) << remote.status();
  for (int round = 0; round < 12; ++round) {
    const int victim = round % 3;
    const RandomRows rows(config, 5, 2000 + round);
    const std::vector<float> expected = RunExperts(*local.experts, round % 2, rows);
    Mat<float> out(5, config.hidden_dim);
    ExpertCall call = (*remote)->Start(round % 2, rows.x.view(), rows.routing, {});
    cluster->StopWorker(victim);
    const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
    ASSERT_TRUE(statuses.ok()) << statuses.row(0);
    EXPECT_EQ(std::memcmp(out.data(), expected.data(), expected.size() * sizeof(float)), 0);
    EXPECT_TRUE(SameBits(RunExperts(**remote, round % 2, rows), expected));
    cluster->StartWorker(victim);
    ASSERT_TRUE((*remote)->WaitUntilServable(absl::Now() + absl::Seconds(20)).ok());
    const auto back = (*remote)->GetWorkerStatus(absl::Now() + absl::Seconds(20));
    ASSERT_TRUE(back.ok()) << back.status();
  }
  EXPECT_GT((*remote)->counters().lost_workers, 3U);
}

// Two of three workers hold every expert already: waits until the third is asked, too.
absl::Status WaitForAll(RemoteExperts& remote) {
  const absl::Time deadline = MonotonicNow() + absl::Seconds(20);
  const absl::Status answered = remote.GetWorkerStatus(deadline).status();
  return answered.ok() ? remote.WaitUntilServable(deadline) : answered;
}

// Goal: a worker that hangs is found by its silence, and its late answers change nothing.
// Method: the dialer of calls swallows everything of one worker's, both ways, while health is
// silent too.
TEST(RemoteExpertsTest, F03_ASilentWorkersCallsGoToOthers) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network, /*n_replicas=*/2);
  std::atomic<bool> silent{false};
  auto calls = std::make_unique<SilencingDialer>(network.NewDialer(), "worker-1", &silent);
  auto health = std::make_unique<SilencingDialer>(network.NewDialer(), "worker-1", &silent);
  const auto remote = TestCluster::Connect(cluster->options(), cluster->members(), std::move(calls),
                                           std::move(health));
  ASSERT_TRUE(remote.ok()) << remote.status();
  ASSERT_TRUE(WaitForAll(**remote).ok());
  for (int i = 0; i < 6; ++i) {
    silent.store(i % 2 == 1);
    const RandomRows rows(config, 5, 3000 + i);
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(
        SameBits(RunExperts(**remote, i % 2, rows), RunExperts(*local.experts, i % 2, rows)));
    EXPECT_LT(absl::Now() - begin, absl::Seconds(2)) << i;
  }
  EXPECT_GT((*remote)->counters().retried.total(), 0U);
}

// Goal: 1 promise, never a wrong bit, whatever a peer sends.
// Method: frames of one worker are damaged, now and then, by a flipped bit.
TEST(RemoteExpertsTest, F09_DamagedRepliesAreAskedForElsewhere) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 3, network, /*n_replicas=*/2);
  auto damaging = std::make_unique<DamagingDialer>(network.NewDialer(), /*seed=*/5);
  const auto remote = TestCluster::Connect(cluster->options(), cluster->members(),
                                           std::move(damaging), network.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  ASSERT_TRUE(WaitForAll(**remote).ok());
  for (int i = 0; i < 100; ++i) {
    const RandomRows rows(config, 3, 4000 + i);
    const std::vector<float> expected = RunExperts(*local.experts, i % 2, rows);
    Mat<float> out(3, config.hidden_dim);
    ExpertCall call = (*remote)->Start(i % 2, rows.x.view(), rows.routing, {});
    const RowStatuses statuses = (*remote)->Finish(std::move(call), out.view());
    ASSERT_TRUE(statuses.ok()) << statuses.row(0);
    ASSERT_EQ(std::memcmp(out.data(), expected.data(), expected.size() * sizeof(float)), 0);
  }
  EXPECT_GT((*remote)->counters().dropped.corrupt, 0U);
  EXPECT_GT((*remote)->counters().retried.corrupt, 0U);
}

}  // namespace
}  // namespace shoal
