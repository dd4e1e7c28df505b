// Hugging Face folders: what comes out of a view, through an import, and in the newer spelling.
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/importer.h"
#include "model/import/open_model.h"
#include "model/shard_weights.h"
#include "model/tokenizer_shard.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }

  OpenedModel Open() const {
    auto model = OpenModel(folder_ + "/model");
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }
  // Reads a tensor in pieces of `piece` bytes, which need not be whole rows.
  static std::string Bytes(const WeightSource& source, std::string_view name, size_t piece) {
    const TensorInfo* tensor = source.Find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::string bytes(tensor->n_bytes, '\0');
    const auto out = std::as_writable_bytes(std::span(bytes));
    for (size_t at = 0; at < out.size(); at += piece) {
      const auto part = out.subspan(at, std::min(piece, out.size() - at));
      const absl::Status status = source.Read(*tensor, at, part);
      EXPECT_TRUE(status.ok()) << status;
    }
    return bytes;
  }
  static std::vector<float> Floats(const std::string& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  void Write() const { checkpoint_.Write(folder_ + "/model"); }
  void WriteText(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/model/" + name, std::ios::binary) << text;
  }

  TinyCheckpoint checkpoint_;
  std::string folder_ = testing::TempDir() + "/checkpoint_XXXXXX";
};

constexpr char kUp[] = "model.layers.0.mlp.experts.@.up_proj.weight";
std::string Up(int expert) {
  std::string name = kUp;
  return name.replace(name.find('@'), 1, std::to_string(expert));
}

TEST_F(CheckpointTest, ExpertsAreStackedWhateverTheReadsAre) {
  Write();
  const OpenedModel model = Open();
  std::string expected;
  for (int e = 0; e < 4; ++e) expected += checkpoint_.weights.Find(Up(e)).data;
  for (const size_t piece : {3, 32, 256, 300, 4096}) {
    EXPECT_EQ(Bytes(*model.file, "blk.0.ffn_up_exps.weight", piece), expected) << piece;
  }
  EXPECT_EQ(model.config.n_experts, 4);
  EXPECT_TRUE(model.config.norm_topk_prob);
  EXPECT_EQ(model.config.qk_norm, QkNorm::kHead);
  EXPECT_EQ(model.name, "model");
}

TEST_F(CheckpointTest, NormsAreWidened) {
  auto& bf16 = checkpoint_.weights.Find("model.norm.weight");
  bf16.dtype = "BF16";
  bf16.data.resize(16);
  auto& f16 = checkpoint_.weights.Find("model.layers.0.self_attn.q_norm.weight");
  f16.dtype = "F16";
  f16.data = std::string("\x00\x3C\x01\x00\xFF\x7B\x00\x80", 8);  // 1, 2^-24, 65504, -0.
  bf16.data.replace(0, 4, std::string("\x80\x3F\x00\xC0", 4));    // 1, -2.
  Write();
  const OpenedModel model = Open();
  const auto norm = Floats(Bytes(*model.file, "output_norm.weight", 5));
  EXPECT_EQ(norm[0], 1.0F);
  EXPECT_EQ(norm[1], -2.0F);
  EXPECT_EQ(Floats(Bytes(*model.file, "blk.0.attn_q_norm.weight", 16)),
            (std::vector<float>{1.0F, 0x1p-24F, 65504.0F, -0.0F}));
}

// Goal: every code by two scales, one of which BF16 cannot hold.
// Method: a stack whose experts hold codes 0 to 63, 64 to 126, ... ; the codes of NaN left out.
TEST_F(CheckpointTest, Fp8BecomesBf16WhereThatIsExactAndF32Otherwise) {
  for (const float scale : {0x1.Ep-3F, 0.3F}) {
    for (int e = 0; e < 4; ++e) {
      auto& tensor = checkpoint_.weights.Find(Up(e));
      tensor.dtype = "F8_E4M3";
      tensor.data.clear();
      for (int i = 0; i < 64; ++i) {
        const int code = e * 64 + i;
        tensor.data += static_cast<char>((code & 0x7F) == 0x7F ? code - 1 : code);
      }
      const std::string name = Up(e) + "_scale_inv";
      checkpoint_.weights.Remove(name);
      checkpoint_.weights.AddF32(name, {1, 1});
      std::memcpy(checkpoint_.weights.Find(name).data.data(), &scale, sizeof(scale));
    }
    checkpoint_.config["quantization_config"] =
        R"({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]})";
    Write();
    const OpenedModel model = Open();
    const bool exact = scale != 0.3F;
    EXPECT_EQ(model.file->Find("blk.0.ffn_up_exps.weight")->dtype,
              exact ? DType::kBF16 : DType::kF32);
    const std::string bytes = Bytes(*model.file, "blk.0.ffn_up_exps.weight", 7);
    for (int code = 0; code < 256; ++code) {
      const int given = (code & 0x7F) == 0x7F ? code - 1 : code;
      const int exponent = given >> 3 & 15;
      const int mantissa = given & 7;
      float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
      if (given >= 128) value = -value;
      float got = 0;
      if (exact) {
        uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + 2 * code, 2);
        got = std::bit_cast<float>(uint32_t{bits} << 16);
      } else {
        std::memcpy(&got, bytes.data() + 4 * code, 4);
      }
      EXPECT_EQ(got, value * scale) << code;
    }
  }
}

