#include "worker/scrubber.h"

#include <memory>
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

class ScrubberTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto files = ShardStore::Open(&disk_, "/shards");
    ASSERT_TRUE(files.ok());
    files_ = *std::move(files);
    scrubber_ = std::make_unique<Scrubber>(
        Scrubber::Options{.files = files_.get(),
                          .clock = &clock_,
                          .on_corrupt = [this](const ShardInfo& s) { corrupt_.push_back(s.hash); }},
        manifest_);
  }
  void Put(size_t i) {
    ASSERT_TRUE(PutFile(files_.get(), manifest_->shards[i], cut_.files[i]).ok());
  }
  // Lets `time` pass, calling whenever the scrubber wants it.
  void Pass(absl::Duration time) {
    const absl::Time end = clock_.Now() + time;
    while (true) {
      const absl::Time next = scrubber_->RunOnce();
      ASSERT_GE(next, clock_.Now());
      if (next > end) break;
      clock_.Advance(next - clock_.Now());
    }
    clock_.Advance(end - clock_.Now());
  }

  const ModelConfig config_ = TinyExpertsConfig();
  const ExpertShardFiles cut_ = CutExperts(config_, *RandomExpertWeights(config_, DType::kQ8_0, 3));
  const std::shared_ptr<const Manifest> manifest_ = std::make_shared<Manifest>(cut_.manifest);
  MemoryFileSystem disk_;
  ManualClock clock_;
  std::unique_ptr<ShardStore> files_;
  std::unique_ptr<Scrubber> scrubber_;
  std::vector<Sha256Digest> corrupt_;
};

TEST_F(ScrubberTest, F11_EveryByteIsReadWithinADayAndNoneMuchSooner) {
  uint64_t n_bytes = 0;
  for (size_t i = 0; i < 20; ++i) {
    Put(i);
    n_bytes += manifest_->shards[i].file_bytes;
  }
  Pass(absl::Hours(24));
  EXPECT_GE(scrubber_->bytes_checked(), n_bytes);
  EXPECT_LE(scrubber_->bytes_checked(), n_bytes * 3 / 2);
  EXPECT_TRUE(corrupt_.empty());
}

TEST_F(ScrubberTest, F11_ARottenFileIsFoundDeletedAndReportedOnce) {
  for (size_t i = 0; i < 20; ++i) Put(i);
  disk_.FlipBit(JoinPath("/shards", ShardPath(manifest_->shards[13].hash)), 5000);
  Pass(absl::Hours(48));
  EXPECT_THAT(corrupt_, ::testing::ElementsAre(manifest_->shards[13].hash));
  EXPECT_FALSE(files_->Has(manifest_->shards[13]));
}

TEST_F(ScrubberTest, WhatArrivesLaterIsCheckedTooAndNothingIsFineAsWell) {
  Pass(absl::Hours(1));
  EXPECT_EQ(scrubber_->bytes_checked(), 0U);
  Put(3);
  Pass(absl::Hours(24));
  EXPECT_GE(scrubber_->bytes_checked(), manifest_->shards[3].file_bytes);
}

}  // namespace
}  // namespace shoal
