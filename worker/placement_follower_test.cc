#include "worker/placement_follower.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock_testing.h"
#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/in_process_transport.h"
#include "tests/support/expert_shards.h"
#include "tests/support/random_experts.h"
#include "tests/support/test_cluster.h"

namespace shoal {
namespace {

constexpr char kSelf[] = "0000000000000001";
constexpr char kOther[] = "0000000000000003";

struct TestModelFiles {
  Sha256Digest id;
  std::unique_ptr<MemoryWeights> weights;
  ExpertShardFiles cut;
};

class PlacementFollowerTest : public ::testing::Test {
 protected:
  PlacementFollowerTest() {
    for (const uint64_t seed : {3, 4}) {
      TestModelFiles model;
      model.id.fill(static_cast<std::byte>(seed));
      model.weights = RandomExpertWeights(config_, DType::kQ8_0, seed);
      model.cut = CutExperts(config_, *model.weights);
      models_.push_back(std::move(model));
    }
    auto files = ShardStore::Open(&disk_, "/shards");
    EXPECT_TRUE(files.ok());
    files_ = *std::move(files);
  }

  PlacementFollower::Options OptionsFor(Clock* clock) {
    PlacementFollower::Options options;
    options.node_id = kSelf;
    options.store = {
        .files = files_.get(),
        .fetch = [this](const ShardInfo& shard, const std::atomic<bool>*) { return Fetch(shard); },
        .clock = clock,
        .memory_bytes = uint64_t{1} << 30,
        .disk_bytes = uint64_t{1} << 30};
    options.get_model = [this](const Snapshot& snapshot, const std::atomic<bool>*) {
      return GetModel(snapshot);
    };
    options.make_served = [this](const PlacementFollower::Model& model) {
      return MakeServed(model);
    };
    options.serve = [this](std::shared_ptr<Served> served) { Serve(std::move(served)); };
    options.report = [this](const Sha256Digest& id, const ExpertSet& advertised) {
      reported_model_ = id;
      reported_ = advertised;
      n_reports_.fetch_add(1);
    };
    options.on_complete = [this](const Sha256Digest& id) { completed_.push_back(id); };
    options.on_idle = [this] { EXPECT_TRUE(files_->Sync().ok()); };
    return options;
  }

  absl::Status Fetch(const ShardInfo& shard) {
    if (!origin_.ok()) return origin_;
    for (const TestModelFiles& model : models_) {
      for (size_t i = 0; i < model.cut.files.size(); ++i) {
        if (model.cut.manifest.shards[i].hash != shard.hash) continue;
        return PutFile(files_.get(), shard, model.cut.files[i]);
      }
    }
    return absl::NotFoundError("no such shard anywhere");
  }
  absl::StatusOr<PlacementFollower::Model> GetModel(const Snapshot& snapshot) {
    if (!origin_.ok()) return origin_;
    for (const TestModelFiles& model : models_) {
      if (model.id == *snapshot.model_id) {
        return PlacementFollower::Model{model.id, model.cut.manifest};
      }
    }
    return absl::NotFoundError("no such model");
  }
  absl::StatusOr<std::shared_ptr<Served>> MakeServed(const PlacementFollower::Model& model) {
    return std::make_shared<Served>(
        ServedModel{.model_id = "0123456789abcdef",
                    .numerics_class = "arithmetic-1/q8x32-f16",
                    .n_layers = config_.n_layers,
                    .n_experts = config_.n_experts,
                    .hidden_dim = config_.hidden_dim},
        LocalExperts::Create(model.manifest.config, SelectedKernels(), pool_, {}));
  }
  void Serve(std::shared_ptr<Served> served) {
    served_ = served;
    if (worker_ != nullptr) worker_->Serve(std::move(served));
  }