TEST_F(CheckpointTest, Fp8NanIsFoundWhenItIsRead) {
  auto& tensor = checkpoint_.weights.Find("lm_head.weight");
  tensor.dtype = "F8_E4M3";
  tensor.data = std::string(128, '\0');
  tensor.data[77] = '\x7F';
  checkpoint_.weights.AddF32("lm_head.weight_scale_inv", {1, 1});
  Write();
  const OpenedModel model = Open();
  const TensorInfo* head = model.file->Find("output.weight");
  std::vector<std::byte> bytes(head->n_bytes);
  EXPECT_THAT(std::string(model.file->Read(*head, 0, bytes).message()),
              HasSubstr("tensor 'lm_head.weight': element 77 is not a finite number"));
}

TEST_F(CheckpointTest, BothSpellingsAndDefaultsAreTheSameModel) {
  Write();
  const ModelConfig older = Open().config;
  checkpoint_.config.erase("rope_theta");  // 10000 is the default.
  checkpoint_.config.erase("rms_norm_eps");
  checkpoint_.config.erase("head_dim");  // hidden_size / num_attention_heads.
  checkpoint_.config["sliding_window"] = "null";
  Write();
  const ModelConfig absent = Open().config;
  checkpoint_.config["rope_theta"] = "5.0";  // The newer spelling counts.
  checkpoint_.config["rope_parameters"] = R"({"rope_type": "default", "rope_theta": 10000})";
  checkpoint_.config["dtype"] = "\"float32\"";
  Write();
  const ModelConfig newer = Open().config;
  for (const ModelConfig& config : {absent, newer}) {
    EXPECT_EQ(config.rope_theta, older.rope_theta);
    EXPECT_EQ(config.rms_norm_eps, older.rms_norm_eps);
    EXPECT_EQ(config.head_dim, older.head_dim);
  }
  EXPECT_EQ(older.rope_theta, 10000.0);
}

TEST_F(CheckpointTest, ATiedHeadIsLeftOut) {
  checkpoint_.config["tie_word_embeddings"] = "true";
  for (const bool stored : {true, false}) {
    if (!stored) checkpoint_.weights.Remove("lm_head.weight");
    Write();
    const OpenedModel model = Open();
    EXPECT_TRUE(model.config.tied_embeddings);
    EXPECT_EQ(model.file->Find("output.weight"), nullptr);
  }
}

TEST_F(CheckpointTest, ATokenizerThatIsNotReadIsNamed) {
  Write();
  EXPECT_TRUE(Open().tokenizer.ok());
  WriteText("tokenizer.model", "");
  EXPECT_THAT(std::string(Open().tokenizer.status().message()),
              HasSubstr("model/tokenizer.model: has 0 pieces"));
  WriteText("tokenizer.json", R"({"model": {"type": "WordPiece"}})");
  EXPECT_THAT(std::string(Open().tokenizer.status().message()),
              HasSubstr("model/tokenizer.json: a model of type 'WordPiece' is not known; convert"));
}

// Sixteen tokens at most: 'a', 'b', 'ab' and four special ones.
constexpr char kTokenizer[] = R"({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
  "added_tokens": [{"id": 3, "content": "<eos>", "special": true},
                   {"id": 4, "content": "<|im_end|>", "special": true},
                   {"id": 5, "content": "<user>", "special": true},
                   {"id": 6, "content": "<call>", "special": true}]})";

TEST_F(CheckpointTest, ATokenizerIsReadFromItsParts) {
  Write();
  WriteText("tokenizer.json", kTokenizer);
  WriteText("tokenizer_config.json", R"({"eos_token": "<eos>", "chat_template": "one"})");
  TokenizerShard tokenizer = Open().tokenizer.value();
  EXPECT_EQ(tokenizer.vocabulary.tokens.size(), 16U);  // vocab_size.
  EXPECT_EQ(tokenizer.vocabulary.tokens[2], "ab");
  EXPECT_EQ(tokenizer.vocabulary.eos_id, 3);
  EXPECT_EQ(tokenizer.vocabulary.eot_id, -1);
  EXPECT_EQ(tokenizer.chat_template, "one");
  WriteText("chat_template.jinja", "two");
  EXPECT_EQ(Open().tokenizer->chat_template, "two");
  WriteText("chat_template.jinja", std::string(65537, 'x'));
  EXPECT_THAT(std::string(Open().tokenizer.status().message()), HasSubstr("chat_template.jinja"));
}

