// Router and workers over the real transport, on loopback.
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/grpc_transport.h"
#include "router/dispatch/remote_experts.h"
#include "tests/support/random_experts.h"
#include "tests/support/test_cluster.h"

namespace shoal {
namespace {

std::unique_ptr<TestCluster> StartOverGrpc(const ModelConfig& config, const WeightSource& weights,
                                           int n_workers) {
  return TestCluster::Start(config, weights, n_workers,
                            [](int) { return ListenGrpc("127.0.0.1:0", {}); });
}

absl::StatusOr<std::unique_ptr<RemoteExperts>> Connect(
    const TestCluster& cluster, absl::Duration replica_wait = absl::Seconds(30)) {
  RemoteExperts::Options options = cluster.options();
  options.replica_wait = replica_wait;
  return TestCluster::Connect(options, cluster.members(), NewGrpcDialer({}), NewGrpcDialer({}));
}

Mat<float> RunExperts(ExpertExecutor& experts, const RandomRows& rows, RowStatuses* statuses) {
  Mat<float> out(rows.x.rows(), rows.x.cols());
  ExpertCall call = experts.Start(0, rows.x.view(), rows.routing, {});
  *statuses = experts.Finish(std::move(call), out.view());
  return out;
}

TEST(RemoteExpertsGrpcTest, I1_SameBitsAsLocalExperts) {
  const ModelConfig config = TinyExpertsConfig();
  for (const DType dtype : {DType::kQ8_0, DType::kF32}) {
    const auto weights = RandomExpertWeights(config, dtype, 11);
    const LoadedExperts local =
        LoadExperts(config, *weights, {}, {.format = *RowFormatOf(config, *weights)});
    for (const int n_workers : {1, 2, 3, 5}) {
      const auto cluster = StartOverGrpc(config, *weights, n_workers);
      const auto remote = Connect(*cluster);
      ASSERT_TRUE(remote.ok()) << remote.status();
      for (const int n_tokens : {1, 7, 200}) {
        const RandomRows rows(config, n_tokens, 500 + n_tokens);
        RowStatuses statuses;
        const Mat<float> got = RunExperts(**remote, rows, &statuses);
        ASSERT_TRUE(statuses.ok()) << statuses.row(0);
        const Mat<float> expected = RunExperts(*local.experts, rows, &statuses);
        EXPECT_EQ(
            std::memcmp(got.data(), expected.data(), n_tokens * config.hidden_dim * sizeof(float)),
            0)
            << n_workers << " workers, " << n_tokens << " rows";
      }
      const auto workers = (*remote)->GetWorkerStatus(absl::Now() + absl::Seconds(20));
      ASSERT_TRUE(workers.ok()) << workers.status();
      for (const WorkerStatus& worker : *workers) EXPECT_GT(worker.rows_computed, 0U);
    }
  }
}

// Goal: replies of more bytes than one message holds come in several calls.
// Method: 512 rows of a model so wide that a worker's results take 16 MiB.
TEST(RemoteExpertsGrpcTest, S14_LargeWorkIsCutByRows) {
  ModelConfig config = TinyExpertsConfig();
  config.n_layers = 1;
  config.n_experts = 8;
  config.top_k = 8;
  config.hidden_dim = 2048;
  config.ffn_dim = 32;
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 12);
  const LoadedExperts local = LoadExperts(config, *weights, {}, {});
  const auto cluster = StartOverGrpc(config, *weights, 1);
  const auto remote = Connect(*cluster);
  ASSERT_TRUE(remote.ok()) << remote.status();
  const RandomRows rows(config, 512, 77);
  RowStatuses statuses;
  const Mat<float> got = RunExperts(**remote, rows, &statuses);
  ASSERT_TRUE(statuses.ok()) << statuses.row(0);
  const Mat<float> expected = RunExperts(*local.experts, rows, &statuses);
  EXPECT_EQ(std::memcmp(got.data(), expected.data(), size_t{512} * 2048 * sizeof(float)), 0);
  EXPECT_GT((*remote)->counters().calls, 2U);
  EXPECT_GT((*remote)->counters().bytes_in, uint64_t{16} << 20);
}

TEST(RemoteExpertsGrpcTest, F02_RowsOfTheLastReplicaFailAfterTheWait) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  const auto cluster = StartOverGrpc(config, *weights, 2);
  const auto remote = Connect(*cluster, absl::Milliseconds(500));
  ASSERT_TRUE(remote.ok()) << remote.status();
  cluster->StopWorker(1);
  const RandomRows rows(config, 20, 5);
  RowStatuses statuses;
  RunExperts(**remote, rows, &statuses);
  ASSERT_FALSE(statuses.ok());
  int n_failed = 0;
  for (int t = 0; t < 20; ++t) {
    if (statuses.row(t).ok()) continue;
    ++n_failed;
    EXPECT_EQ(statuses.row(t).code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(statuses.row(t).message()), testing::StartsWith("expert_unavailable"));
  }
  EXPECT_GT(n_failed, 0);
}

}  // namespace
}  // namespace shoal
