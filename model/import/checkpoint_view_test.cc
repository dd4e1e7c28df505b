// Tensors cut, turned and unpacked out of others, against the same arithmetic done by hand.
#include "model/import/checkpoint_view.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

// A qwen3moe model of one layer in which one tensor is stored otherwise than the others.
class CheckpointViewTest : public testing::Test {
 protected:
  CheckpointViewTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    names_.assign(type_.tensors.begin(), type_.tensors.end());
  }
  ~CheckpointViewTest() override { std::filesystem::remove_all(folder_); }

  // Puts `rows` in place of those of their role.
  void Store(const std::vector<CheckpointName>& rows) {
    std::erase_if(names_, [&](const CheckpointName& name) { return name.role == rows[0].role; });
    names_.insert(names_.end(), rows.begin(), rows.end());
  }

  absl::StatusOr<std::unique_ptr<CheckpointView>> Open() {
    checkpoint_.Write(folder_);
    auto values = JsonValues::Parse("config.json", checkpoint_.ConfigText(), kMaxConfigValues);
    auto config = ReadCheckpointConfig(*values);
    if (!config.ok()) return config.status();
    type_.tensors = names_;
    config->type = &type_;
    config->n_more_layers = n_more_layers_;
    auto files = Checkpoint::Open(folder_);
    if (!files.ok()) return files.status();
    return CheckpointView::Create(*std::move(files), *config, "");
  }

  // The tensor, read in several ways that must agree.
  static std::vector<float> Values(const CheckpointView& view, std::string_view name) {
    const TensorInfo* tensor = view.Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::vector<float> values(tensor->n_bytes / sizeof(float));
    const auto all = std::as_writable_bytes(std::span(values));
    EXPECT_TRUE(view.Read(*tensor, 0, all).ok());
    for (const size_t piece : {3, 16, 100}) {
      std::vector<std::byte> again(all.size());
      for (size_t at = 0; at < again.size(); at += piece) {
        const auto part = std::span(again).subspan(at, std::min(piece, again.size() - at));
        EXPECT_TRUE(view.Read(*tensor, at, part).ok());
      }
      EXPECT_EQ(std::memcmp(again.data(), all.data(), all.size()), 0) << name << " by " << piece;
    }
    return values;
  }

  // The F32 values stored under a name.
  std::vector<float> Stored(std::string_view name) {
    const std::string& data = checkpoint_.weights.Find(name).data;
    std::vector<float> values(data.size() / sizeof(float));
    std::memcpy(values.data(), data.data(), data.size());
    return values;
  }

  TinyCheckpoint checkpoint_;
  CheckpointType type_ = *FindCheckpoint("qwen3_moe").type;
  std::vector<CheckpointName> names_;
  int n_more_layers_ = 0;
  std::string folder_ = testing::TempDir() + "/view_XXXXXX";
};

constexpr char kFused[] = "fused.weight";
constexpr TensorRole kRole = TensorRole::kFfnUpExps;  // [4, 8, 8].

TEST_F(CheckpointViewTest, ASegmentOfEveryPeriod) {
  for (int e = 0; e < 4; ++e) {
    checkpoint_.weights.Remove("model.layers.0.mlp.experts." + std::to_string(e) +
                               ".up_proj.weight");
  }
  checkpoint_.weights.AddF32(kFused, {4, 16, 8});
  Store({{kRole, kFused, {Extent::kFfn, Extent::kFfn}, 1}});
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const auto stored = Stored(kFused);
  const auto values = Values(**view, "blk.0.ffn_up_exps.weight");
  for (int i = 0; i < 256; ++i) EXPECT_EQ(values[i], stored[i / 64 * 128 + 64 + i % 64]) << i;
}

TEST_F(CheckpointViewTest, SegmentsOneBehindTheOther) {
  checkpoint_.weights.Remove("model.layers.0.self_attn.q_proj.weight");
  checkpoint_.weights.AddF32(kFused, {12, 8});
  constexpr Segments kParts = {Extent::kHeadDim, Extent::kHeadDim, Extent::kHeadDim};
  Store({{TensorRole::kAttnQ, kFused, kParts, 2}, {TensorRole::kAttnQ, kFused, kParts, 0}});
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const auto stored = Stored(kFused);
  const auto values = Values(**view, "blk.0.attn_q.weight");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(values[i], stored[i < 32 ? 64 + i : i - 32]) << i;
}