  // Model `m`, of which this worker holds `mine` and another one `others`.
  std::shared_ptr<const Snapshot> MakeSnapshot(uint64_t epoch, int m, const ExpertSet& mine,
                                               const ExpertSet& others) const {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->epoch = epoch;
    snapshot->model_id = models_[m].id;
    snapshot->n_layers = config_.n_layers;
    snapshot->n_experts = config_.n_experts;
    snapshot->members.resize(2);
    snapshot->members[0].node = {NodeRole::kWorker, kSelf};
    snapshot->members[0].assigned = mine;
    snapshot->members[1].node = {NodeRole::kWorker, kOther};
    snapshot->members[1].assigned = others;
    return snapshot;
  }
  ExpertSet Some(int begin, int end) const {  // The same of each layer.
    ExpertSet set(config_.n_layers, config_.n_experts);
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      for (int e = begin; e < end; ++e) set.Insert(layer, e);
    }
    return set;
  }
  void Settle(PlacementFollower& follower, ManualClock& clock) {
    for (int i = 0; i < 1000; ++i) {
      if (follower.RunOnce() > clock.Now()) return;
    }
    FAIL() << "the follower is never done";
  }

  const ModelConfig config_ = TinyExpertsConfig();
  std::vector<TestModelFiles> models_;
  MemoryFileSystem disk_;
  std::unique_ptr<ShardStore> files_;
  ThreadPool own_pool_{1};
  ThreadPool* pool_ = &own_pool_;
  absl::Status origin_;
  std::unique_ptr<Worker> worker_;
  std::shared_ptr<Served> served_;
  Sha256Digest reported_model_ = {};
  ExpertSet reported_;
  std::atomic<int> n_reports_{0};
  std::vector<Sha256Digest> completed_;
};

TEST_F(PlacementFollowerTest, HoldsWhatTheSnapshotAssigns) {
  ManualClock clock;
  PlacementFollower follower(OptionsFor(&clock));
  EXPECT_EQ(follower.RunOnce(), absl::InfiniteFuture());
  EXPECT_FALSE(follower.IsComplete());
  follower.OnSnapshot(MakeSnapshot(1, 0, Some(0, 4), Some(4, 10)));
  Settle(follower, clock);
  EXPECT_TRUE(follower.IsComplete());
  EXPECT_EQ(served_->advertised(), Some(0, 4));
  EXPECT_EQ(reported_, Some(0, 4));
  EXPECT_EQ(reported_model_, models_[0].id);
  EXPECT_THAT(completed_, ::testing::ElementsAre(models_[0].id));

  // Taken away at once, also from the report; the new one comes.
  follower.OnSnapshot(MakeSnapshot(2, 0, Some(2, 6), Some(4, 10)));
  EXPECT_EQ(served_->advertised(), Some(2, 4));
  EXPECT_EQ(reported_, Some(2, 4));
  Settle(follower, clock);
  EXPECT_EQ(served_->advertised(), Some(2, 6));
  EXPECT_EQ(reported_, Some(2, 6));
}

TEST_F(PlacementFollowerTest, AnotherModelTakesTheOldOnesPlace) {
  ManualClock clock;
  PlacementFollower follower(OptionsFor(&clock));
  follower.OnSnapshot(MakeSnapshot(1, 0, Some(0, 10), Some(0, 0)));
  Settle(follower, clock);
  const std::weak_ptr<Served> old = served_;
  follower.OnSnapshot(MakeSnapshot(2, 1, Some(0, 3), Some(0, 0)));
  EXPECT_TRUE(reported_.empty());
  Settle(follower, clock);
  EXPECT_TRUE(old.expired());
  EXPECT_EQ(served_->advertised(), Some(0, 3));
  EXPECT_EQ(reported_model_, models_[1].id);
  EXPECT_THAT(completed_, ::testing::ElementsAre(models_[0].id, models_[1].id));

  auto none = std::make_shared<Snapshot>();
  none->epoch = 3;
  follower.OnSnapshot(none);
  Settle(follower, clock);
  EXPECT_EQ(served_, nullptr);
  EXPECT_FALSE(follower.IsComplete());
}

TEST_F(PlacementFollowerTest, AManifestThatNobodyHasIsAskedForAgain) {
  ManualClock clock;
  PlacementFollower follower(OptionsFor(&clock));
  origin_ = absl::UnavailableError("nobody is there");
  follower.OnSnapshot(MakeSnapshot(1, 0, Some(0, 2), Some(0, 0)));
  const absl::Time next = follower.RunOnce();
  EXPECT_GT(next, clock.Now());
  EXPECT_LE(next, clock.Now() + absl::Seconds(5));
  origin_ = absl::OkStatus();
  clock.Advance(next - clock.Now());
  Settle(follower, clock);
  EXPECT_EQ(served_->advertised(), Some(0, 2));
}

TEST_F(PlacementFollowerTest, AWorkerThatIsNoMemberHoldsNothing) {
  ManualClock clock;
  PlacementFollower follower(OptionsFor(&clock));
  follower.OnSnapshot(MakeSnapshot(1, 0, Some(0, 2), Some(0, 0)));
  Settle(follower, clock);
  auto without = std::make_shared<Snapshot>(*MakeSnapshot(2, 0, Some(0, 2), Some(0, 0)));
  without->members.erase(without->members.begin());
  follower.OnSnapshot(without);
  EXPECT_TRUE(served_->advertised().empty());
}

// Goal: a whole worker, over a network, whose placement changes for as long as it is called: no bit
// changes, and what it advertises it never refuses. The follower runs on its own thread, as it does
// in earnest.
TEST_F(PlacementFollowerTest, I1_StreamsKeepTheirBitsWhileThePlacementChanges) {
  InProcessNetwork network;
  auto listener = network.Listen("worker");
  ASSERT_TRUE(listener.ok());
  auto pool = std::make_unique<ThreadPool>(2);
  pool_ = pool.get();
  worker_ = Worker::Start({.listener = *std::move(listener),
                           .pool = std::move(pool),
                           .served = nullptr,
                           .service = {}});
  auto options = OptionsFor(SystemClock());
  options.store.n_threads = 3;
  options.store.is_busy = [this] { return worker_->service().IsBusy(); };
  PlacementFollower follower(std::move(options));
  follower.Start();
  follower.OnSnapshot(MakeSnapshot(1, 0, Some(0, 10), Some(0, 0)));
  while (!follower.IsComplete()) std::this_thread::yield();

  const auto format = RowFormat::kQuantized;
  RemoteExperts::Options remote_options =
      RemoteExperts::OptionsFor(config_, format, SelectedKernels());
  remote_options.model_id = "0123456789abcdef";
  auto remote = TestCluster::Connect(remote_options, {{.node_id = {}, .address = "worker"}},
                                     network.NewDialer(), network.NewDialer());
  ASSERT_TRUE(remote.ok()) << remote.status();
  LoadedExperts whole = LoadExperts(config_, *models_[0].weights, {}, {});

  for (int round = 0; round < 60; ++round) {
    // Experts 0 to 4 always stay; the calls below ask for these only.
    follower.OnSnapshot(MakeSnapshot(2 + round, 0, Some(0, 5 + round % 6), Some(0, 0)));
    RandomRows rows(config_, 3, 100 + round);
    for (int t = 0; t < 3; ++t) {
      for (int k = 0; k < config_.top_k; ++k)
        rows.topk_ids[t * config_.top_k + k] = (round + t) % 3 + k;
    }
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      Mat<float> expected(3, config_.hidden_dim);
      Mat<float> got(3, config_.hidden_dim);
      ASSERT_TRUE(whole.experts
                      ->Finish(whole.experts->Start(layer, rows.x.view(), rows.routing, {}),
                               expected.view())
                      .ok());
      const StepContext step{.step_id = static_cast<uint64_t>(round + 1),
                             .deadline = MonotonicNow() + absl::Seconds(20)};
      const RowStatuses statuses =
          (*remote)->Finish((*remote)->Start(layer, rows.x.view(), rows.routing, step), got.view());
      ASSERT_TRUE(statuses.ok()) << statuses.row(0);
      for (int i = 0; i < 3 * config_.hidden_dim; ++i) {
        ASSERT_EQ(got.data()[i], expected.data()[i]) << round;
      }
    }
  }
  follower.Stop();
  worker_.reset();
}

}  // namespace
}  // namespace shoal
