#include "model/import/gguf_model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/open_model.h"
#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::unique_ptr<GgufReader> MustOpen(const std::string& path) {
  auto reader = GgufReader::Open(path);
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return reader.ok() ? *std::move(reader) : nullptr;
}

TEST(GgufModelTest, ReadsTheNumbersOfAQwen3MoeFile) {
  const auto file = MustOpen("tests/data/models/qwen3_moe/model.gguf");
  const auto config = ReadModelConfig(*file);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->architecture, "qwen3moe");
  EXPECT_EQ(config->name, "tiny-qwen3_moe");
  EXPECT_EQ(config->n_layers, 3);
  EXPECT_EQ(config->hidden_dim, 64);
  EXPECT_EQ(config->n_heads, 4);
  EXPECT_EQ(config->n_kv_heads, 2);
  EXPECT_EQ(config->head_dim, 32);
  EXPECT_EQ(config->n_experts, 8);
  EXPECT_EQ(config->top_k, 2);
  EXPECT_EQ(config->ffn_dim, 32);
  EXPECT_EQ(config->vocab_size, 320);
  EXPECT_EQ(config->context_length, 1024);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_EQ(config->rms_norm_eps, 1e-6F);
  EXPECT_EQ(config->rope_pairing, RopePairing::kHalf);
  EXPECT_EQ(config->qk_norm, QkNorm::kHead);
  EXPECT_TRUE(config->norm_topk_prob);
  EXPECT_FALSE(config->tied_embeddings);
}

TEST(GgufModelTest, ReadsEveryQuantizedFileOfTheTestData) {
  for (const char* type : {"Q8_0", "Q4_0", "Q4_K_M", "IQ4_XS", "TQ2_0"}) {
    const auto file = MustOpen(std::string("tests/data/quants/model-") + type + ".gguf");
    const auto config = ReadModelConfig(*file);
    ASSERT_TRUE(config.ok()) << config.status().message();
    EXPECT_EQ(config->hidden_dim, 256);
    EXPECT_EQ(config->n_experts, 3);
    EXPECT_THAT(ReadVocabulary(*file)->tokens, SizeIs(320));
  }
}

TEST(GgufModelTest, ReadsTheBundledModelWithTiedEmbeddingsAndATemplate) {
  const auto file = MustOpen("models/tales-moe-11m-q8_0.gguf");
  const auto config = ReadModelConfig(*file);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_TRUE(config->tied_embeddings);
  EXPECT_EQ(config->n_layers, 6);
  EXPECT_EQ(config->vocab_size, 1158);
  EXPECT_EQ(ModelName(*file), "tales-moe");
  EXPECT_NE(ReadChatTemplate(*file)->find("<|im_start|>"), std::string::npos);
  const auto vocabulary = ReadVocabulary(*file);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status().message();
  EXPECT_EQ(vocabulary->model, "gpt2");
  EXPECT_EQ(vocabulary->pre, "qwen2");
  EXPECT_THAT(vocabulary->merges, SizeIs(899));
  EXPECT_EQ(vocabulary->tokens[2], "<|im_end|>");
  EXPECT_EQ(vocabulary->types[2], TokenType::kControl);
  EXPECT_EQ(vocabulary->eos_id, 2);
  EXPECT_EQ(vocabulary->pad_id, 0);
  EXPECT_EQ(vocabulary->bos_id, -1);
  EXPECT_FALSE(vocabulary->add_bos);
}