TEST_F(CheckpointViewTest, TransposedMatricesAndEverySecondOfTheirColumns) {
  for (int e = 0; e < 4; ++e) {
    checkpoint_.weights.Remove("model.layers.0.mlp.experts." + std::to_string(e) +
                               ".up_proj.weight");
  }
  checkpoint_.weights.AddF32(kFused, {4, 8, 16});
  for (const bool alternating : {false, true}) {
    const Extent part = alternating ? Extent::kOne : Extent::kFfn;
    Store({{kRole, kFused, {part, part}, 1, StoredForm::kTransposed}});
    const auto view = Open();
    ASSERT_TRUE(view.ok()) << view.status();
    const auto stored = Stored(kFused);
    const auto values = Values(**view, "blk.0.ffn_up_exps.weight");
    for (int e = 0; e < 4; ++e) {
      for (int r = 0; r < 8; ++r) {
        for (int c = 0; c < 8; ++c) {
          const int column = alternating ? 2 * r + 1 : 8 + r;
          EXPECT_EQ(values[e * 64 + r * 8 + c], stored[e * 128 + c * 16 + column]) << r << " " << c;
        }
      }
    }
  }
}

// Two "heads" of 8 + 2 * 8 rows of 8: the first 8 are columns of what comes out.
TEST_F(CheckpointViewTest, RowsThatAreCutAndTransposed) {
  for (int e = 0; e < 4; ++e) {
    checkpoint_.weights.Remove("model.layers.0.mlp.experts." + std::to_string(e) +
                               ".up_proj.weight");
  }
  checkpoint_.weights.AddF32(kFused, {4 * 12, 8});
  Store({{kRole, kFused, {Extent::kHeadDim, Extent::kFfn}, 1, StoredForm::kTransposedRows}});
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const auto stored = Stored(kFused);
  const auto values = Values(**view, "blk.0.ffn_up_exps.weight");
  for (int e = 0; e < 4; ++e) {
    for (int r = 0; r < 8; ++r) {
      for (int c = 0; c < 8; ++c) {
        EXPECT_EQ(values[e * 64 + r * 8 + c], stored[(e * 12 + 4 + c) * 8 + r]);
      }
    }
  }
}

TEST_F(CheckpointViewTest, NormsLessOneAndNegatedLogarithms) {
  Store({{TensorRole::kAttnNorm,
          "model.layers.0.input_layernorm.weight",
          {},
          0,
          StoredForm::kRows,
          StoredAs::kLessOne}});
  Store({{TensorRole::kFfnNorm,
          "model.layers.0.post_attention_layernorm.weight",
          {},
          0,
          StoredForm::kRows,
          StoredAs::kLogOfNegated}});
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const auto one = Stored("model.layers.0.input_layernorm.weight");
  const auto logarithm = Stored("model.layers.0.post_attention_layernorm.weight");
  const auto norm = Values(**view, "blk.0.attn_norm.weight");
  const auto negated = Values(**view, "blk.0.ffn_norm.weight");
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(norm[i], one[i] + 1);
    EXPECT_FLOAT_EQ(negated[i], -std::exp(logarithm[i]));
  }
}

TEST_F(CheckpointViewTest, EverySecondElement) {
  checkpoint_.weights.Remove("model.layers.0.self_attn.q_norm.weight");
  checkpoint_.weights.AddF32(kFused, {8});
  Store({{TensorRole::kAttnQNorm, kFused, {Extent::kOne, Extent::kOne}, 1, StoredForm::kElements}});
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const auto stored = Stored(kFused);
  const auto values = Values(**view, "blk.0.attn_q_norm.weight");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(values[i], stored[2 * i + 1]);
}

// A model of hidden 32, whose experts' gates and ups are packed row by row in turns.
class PackedCheckpointTest : public CheckpointViewTest {
 protected:
  PackedCheckpointTest() {
    for (auto& tensor : checkpoint_.weights.tensors) {
      for (uint64_t& dim : tensor.shape) dim *= dim == 8 ? 4 : 1;
    }
    std::vector<SafetensorsBuilder::Tensor> tensors = std::move(checkpoint_.weights.tensors);
    checkpoint_.weights.tensors.clear();
    for (const auto& tensor : tensors) {
      if (tensor.name.find("up_proj") == std::string::npos) {
        checkpoint_.weights.AddF32(tensor.name, tensor.shape);
      }
    }
    checkpoint_.config["hidden_size"] = "32";
    checkpoint_.config["moe_intermediate_size"] = "32";
    checkpoint_.config["head_dim"] = "16";
    for (const char* name : {"q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight",
                             "q_norm.weight", "k_norm.weight"}) {
      checkpoint_.weights.Remove(std::string("model.layers.0.self_attn.") + name);
    }
    const std::string layer = "model.layers.0.self_attn.";
    checkpoint_.weights.AddF32(layer + "q_proj.weight", {32, 32});
    checkpoint_.weights.AddF32(layer + "k_proj.weight", {16, 32});
    checkpoint_.weights.AddF32(layer + "v_proj.weight", {16, 32});
    checkpoint_.weights.AddF32(layer + "o_proj.weight", {32, 32});
    checkpoint_.weights.AddF32(layer + "q_norm.weight", {16});
    checkpoint_.weights.AddF32(layer + "k_norm.weight", {16});
    AddBytes("fused_blocks", {4, 64, 1, 16});
    AddBytes("fused_scales", {4, 64, 1});
    Store({{kRole, "fused", {Extent::kOne, Extent::kOne}, 1, StoredForm::kTransposed}});
  }

