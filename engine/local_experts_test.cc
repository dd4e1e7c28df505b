#include "engine/local_experts.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/expert_shards.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

class LocalExpertsTest : public ::testing::Test {
 protected:
  LocalExpertsTest()
      : weights_(RandomExpertWeights(config_, DType::kQ8_0, 77)), rows_(config_, 9, 5) {}

  std::vector<float> Run(LocalExperts& experts, int layer) {
    Mat<float> out(9, config_.hidden_dim);
    const RowStatuses statuses =
        experts.Finish(experts.Start(layer, rows_.x.view(), rows_.routing, {}), out.view());
    EXPECT_TRUE(statuses.ok()) << statuses.row(0);
    return {out.data(), out.data() + 9 * config_.hidden_dim};
  }
  std::shared_ptr<const ExpertWeights> Read(int layer, int expert) {
    auto read = ReadExpert(config_, *weights_, layer, expert, SelectedKernels());
    EXPECT_TRUE(read.ok()) << read.status();
    return *std::move(read);
  }

  const ModelConfig config_ = TinyExpertsConfig();
  const std::unique_ptr<MemoryWeights> weights_;
  const RandomRows rows_;
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_F(LocalExpertsTest, ExpertsAddedOneByOneGiveTheBitsOfALoadedSlice) {
  LoadedExperts whole = LoadExperts(config_, *weights_, {}, {});
  LoadedExperts grown = LoadExperts(config_, *weights_, {.part = 0, .n_parts = 0}, {});
  EXPECT_EQ(grown.experts->resident_bytes(), 0U);
  for (int layer = 0; layer < config_.n_layers; ++layer) {
    for (int e = config_.n_experts - 1; e >= 0; --e) {
      EXPECT_FALSE(grown.experts->Resident(layer, e));
      grown.experts->Insert(layer, e, Read(layer, e));
      EXPECT_TRUE(grown.experts->Resident(layer, e));
    }
    EXPECT_TRUE(SameBits(Run(*whole.experts, layer), Run(*grown.experts, layer)));
  }
  EXPECT_EQ(grown.experts->resident_bytes(), whole.experts->resident_bytes());
}

TEST_F(LocalExpertsTest, WhatIsRemovedIsNotFoundAndItsMemoryIsGivenBack) {
  LoadedExperts loaded = LoadExperts(config_, *weights_, {}, {});
  const size_t before = loaded.experts->resident_bytes();
  std::weak_ptr<const ExpertWeights> gone;
  {
    auto replacement = Read(0, 4);
    gone = replacement;
    loaded.experts->Insert(0, 4, std::move(replacement));
  }
  EXPECT_EQ(loaded.experts->resident_bytes(), before);
  EXPECT_FALSE(gone.expired());
  loaded.experts->Remove(0, 4);
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(loaded.experts->resident_bytes(), before - Read(0, 4)->n_bytes());
  EXPECT_FALSE(loaded.experts->Resident(0, 4));
  EXPECT_TRUE(loaded.experts->Resident(1, 4));

  const ExpertAssignment assignment{.expert_ids = {3, 4}, .row_begin = {0, 1, 2}, .rows = {0, 0}};
  ExpertBuffers buffers;
  const ExpertInput input =
      buffers.Encode(SelectedKernels(), /*pool=*/nullptr, RowFormat::kQuantized, rows_.x.view());
  EXPECT_EQ(loaded.experts->Compute(0, input, assignment).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(loaded.experts->Compute(1, input, assignment).ok());
}

// Goal: nothing is taken from under a call, and no bit changes, whatever comes and goes meanwhile.
// Method: one thread removes and inserts experts for ever; another computes. A call either has the
// bits of the undisturbed one or finds an expert missing.
TEST_F(LocalExpertsTest, CallsKeepTheirBitsWhileExpertsComeAndGo) {
  LoadedExperts loaded = LoadExperts(config_, *weights_, {}, {});
  const std::vector<float> expected = Run(*loaded.experts, 0);
  std::atomic<bool> stop{false};
  std::atomic<int> n_rounds{0};
  std::thread mover([&] {
    while (!stop.load()) {
      for (int e = 0; e < config_.n_experts; ++e) {
        auto weights = Read(0, e);
        loaded.experts->Remove(0, e);
        loaded.experts->Insert(0, e, std::move(weights));
      }
      n_rounds.fetch_add(1);
    }
  });
  int n_equal = 0;
  while (n_rounds.load() < 20 || n_equal < 20) {
    Mat<float> out(9, config_.hidden_dim);
    const RowStatuses statuses = loaded.experts->Finish(
        loaded.experts->Start(0, rows_.x.view(), rows_.routing, {}), out.view());
    if (!statuses.ok()) {
      ASSERT_EQ(statuses.row(0).code(), absl::StatusCode::kNotFound);
      continue;
    }
    ASSERT_TRUE(SameBits({out.data(), out.data() + 9 * config_.hidden_dim}, expected));
    ++n_equal;
  }
  stop.store(true);
  mover.join();
}

TEST_F(LocalExpertsTest, S15_ACallIsGivenUpBetweenBlocks) {
  LoadedExperts loaded = LoadExperts(config_, *weights_, {}, {});
  const ExpertAssignment assignment{.expert_ids = {1, 2}, .row_begin = {0, 1, 2}, .rows = {0, 1}};
  ExpertBuffers buffers;
  const ExpertInput input =
      buffers.Encode(SelectedKernels(), /*pool=*/nullptr, RowFormat::kQuantized, rows_.x.view());
  int n_asked = 0;
  const auto output = loaded.experts->Compute(0, input, assignment, [&] { return ++n_asked > 2; });
  EXPECT_EQ(output.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(n_asked, 3);  // Never again after the answer.
  EXPECT_EQ(loaded.experts->rows_computed(), 0U);
  EXPECT_TRUE(loaded.experts->Compute(0, input, assignment, [] { return false; }).ok());
}

// A row that holds a NaN spoils itself and no other row.
TEST_F(LocalExpertsTest, OneRowThatIsNotFiniteLeavesTheOthersAlone) {
  LoadedExperts loaded = LoadExperts(config_, *weights_, {}, {});
  const std::vector<float> expected = Run(*loaded.experts, 0);
  Mat<float> x(9, config_.hidden_dim);
  std::memcpy(x.data(), rows_.x.data(), 9 * config_.hidden_dim * sizeof(float));
  x.data()[4 * config_.hidden_dim + 7] = NAN;
  Mat<float> out(9, config_.hidden_dim);
  EXPECT_TRUE(
      loaded.experts->Finish(loaded.experts->Start(0, x.view(), rows_.routing, {}), out.view())
          .ok());
  for (int t = 0; t < 9; ++t) {
    for (int i = 0; i < config_.hidden_dim; ++i) {
      const float value = out.data()[t * config_.hidden_dim + i];
      if (t == 4) {
        EXPECT_TRUE(std::isnan(value));
      } else {
        EXPECT_EQ(value, expected[t * config_.hidden_dim + i]);
      }
    }
  }
}

class PackExpertShardTest : public LocalExpertsTest {
 protected:
  // The shard of layer 1's expert 3, cut from the stacks.
  PackExpertShardTest() {
    uint64_t offset = 64;
    file_.resize(offset);
    for (const char* role : {"gate", "up", "down"}) {
      const std::string name = std::string("blk.1.ffn_") + role + "_exps.weight";
      const TensorInfo* stack = weights_->Find(name);
      EXPECT_NE(stack, nullptr) << name;
      const uint64_t n_bytes = stack->n_bytes / config_.n_experts;
      shard_.tensors.push_back({.name = name,
                                .dtype = stack->dtype,
                                .shape = {stack->shape[1], stack->shape[2]},
                                .offset = offset,
                                .n_bytes = n_bytes});
      file_.resize(offset + n_bytes);
      EXPECT_TRUE(weights_->Read(*stack, 3 * n_bytes, std::span(file_).subspan(offset)).ok());
      offset = (file_.size() + 63) / 64 * 64;
      file_.resize(offset);
    }
    shard_.layer = 1;
    shard_.expert = 3;
    shard_.file_bytes = file_.size();
  }
  absl::StatusCode Pack() { return PackFile().status().code(); }
  absl::StatusOr<std::shared_ptr<const ExpertWeights>> PackFile() {
    size_t at = 0;
    const auto read = [&](std::span<std::byte> piece) {
      if (piece.size() > file_.size() - at) return absl::OutOfRangeError("the file ends");
      std::copy_n(file_.begin() + static_cast<ptrdiff_t>(at), piece.size(), piece.begin());
      at += piece.size();
      return absl::OkStatus();
    };
    return PackExpertShard(config_, shard_, read, SelectedKernels());
  }
  ShardInfo shard_;
  std::vector<std::byte> file_;
};

TEST_F(PackExpertShardTest, IsTheExpertOfTheStacks) {
  const auto packed = PackFile();
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_EQ((*packed)->n_bytes(), PackedExpertBytes(shard_, SelectedKernels()));
  LoadedExperts whole = LoadExperts(config_, *weights_, {}, {});
  const std::vector<float> expected = Run(*whole.experts, 1);
  whole.experts->Remove(1, 3);
  whole.experts->Insert(1, 3, *packed);
  EXPECT_TRUE(SameBits(Run(*whole.experts, 1), expected));
}

// Goal: matrices that are read in several pieces are packed as wholes are: many rows, the last
// piece short; rows of which 16 are more than a piece; a gap in the file that is more than one.
TEST(PackLargeExpertTest, PiecesGiveTheBitsOfTheWhole) {
  for (const auto& [hidden_dim, ffn_dim] : {std::pair(1024, 992), std::pair(64, 16384)}) {
    ModelConfig config = TinyExpertsConfig();
    config.n_layers = 1;
    config.n_experts = 2;
    config.top_k = 1;
    config.hidden_dim = hidden_dim;
    config.ffn_dim = ffn_dim;
    const std::unique_ptr<MemoryWeights> weights = RandomExpertWeights(config, DType::kQ8_0, 8);
    const ExpertShardFiles cut = CutExperts(config, *weights);
    ShardInfo shard = cut.manifest.shards[1];
    constexpr uint64_t kGap = 300 << 10;
    std::string file = cut.files[1];
    const uint64_t at = shard.tensors[1].offset;
    file.insert(at, kGap, 'x');
    for (ShardTensor& tensor : shard.tensors) tensor.offset += tensor.offset >= at ? kGap : 0;
    shard.file_bytes = file.size();
    size_t n_read = 0;
    int n_pieces = 0;
    const auto read = [&](std::span<std::byte> piece) {
      std::memcpy(piece.data(), file.data() + n_read, piece.size());
      n_read += piece.size();
      ++n_pieces;
      return absl::OkStatus();
    };
    const auto packed = PackExpertShard(config, shard, read, SelectedKernels());
    ASSERT_TRUE(packed.ok()) << packed.status();
    EXPECT_GT(n_pieces, 6);
    const auto whole = ReadExpert(config, *weights, 0, 1, SelectedKernels());
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (const auto matrix :
         {&ExpertWeights::w_gate, &ExpertWeights::w_up, &ExpertWeights::w_down}) {
      const PackedMatrix& got = (**packed).*matrix;
      const PackedMatrix& expected = (**whole).*matrix;
      ASSERT_EQ(got.n_bytes(), expected.n_bytes());
      EXPECT_EQ(std::memcmp(got.view().data, expected.view().data, got.n_bytes()), 0);
    }
  }
}

TEST_F(PackExpertShardTest, RefusesWhatDoesNotFitTheModel) {
  EXPECT_EQ(Pack(), absl::StatusCode::kOk);
  shard_.tensors[1].shape[0] -= 32;
  EXPECT_EQ(Pack(), absl::StatusCode::kInvalidArgument);
  shard_.tensors[1].shape[0] += 32;
  shard_.tensors[2].offset = file_.size();
  EXPECT_EQ(Pack(), absl::StatusCode::kInvalidArgument);
  shard_.tensors[2].offset = ~uint64_t{0};
  EXPECT_EQ(Pack(), absl::StatusCode::kInvalidArgument);
  shard_.tensors[2].offset = shard_.tensors[1].offset;  // On top of another one.
  EXPECT_EQ(Pack(), absl::StatusCode::kInvalidArgument);
  shard_.tensors.pop_back();
  EXPECT_EQ(Pack(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace shoal
