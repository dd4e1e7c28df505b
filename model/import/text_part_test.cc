// The part of a model that reads text, found under the names of the whole.
#include "model/import/text_part.h"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/open_model.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

// A Mistral of one dense layer, and beside it, whole models that it is the text part of.
class TextPartTest : public testing::Test {
 protected:
  TextPartTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    std::erase_if(alone_.weights.tensors, [](const SafetensorsBuilder::Tensor& tensor) {
      return absl::StrContains(tensor.name, ".mlp.") || absl::StrContains(tensor.name, "_norm.");
    });
    for (const char* name : {"gate", "up", "down"}) {
      alone_.weights.AddF32(absl::StrCat("model.layers.0.mlp.", name, "_proj.weight"), {8, 8});
    }
    alone_.config = {{"model_type", "\"mistral\""},
                     {"num_hidden_layers", "1"},
                     {"hidden_size", "8"},
                     {"num_attention_heads", "2"},
                     {"num_key_value_heads", "1"},
                     {"head_dim", "4"},
                     {"intermediate_size", "8"},
                     {"vocab_size", "16"},
                     {"max_position_embeddings", "32"}};
  }
  ~TextPartTest() override { std::filesystem::remove_all(folder_); }

  // The whole, with its tensors named so.
  TinyCheckpoint Whole(const PartNames& names) const {
    TinyCheckpoint whole = alone_;
    for (auto& tensor : whole.weights.tensors) tensor.name = NameInWhole(tensor.name, names);
    whole.weights.AddF32("vision_tower.patch_conv.weight", {4, 3});
    whole.weights.AddF32("model.multi_modal_projector.linear_1.weight", {4, 3});
    whole.config = {{"model_type", "\"mistral3\""},
                    {"text_config", alone_.ConfigText()},
                    {"vision_config", R"({"hidden_size": 4})"},
                    {"eos_token_id", "2"},
                    {"image_token_index", "10"}};
    return whole;
  }

  absl::StatusOr<OpenedModel> Open(const TinyCheckpoint& checkpoint) {
    const std::string folder = absl::StrCat(folder_, "/", n_opened_++);
    checkpoint.Write(folder);
    return OpenModel(folder);
  }
  std::string ErrorOf(const TinyCheckpoint& checkpoint) {
    return std::string(Open(checkpoint).status().message());
  }

  TinyCheckpoint alone_;
  std::string folder_ = testing::TempDir() + "/part_XXXXXX";
  int n_opened_ = 0;
};

std::vector<std::byte> Bytes(const ModelFile& file, const TensorInfo& tensor) {
  std::vector<std::byte> bytes(tensor.n_bytes);
  EXPECT_TRUE(file.Read(tensor, 0, bytes).ok());
  return bytes;
}

TEST_F(TextPartTest, IsTheModelThatItIsAlone) {
  const auto alone = Open(alone_);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->note, "");
  for (const PartNames& names : KnownPartNames()) {
    const auto part = Open(Whole(names));
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(part->note, "2 tensors of parts that do not read text are left out");
    EXPECT_EQ(part->config.head_dim, 4);
    ASSERT_EQ(part->file->tensors().size(), alone->file->tensors().size());
    for (size_t i = 0; i < alone->file->tensors().size(); ++i) {
      const TensorInfo& expected = alone->file->tensors()[i];
      const TensorInfo& tensor = part->file->tensors()[i];
      EXPECT_EQ(tensor.name, expected.name);
      EXPECT_EQ(Bytes(*part->file, tensor), Bytes(*alone->file, expected)) << tensor.name;
    }
  }
}

TEST_F(TextPartTest, WhatTheWholeSaysCounts) {
  TinyCheckpoint whole = Whole(KnownPartNames().front());
  whole.config["tie_word_embeddings"] = "true";
  const auto part = Open(whole);
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_TRUE(part->config.tied_embeddings);
  whole.config["quantization_config"] = R"({"quant_method": "awq"})";
  EXPECT_THAT(ErrorOf(whole), HasSubstr("'quantization_config.quant_method' is 'awq'"));
}

TEST_F(TextPartTest, WhatIsNotKnownIsRefused) {
  TinyCheckpoint whole = Whole(KnownPartNames().front());
  whole.weights.AddF32("talker.weight", {4});
  EXPECT_THAT(ErrorOf(whole), HasSubstr("tensor 'talker.weight' is no part of model_type mistral"));
  whole = Whole(KnownPartNames().front());
  whole.weights.Remove("language_model.model.norm.weight");
  EXPECT_THAT(ErrorOf(whole), HasSubstr("tensor 'language_model.model.norm.weight' is missing"));
  whole.config["talks"] = "true";
  EXPECT_THAT(ErrorOf(whole), HasSubstr("key 'talks' is true, which is not known for model_type "
                                        "mistral3; take the key out if answers to text"));
  whole.config.erase("talks");
  alone_.config["swiglu_limit"] = "7";
  whole.config["text_config"] = alone_.ConfigText();
  EXPECT_THAT(ErrorOf(whole), HasSubstr("config.json, object 'text_config': key 'swiglu_limit'"));
  alone_.config["model_type"] = "\"llama\"";
  whole.config["text_config"] = alone_.ConfigText();
  EXPECT_THAT(ErrorOf(whole), HasSubstr("'text_config.model_type' is 'llama'; in model_type "
                                        "'mistral3' only 'mistral' is computed here"));
}

}  // namespace
}  // namespace shoal
