#include "worker/expert_store.h"

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock_testing.h"
#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard.h"
#include "tests/support/expert_shards.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

// A worker's store over a disk of its own. `origin_` is whoever else has good copies.
class ExpertStoreTest : public ::testing::Test {
 protected:
  static constexpr char kDirectory[] = "/data/shards";

  void SetUp() override {
    auto files = ShardStore::Open(&disk_, kDirectory);
    ASSERT_TRUE(files.ok()) << files.status();
    files_ = *std::move(files);
    options_ = {.files = files_.get(),
                .fetch = [this](const ShardInfo& shard,
                                const std::atomic<bool>*) { return FetchFromOrigin(shard); },
                .clock = &clock_,
                .memory_bytes = uint64_t{1} << 30,
                .disk_bytes = uint64_t{1} << 30};
    MakeStore();
  }

  void MakeStore() {
    store_.reset();
    LoadedExperts loaded = LoadExperts(config_, *weights_, {.part = 0, .n_parts = 0}, {});
    pool_ = std::move(loaded.pool);
    served_ = std::make_shared<Served>(ServedModel{.model_id = "model",
                                                   .numerics_class = "numerics",
                                                   .n_layers = config_.n_layers,
                                                   .n_experts = config_.n_experts,
                                                   .hidden_dim = config_.hidden_dim},
                                       std::move(loaded.experts));
    store_ = std::make_unique<ExpertStore>(options_, manifest_, served_);
  }

  absl::Status FetchFromOrigin(const ShardInfo& shard) {
    fetched_.emplace_back(shard.layer, shard.expert);
    if (!origin_.ok()) return origin_;
    return PutFile(files_.get(), shard, FileOf(shard));
  }
  const std::string& FileOf(const ShardInfo& shard) const {
    return cut_.files[static_cast<size_t>(shard.layer) * config_.n_experts + shard.expert];
  }
  const ShardInfo& Shard(int layer, int expert) const {
    return *manifest_->Find(ShardKind::kExpert, layer, expert);
  }
  void PutAll() {
    for (const ShardInfo& shard : manifest_->shards) {
      ASSERT_TRUE(PutFile(files_.get(), shard, FileOf(shard)).ok());
    }
  }
  std::string PathOf(const ShardInfo& shard) const {
    return JoinPath(kDirectory, ShardPath(shard.hash));
  }

  ExpertSet Set(std::initializer_list<std::pair<int, int>> experts) const {
    ExpertSet set(config_.n_layers, config_.n_experts);
    for (const auto& [layer, expert] : experts) set.Insert(layer, expert);
    return set;
  }
  ExpertSet All() const {
    ExpertSet set(config_.n_layers, config_.n_experts);
    for (const ShardInfo& shard : manifest_->shards) set.Insert(shard.layer, shard.expert);
    return set;
  }
  // Runs until the store asks for a later time, which it returns.
  absl::Time Settle() {
    for (int i = 0; i < 1000; ++i) {
      const absl::Time next = store_->RunOnce(nullptr);
      if (next > clock_.Now()) return next;
    }
    ADD_FAILURE() << "the store is never done";
    return absl::InfinitePast();
  }
  // The same, over all waits, until nothing is left to do.
  void Complete() {
    for (int i = 0; i < 1000; ++i) {
      const absl::Time next = Settle();
      if (next == absl::InfiniteFuture()) return;
      clock_.Advance(next - clock_.Now());
    }
    ADD_FAILURE() << "the store is never complete";
  }
  void ExpectBitsOfTheModel() {
    LoadedExperts whole = LoadExperts(config_, *weights_, {}, {});
    const RandomRows rows(config_, 5, 4);
    Mat<float> expected(5, config_.hidden_dim);
    Mat<float> got(5, config_.hidden_dim);
    LocalExperts& loaded = served_->experts();
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      ExpertCall right = whole.experts->Start(layer, rows.x.view(), rows.routing, {});
      ASSERT_TRUE(whole.experts->Finish(std::move(right), expected.view()).ok());
      ExpertCall call = loaded.Start(layer, rows.x.view(), rows.routing, {});
      ASSERT_TRUE(loaded.Finish(std::move(call), got.view()).ok());
      for (int i = 0; i < 5 * config_.hidden_dim; ++i) {
        ASSERT_EQ(got.data()[i], expected.data()[i]);
      }
    }
  }

  const ModelConfig config_ = TinyExpertsConfig();
  const std::unique_ptr<MemoryWeights> weights_ = RandomExpertWeights(config_, DType::kQ8_0, 3);
  const ExpertShardFiles cut_ = CutExperts(config_, *weights_);
  const std::shared_ptr<const Manifest> manifest_ = std::make_shared<Manifest>(cut_.manifest);
  ManualClock clock_;
  MemoryFileSystem disk_;
  std::unique_ptr<ShardStore> files_;
  std::unique_ptr<ThreadPool> pool_;
  std::shared_ptr<Served> served_;
  ExpertStore::Options options_;
  std::unique_ptr<ExpertStore> store_;
  absl::Status origin_;
  std::vector<std::pair<int, int>> fetched_;
};