std::string ErrorOf(const GgufBuilder& builder) {
  const std::string bytes = builder.Build();
  const auto file = GgufReader::Parse("m.gguf", std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(file.ok()) << file.status().message();
  return std::string(ReadModelConfig(**file).status().message());
}

// Goal: arithmetic that a file asks for and that we do not do is refused by its key.
TEST(GgufModelTest, RefusesWhatWouldBeComputedWrongly) {
  for (const char* key :
       {"expert_shared_count", "leading_dense_block_count", "interleave_moe_layer_step",
        "attention.sliding_window", "expert_gating_func"}) {
    GgufBuilder builder = TinyQwen3Moe();
    builder.AddUint32(std::string("qwen3moe.") + key, 3);
    EXPECT_THAT(ErrorOf(builder), HasSubstr(std::string("'qwen3moe.") + key + "' is 3")) << key;
  }
  for (const char* key :
       {"rope.scale_linear", "attn_logit_softcapping", "final_logit_softcapping"}) {
    GgufBuilder builder = TinyQwen3Moe();
    builder.AddFloat32(std::string("qwen3moe.") + key, 2.5F);
    EXPECT_THAT(ErrorOf(builder), HasSubstr(std::string("'qwen3moe.") + key + "' is 2.5")) << key;
  }
}

// Goal: a Granite without rope is computed without it; in other families the key means nothing.
TEST(GgufModelTest, ReadsThatGraniteHasNoRope) {
  const auto rope = [](const std::string& architecture, bool on) {
    GgufBuilder builder = TinyQwen3Moe();
    builder.Key("general.architecture").value = GgufText(architecture);
    for (GgufKey& key : builder.keys) {
      if (key.name.starts_with("qwen3moe.")) key.name.replace(0, 8, architecture);
    }
    builder.AddBool(architecture + ".rope.scaling.finetuned", on);
    if (architecture != "qwen3moe") {
      builder.RemoveTensor("blk.0.attn_q_norm.weight");
      builder.RemoveTensor("blk.0.attn_k_norm.weight");
    }
    const std::string bytes = builder.Build();
    const auto file = GgufReader::Parse("m.gguf", std::as_bytes(std::span(bytes)));
    const auto config = ReadModelConfig(**file);
    EXPECT_TRUE(config.ok()) << config.status().message();
    return config.ok() ? config->Layer(0).rope : LayerRope::kLocal;
  };
  EXPECT_EQ(rope("granitemoe", true), LayerRope::kModel);
  EXPECT_EQ(rope("granitemoe", false), LayerRope::kNone);
  EXPECT_EQ(rope("qwen3moe", false), LayerRope::kModel);
}

TEST(GgufModelTest, ReadsSharedExpertsAndRopeDivisors) {
  const auto qwen2 = ReadModelConfig(*MustOpen("tests/data/models/qwen2_moe/model.gguf"));
  ASSERT_TRUE(qwen2.ok()) << qwen2.status().message();
  EXPECT_EQ(qwen2->shared_ffn_dim, 80);
  EXPECT_TRUE(qwen2->shared_gate);
  EXPECT_FALSE(qwen2->norm_topk_prob);
  const auto llama = ReadModelConfig(*MustOpen("tests/data/models/llama32/model.gguf"));
  ASSERT_TRUE(llama.ok()) << llama.status().message();
  EXPECT_EQ(llama->n_experts, 0);
  EXPECT_EQ(llama->dense_ffn_dim, 128);
  EXPECT_THAT(llama->rope_divisors, SizeIs(16));
}

ModelConfig ConfigOf(const std::string& model) {
  const auto config = ReadModelConfig(*MustOpen("tests/data/models/" + model + "/model.gguf"));
  EXPECT_TRUE(config.ok()) << config.status().message();
  return config.value_or(ModelConfig());
}

TEST(GgufModelTest, ReadsWindowsAndTheirAngles) {
  const ModelConfig gemma = ConfigOf("gemma3");
  ASSERT_THAT(gemma.layers, SizeIs(6));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(gemma.Layer(i).window, i == 5 ? 0 : 16);
    EXPECT_EQ(gemma.Layer(i).rope, i == 5 ? LayerRope::kModel : LayerRope::kLocal);
  }
  EXPECT_EQ(gemma.rope_theta, 1e6);
  EXPECT_EQ(gemma.local_rope_theta, 1e4);
  EXPECT_EQ(gemma.embedding_scale, 8);
  const ModelConfig gpt = ConfigOf("gpt_oss");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(gpt.Layer(i).window, i % 2 == 0 ? 16 : 0);
  EXPECT_EQ(ConfigOf("phi3_window").Layer(1).window, 16);
  EXPECT_THAT(ConfigOf("phi3").layers, SizeIs(0)) << "its window covers its context";
}