  void AddBytes(const std::string& name, const std::vector<uint64_t>& shape) {
    SafetensorsBuilder::Tensor tensor;
    tensor.name = name;
    tensor.dtype = "U8";
    tensor.shape = shape;
    uint64_t n = 1;
    for (const uint64_t dim : shape) n *= dim;
    for (uint64_t i = 0; i < n; ++i) tensor.data += static_cast<char>(i * 37 % 251);
    checkpoint_.weights.tensors.push_back(std::move(tensor));
  }
};

TEST_F(PackedCheckpointTest, BlocksAreGgufs) {
  const auto view = Open();
  ASSERT_TRUE(view.ok()) << view.status();
  const TensorInfo* tensor = (*view)->Find("blk.0.ffn_up_exps.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, DType::kMXFP4);
  ASSERT_EQ(tensor->n_bytes, 4U * 32 * 17);
  std::string bytes(tensor->n_bytes, '\0');
  ASSERT_TRUE((*view)->Read(*tensor, 0, std::as_writable_bytes(std::span(bytes))).ok());
  const std::string& blocks = checkpoint_.weights.Find("fused_blocks").data;
  const std::string& scales = checkpoint_.weights.Find("fused_scales").data;
  for (int row = 0; row < 128; ++row) {
    const int stored = 2 * row + 1;
    EXPECT_EQ(bytes[row * 17], scales[stored]);
    for (int j = 0; j < 32; ++j) {
      const int wanted = blocks[stored * 16 + j / 2] >> (j % 2 * 4) & 15;
      EXPECT_EQ(bytes[row * 17 + 1 + j % 16] >> (j / 16 * 4) & 15, wanted) << row << " " << j;
    }
  }
}

TEST_F(PackedCheckpointTest, I11_WhatDoesNotFitIsRefused) {
  const auto refusal = [this](const std::function<void(SafetensorsBuilder&)>& damage) {
    const SafetensorsBuilder sound = checkpoint_.weights;
    damage(checkpoint_.weights);
    const auto view = Open();
    checkpoint_.weights = sound;
    return std::string(view.status().message());
  };
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_THAT(refusal([](auto& w) { w.Remove("fused_scales"); }),
              HasSubstr("tensor 'fused_scales' is missing; MXFP4 is read with one for each block"));
  EXPECT_THAT(refusal([](auto& w) {
                w.Find("fused_scales").shape = {4, 32, 1};
                w.Find("fused_scales").data.resize(128);
              }),
              HasSubstr("tensor 'fused_scales' has shape [4, 32, 1], not [4, 64, 1]"));
  EXPECT_THAT(refusal([](auto& w) {
                w.Find("fused_blocks").shape = {4, 64, 2, 8};
              }),
              HasSubstr("tensor 'fused_blocks' has shape [4, 64, 2, 8], not [4, 64, 1, 16]"));
  EXPECT_THAT(refusal([](auto& w) { w.Find("fused_blocks").dtype = "I8"; }),
              HasSubstr("tensor 'fused_blocks' has type I8, not U8 as MXFP4 is stored"));
}

TEST_F(CheckpointViewTest, LayersBehindTheLastAreLeftOutWhereTheConfigCountsThem) {
  checkpoint_.weights.AddF32("model.layers.1.eh_proj.weight", {4});
  EXPECT_THAT(std::string(Open().status().message()),
              HasSubstr("'model.layers.1.eh_proj.weight' is no part"));
  n_more_layers_ = 1;
  EXPECT_TRUE(Open().ok());
  checkpoint_.weights.AddF32("model.layers.2.eh_proj.weight", {4});
  EXPECT_THAT(std::string(Open().status().message()),
              HasSubstr("'model.layers.2.eh_proj.weight' is no part"));
}

}  // namespace
}  // namespace shoal