TEST_F(ExpertStoreTest, F16_WhatLiesOnDiskIsServedWithNothingFetched) {
  PutAll();
  origin_ = absl::UnavailableError("nobody is there");
  store_->Assign(All(), All());
  EXPECT_EQ(Settle(), absl::InfiniteFuture());
  EXPECT_EQ(served_->advertised(), All());
  EXPECT_TRUE(fetched_.empty());
  EXPECT_EQ(store_->progress().n_advertised, 20);
  EXPECT_EQ(store_->progress().memory_bytes, served_->experts().resident_bytes());
}

TEST_F(ExpertStoreTest, WithThreadsItLoadsTheSame) {
  PutAll();
  options_.n_threads = 4;
  MakeStore();
  store_->Assign(All(), All());
  EXPECT_EQ(Settle(), absl::InfiniteFuture());
  EXPECT_EQ(served_->advertised(), All());
  EXPECT_EQ(store_->progress().n_loaded, 20U);
  EXPECT_EQ(store_->progress().memory_bytes, served_->experts().resident_bytes());
}

// Goal: what was loaded out of shards computes the bits of the stacks.
TEST_F(ExpertStoreTest, I1_LoadedExpertsGiveTheBitsOfTheModel) {
  PutAll();
  store_->Assign(All(), All());
  Settle();
  ExpectBitsOfTheModel();
}

TEST_F(ExpertStoreTest, MissingFilesAreFetchedAfterThoseAtHand) {
  for (const int expert : {0, 1}) {
    ASSERT_TRUE(PutFile(files_.get(), Shard(1, expert), FileOf(Shard(1, expert))).ok());
  }
  store_->Assign(Set({{0, 2}, {1, 0}, {1, 1}}), Set({}));
  for (int i = 0; i < 3; ++i) store_->RunOnce(nullptr);  // Finds it missing; loads two.
  EXPECT_TRUE(fetched_.empty());
  EXPECT_TRUE(served_->advertised().Contains(1, 0));
  EXPECT_TRUE(served_->advertised().Contains(1, 1));
  Settle();
  EXPECT_EQ(served_->advertised(), Set({{0, 2}, {1, 0}, {1, 1}}));
  EXPECT_EQ(fetched_.size(), 1U);
}

TEST_F(ExpertStoreTest, F02_WhatNobodyElseHoldsComesFirst) {
  PutAll();
  store_->Assign(All(), Set({{1, 7}}));
  store_->RunOnce(nullptr);
  EXPECT_EQ(served_->advertised(), Set({{1, 7}}));
  store_->RunOnce(nullptr);
  EXPECT_EQ(served_->advertised(), Set({{0, 0}, {1, 7}}));
}

TEST_F(ExpertStoreTest, WhatIsGivenUpIsWithdrawnAtOnceAnswersForTheGraceAndGoes) {
  PutAll();
  store_->Assign(All(), All());
  Settle();
  ExpertSet rest = All();
  rest.Erase(0, 4);
  store_->Assign(rest, rest);
  EXPECT_EQ(served_->advertised(), rest);
  EXPECT_TRUE(served_->experts().Resident(0, 4));
  EXPECT_EQ(Settle(), clock_.Now() + absl::Seconds(10));
  EXPECT_TRUE(served_->experts().Resident(0, 4));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(Settle(), absl::InfiniteFuture());
  EXPECT_FALSE(served_->experts().Resident(0, 4));
  EXPECT_EQ(store_->progress().memory_bytes, served_->experts().resident_bytes());
  EXPECT_TRUE(files_->Has(Shard(0, 4)));  // Its file stays: it may come back.
}