TEST(GgufModelTest, ReadsRopeForLongSequences) {
  const ModelConfig phi = ConfigOf("phi3");
  EXPECT_EQ(phi.rope_dim, 24);
  EXPECT_THAT(phi.rope_divisors, SizeIs(12));
  EXPECT_THAT(phi.long_rope_divisors, SizeIs(12));
  EXPECT_EQ(phi.rope_original_context, 256);
  EXPECT_NEAR(phi.rope_magnitude, 1.118034, 1e-6);
  const ModelConfig gpt = ConfigOf("gpt_oss");
  EXPECT_THAT(gpt.rope_divisors, SizeIs(16));
  EXPECT_EQ(gpt.rope_divisors.front(), 1);
  EXPECT_EQ(gpt.rope_divisors.back(), 8);
  EXPECT_NEAR(gpt.rope_magnitude, 0.1 * std::log(8) + 1, 1e-6);
}

TEST(GgufModelTest, FactorsOfRopeDivideEveryPair) {
  GgufBuilder builder = TinyQwen3Moe();
  builder.AddString("qwen3moe.rope.scaling.type", "linear");
  builder.AddFloat32("qwen3moe.rope.scaling.factor", 8);
  const std::string bytes = builder.Build();
  const auto file = GgufReader::Parse("m.gguf", std::as_bytes(std::span(bytes)));
  const auto config = ReadModelConfig(**file);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_THAT(config->rope_divisors, ::testing::ElementsAre(8, 8));
}

TEST(GgufModelTest, FusedTensorsAppearAsTheirParts) {
  const auto model = OpenModel("tests/data/models/phi3/model.gguf");
  ASSERT_TRUE(model.ok()) << model.status().message();
  const ModelFile& file = *model->file;
  EXPECT_EQ(file.Find("blk.1.attn_qkv.weight"), nullptr);
  const auto whole = MustOpen("tests/data/models/phi3/model.gguf");
  std::string expected;
  std::string parts;
  const auto append = [](const ModelFile& from, const char* name, std::string* bytes) {
    const TensorInfo* tensor = from.Find(name);
    ASSERT_NE(tensor, nullptr) << name;
    std::string read(tensor->n_bytes, '\0');
    ASSERT_TRUE(from.Read(*tensor, 0, std::as_writable_bytes(std::span(read))).ok());
    *bytes += read;
  };
  append(*whole, "blk.1.attn_qkv.weight", &expected);
  append(*whole, "blk.1.ffn_up.weight", &expected);
  for (const char* name : {"blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight",
                           "blk.1.ffn_gate.weight", "blk.1.ffn_up.weight"}) {
    append(file, name, &parts);
  }
  EXPECT_EQ(parts, expected);
}