TEST_F(CheckpointTest, IdsThatEndAnAnswerComeFromTheConfigs) {
  checkpoint_.config["eos_token_id"] = "5";
  Write();
  WriteText("tokenizer.json", kTokenizer);
  EXPECT_EQ(Open().tokenizer->vocabulary.eos_id, 5);  // Where no other file says.
  WriteText("generation_config.json", R"({"eos_token_id": [3, 4, 5]})");
  EXPECT_EQ(Open().tokenizer->vocabulary.eos_id, 3);
  EXPECT_EQ(Open().tokenizer->vocabulary.eot_id, 5);  // 4 is known by its text.
  WriteText("tokenizer_config.json", R"({"eos_token": "<user>"})");
  EXPECT_EQ(Open().tokenizer->vocabulary.eos_id, 5);
  EXPECT_EQ(Open().tokenizer->vocabulary.eot_id, 3);
  for (const auto& [ids, says] : {std::pair{"[3, 5, 6]", "has 3 and 6 beside the eos token 5"},
                                  {"[3, 16]", "'eos_token_id.1' is 16, not below the 16 tokens"},
                                  {"-1", "'eos_token_id"}}) {
    WriteText("generation_config.json", absl::StrCat(R"({"eos_token_id": )", ids, "}"));
    EXPECT_THAT(std::string(Open().tokenizer.status().message()), HasSubstr(says));
  }
}

TEST_F(CheckpointTest, TheNameIsTheFoldersOrTheCaches) {
  const std::string cached = folder_ + "/models--Some-One--Tiny_MoE-1B/snapshots/0123abc";
  checkpoint_.Write(cached);
  EXPECT_EQ(OpenModel(cached)->name, "tiny_moe-1b");
  EXPECT_EQ(OpenModel(cached + "/")->name, "tiny_moe-1b");
}

// Goal: an import of two files gives what the view of one gives, and is found again.
TEST_F(CheckpointTest, AnImportHoldsTheSameTensors) {
  Write();
  const OpenedModel whole = Open();
  const std::string folder = folder_ + "/split";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/config.json") << checkpoint_.ConfigText();
  std::ofstream(folder + "/tokenizer.json") << kTokenizer;
  SafetensorsBuilder halves[2];
  std::string map;
  for (size_t i = 0; i < checkpoint_.weights.tensors.size(); ++i) {
    const auto& tensor = checkpoint_.weights.tensors[i];
    halves[i % 2].tensors.push_back(tensor);
    absl::StrAppend(&map, map.empty() ? "" : ", ", "\"", tensor.name, "\": \"part-", i % 2,
                    ".safetensors\"");
  }
  for (int i = 0; i < 2; ++i) {
    std::ofstream(absl::StrCat(folder, "/part-", i, ".safetensors"), std::ios::binary)
        << halves[i].Build();
  }
  std::ofstream(folder + "/model.safetensors.index.json") << "{\"weight_map\": {" << map << "}}";
  auto data =
      DataDirectory::Open(MachineFileSystem(), folder_ + "/data", DataDirectory::Access::kShared);
  ASSERT_TRUE(data.ok()) << data.status();
  const ImportOptions options{.path = folder, .n_threads = 2, .random = SystemRandom()};
  const auto result = ImportModel(data->get(), options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->model_name, "split");
  const auto model = (*data)->ReadModel(result->model_id);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto tokenizer = LoadTokenizerShard(&(*data)->shards(), model->manifest);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(tokenizer->vocabulary.tokens[2], "ab");
  const auto weights = ShardWeights::Create(&model->manifest, &(*data)->shards(), 2);
  ASSERT_TRUE(weights.ok()) << weights.status();
  for (const TensorInfo& tensor : whole.file->tensors()) {
    EXPECT_EQ(Bytes(**weights, tensor.name, 1 << 20), Bytes(*whole.file, tensor.name, 1 << 20));
  }
  EXPECT_TRUE(ImportModel(data->get(), options)->already_there);
  std::ofstream(folder + "/part-1.safetensors", std::ios::binary)
      << halves[1].Build() << std::flush;
  std::filesystem::last_write_time(
      folder + "/part-1.safetensors",
      std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_FALSE(ImportModel(data->get(), options)->already_there);
}

}  // namespace
}  // namespace shoal