TEST_F(ExpertStoreTest, WhatComesBackWithinTheGraceIsNotLoadedAgain) {
  PutAll();
  store_->Assign(All(), All());
  Settle();
  store_->Assign(Set({}), Set({}));
  EXPECT_TRUE(served_->advertised().empty());
  clock_.Advance(absl::Seconds(5));
  Settle();
  store_->Assign(All(), All());
  EXPECT_EQ(served_->advertised(), All());
  clock_.Advance(absl::Seconds(20));
  EXPECT_EQ(Settle(), absl::InfiniteFuture());
  EXPECT_EQ(served_->experts().resident_bytes(), store_->progress().memory_bytes);
  EXPECT_EQ(store_->progress().n_loaded, 20U);
}

TEST_F(ExpertStoreTest, F14_TheCapOfMemoryIsNeverExceeded) {
  PutAll();
  const uint64_t packed = PackedExpertBytes(Shard(0, 0), served_->experts().kernels());
  options_.memory_bytes = 3 * packed;
  MakeStore();
  store_->Assign(Set({{0, 0}, {0, 1}, {0, 2}, {0, 3}}), Set({}));
  EXPECT_LT(Settle(), absl::InfiniteFuture());
  EXPECT_EQ(served_->advertised(), Set({{0, 0}, {0, 1}, {0, 2}}));
  EXPECT_THAT(store_->progress().last_error, HasSubstr("--memory-bytes"));
  EXPECT_LE(store_->progress().memory_bytes, options_.memory_bytes);
  // Room appears once another one has gone.
  store_->Assign(Set({{0, 0}, {0, 1}, {0, 3}}), Set({}));
  Settle();
  EXPECT_FALSE(served_->experts().Resident(0, 3));
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_EQ(served_->advertised(), Set({{0, 0}, {0, 1}, {0, 3}}));
}

// Goal: whatever happened to a file, it is not served; a good copy takes its place.
TEST_F(ExpertStoreTest, F11_CorruptFilesAreNeverServedAndFetchedAgain) {
  const std::string& good = FileOf(Shard(0, 5));
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  std::string zeroed = good;
  zeroed.replace(128, 64, 64, '\0');
  const std::vector<std::string> bad = {flipped, zeroed, good.substr(0, good.size() - 1), "",
                                        FileOf(Shard(0, 6))};
  for (const std::string& bytes : bad) {
    MakeStore();
    ASSERT_TRUE(PutFile(files_.get(), Shard(0, 5), good).ok());
    ASSERT_TRUE(ReplaceFile(&disk_, PathOf(Shard(0, 5)), bytes).ok());
    fetched_.clear();
    origin_ = absl::UnavailableError("nobody is there");
    store_->Assign(Set({{0, 5}}), Set({}));
    EXPECT_LT(Settle(), absl::InfiniteFuture());
    EXPECT_TRUE(served_->advertised().empty());
    EXPECT_FALSE(served_->experts().Resident(0, 5));
    EXPECT_EQ(store_->progress().memory_bytes, 0U);
    origin_ = absl::OkStatus();
    clock_.Advance(absl::Seconds(10));
    EXPECT_EQ(Settle(), absl::InfiniteFuture());
    EXPECT_EQ(served_->advertised(), Set({{0, 5}}));
    EXPECT_GE(fetched_.size(), 2U);
    EXPECT_EQ(store_->progress().n_corrupt, 1U);
  }
}

TEST_F(ExpertStoreTest, F12_AFullDiskCostsNothingThatIsLoadedAndIsTriedAgainLater) {
  ASSERT_TRUE(PutFile(files_.get(), Shard(0, 0), FileOf(Shard(0, 0))).ok());
  store_->Assign(Set({{0, 0}}), Set({}));
  Settle();
  origin_ = absl::ResourceExhaustedError("no space left");
  store_->Assign(Set({{0, 0}, {0, 1}}), Set({}));
  absl::Duration last = absl::ZeroDuration();
  for (int i = 0; i < 8; ++i) {
    const absl::Time next = Settle();
    EXPECT_EQ(served_->advertised(), Set({{0, 0}}));
    EXPECT_GE(next - clock_.Now(), last);  // It backs off ...
    EXPECT_LE(next - clock_.Now(), absl::Seconds(10));
    last = next - clock_.Now();
    clock_.Advance(last);
  }
  EXPECT_GT(last, absl::Seconds(5));
  EXPECT_THAT(store_->progress().last_error, HasSubstr("no space left"));
  origin_ = absl::OkStatus();
  Settle();
  EXPECT_EQ(served_->advertised(), Set({{0, 0}, {0, 1}}));  // ... and comes back.
}