TEST(GgufModelTest, FusedExpertsAppearAsTheirParts) {
  const std::string gate = "blk.0.ffn_gate_exps.weight";
  const std::string up = "blk.0.ffn_up_exps.weight";
  GgufBuilder builder = TinyQwen3Moe();
  const std::string gates = builder.Tensor(gate).data;
  const std::string ups = builder.Tensor(up).data;
  GgufTensor fused = builder.Tensor(gate);
  fused.name = "blk.0.ffn_gate_up_exps.weight";
  fused.dims = {8, 16, 4};
  fused.data.clear();
  for (size_t e = 0; e < 4; ++e)
    fused.data += gates.substr(256 * e, 256) + ups.substr(256 * e, 256);
  builder.RemoveTensor(gate);
  builder.RemoveTensor(up);
  builder.tensors.push_back(fused);
  const std::string path = testing::TempDir() + "/fused_experts.gguf";
  std::ofstream(path, std::ios::binary) << builder.Build();
  const auto model = OpenModel(path);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->file->Find(fused.name), nullptr);
  for (const auto& [name, expected] : {std::pair{gate, gates}, std::pair{up, ups}}) {
    const TensorInfo* tensor = model->file->Find(name);
    ASSERT_NE(tensor, nullptr) << name;
    ASSERT_EQ(tensor->n_bytes, expected.size());
    for (const size_t piece : {100, 256, 4096}) {
      std::string read(expected.size(), '\0');
      for (size_t at = 0; at < read.size(); at += piece) {
        const size_t n = std::min(piece, read.size() - at);
        const auto bytes = std::as_writable_bytes(std::span(read)).subspan(at, n);
        ASSERT_TRUE(model->file->Read(*tensor, at, bytes).ok());
      }
      EXPECT_EQ(read, expected) << name << " by " << piece;
    }
  }
  std::remove(path.c_str());
  builder.Tensor(fused.name).dims = {8, 15, 4};
  builder.Tensor(fused.name).data.resize(4 * 15 * 8 * 4);
  EXPECT_THAT(ErrorOf(builder), HasSubstr("'blk.0.ffn_gate_up_exps.weight' has shape [4, 15, 8], "
                                          "not [4, 16, 8]"));
}

// Goal: what files say of routing and of dense layers is read, whatever the architecture.
TEST(GgufModelTest, ReadsRoutingAndDenseLayers) {
  const auto glm = ReadModelConfig(*MustOpen("tests/data/models/glm4_moe/model.gguf"));
  ASSERT_TRUE(glm.ok()) << glm.status().message();
  EXPECT_TRUE(glm->IsDense(0));
  EXPECT_FALSE(glm->IsDense(1));
  EXPECT_EQ(glm->dense_ffn_dim, 128);
  EXPECT_EQ(glm->gating, Gating::kSigmoid);
  EXPECT_TRUE(glm->choice_bias);
  EXPECT_EQ(glm->routed_scale, 1.7F);
  EXPECT_EQ(glm->rope_dim, 12);

  GgufBuilder builder = TinyQwen3Moe();
  builder.AddUint32("qwen3moe.expert_group_count", 3);
  EXPECT_THAT(ErrorOf(builder), HasSubstr("n_expert_groups is 3"));
}

// Goal: layers that predict tokens after the next one are left out.
TEST(GgufModelTest, LayersBehindTheModelsOwnAreSkipped) {
  GgufBuilder builder = TinyQwen3Moe();
  builder.RemoveKey("qwen3moe.block_count");
  builder.AddUint32("qwen3moe.block_count", 2);
  builder.AddUint32("qwen3moe.nextn_predict_layers", 1);
  builder.tensors.push_back(builder.tensors.back());
  builder.tensors.back().name = "blk.1.nextn.eh_proj.weight";
  const std::string bytes = builder.Build();
  const auto file = GgufReader::Parse("m.gguf", std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file.ok()) << file.status().message();
  const auto config = ReadModelConfig(**file);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->n_layers, 1);
}

TEST(GgufModelTest, AVocabularyNeedsNoTensorsAndNoTypes) {
  GgufBuilder builder = TinyQwen3Moe();
  builder.tensors.clear();
  builder.RemoveKey("tokenizer.ggml.token_type");
  builder.RemoveKey("tokenizer.chat_template");
  builder.RemoveKey("general.name");
  const std::string bytes = builder.Build();
  const auto file = GgufReader::Parse("/models/My Vocab.gguf", std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file.ok()) << file.status().message();
  const auto vocabulary = ReadVocabulary(**file);
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status().message();
  EXPECT_THAT(vocabulary->types, ::testing::Each(TokenType::kNormal));
  EXPECT_EQ(*ReadChatTemplate(**file), "");
  EXPECT_EQ(ModelName(**file), "my-vocab");
  EXPECT_FALSE(ReadModelConfig(**file).ok());
}

}  // namespace
}  // namespace shoal