// Goal: all experts are fetched and loaded while the n-th disk operation fails, for every n: what
// is served is right, and in the end all of it is.
TEST_F(ExpertStoreTest, F12_EveryDiskOperationOfAFetchMayFail) {
  int n = 0;
  for (bool failed = true; failed && !HasFatalFailure(); ++n) {
    SCOPED_TRACE(testing::Message() << "operation " << n);
    ASSERT_TRUE(files_->Sweep({}).ok());
    MakeStore();
    disk_.FailOperation(n);
    store_->Assign(All(), All());
    Complete();
    failed = disk_.failed();
    disk_.FailOperation(-1);  // It has had fewer operations.
    EXPECT_EQ(served_->advertised(), All());
    ExpectBitsOfTheModel();
    for (const ShardInfo& shard : manifest_->shards) EXPECT_TRUE(files_->Verify(shard).ok());
  }
  EXPECT_GT(n, 100);
}

// Goal: a power cut before the sync costs fetches, never a wrong expert; one after it costs
// nothing.
TEST_F(ExpertStoreTest, F13_WhatAPowerCutLeavesIsNotServedUnlessItIsWhole) {
  size_t n_lost = 0;
  for (int i = 0; i < 50 && !HasFatalFailure(); ++i) {
    ASSERT_TRUE(files_->Sweep({}).ok());
    for (const bool synced : {false, true}) {
      MakeStore();
      store_->Assign(All(), All());
      Complete();
      if (synced) {
        ASSERT_TRUE(files_->Sync().ok());
      }
      disk_.PowerCut();
      fetched_.clear();
      MakeStore();
      store_->Assign(All(), All());
      Complete();
      EXPECT_EQ(served_->advertised(), All());
      ExpectBitsOfTheModel();
      if (synced) {
        EXPECT_TRUE(fetched_.empty());
      }
      n_lost += fetched_.size();
    }
  }
  EXPECT_GT(n_lost, 100U);
}

TEST_F(ExpertStoreTest, FilesThatAreNotAssignedStayWithinTheDisksCap) {
  PutAll();
  const uint64_t file = Shard(0, 0).file_bytes;
  options_.disk_bytes = 2 * file;
  MakeStore();
  store_->Assign(All(), All());
  Settle();
  for (const int expert : {3, 1, 2}) {  // Given up in this order.
    ExpertSet rest = All();
    for (const int gone : {3, 1, 2}) {
      rest.Erase(0, gone);
      if (gone == expert) break;
    }
    store_->Assign(rest, rest);
    clock_.Advance(absl::Seconds(1));
  }
  clock_.Advance(absl::Seconds(10));
  Settle();
  EXPECT_FALSE(files_->Has(Shard(0, 3)));
  EXPECT_TRUE(files_->Has(Shard(0, 1)));
  EXPECT_TRUE(files_->Has(Shard(0, 2)));
}

TEST_F(ExpertStoreTest, AFileLostWhileItsExpertServesIsFetchedAgain) {
  PutAll();
  store_->Assign(All(), All());
  Settle();
  ASSERT_TRUE(files_->Remove(Shard(1, 2).hash).ok());
  store_->OnFileLost(Shard(1, 2));
  EXPECT_EQ(served_->advertised(), All());
  EXPECT_EQ(Settle(), absl::InfiniteFuture());
  EXPECT_TRUE(files_->Has(Shard(1, 2)));
  EXPECT_EQ(store_->progress().n_loaded, 20U);  // Nothing was loaded twice.
}

TEST_F(ExpertStoreTest, CancelledWorkStopsBetweenExperts) {
  PutAll();
  std::atomic<bool> cancelled{true};
  store_->Assign(All(), All());
  store_->RunOnce(&cancelled);
  EXPECT_TRUE(served_->advertised().empty());
}

}  // namespace
}  // namespace shoal
