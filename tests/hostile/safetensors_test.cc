// Hugging Face folders that must be refused by the rules of FAILURE-MODEL 6.6, each by its own rule
// and message.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/open_model.h"
#include "model/import/safetensors_reader.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// One damage done to a sound file, and what the refusal must say.
struct FileCase {
  std::string name;
  std::function<void(SafetensorsBuilder&)> damage;
  std::string says;
};
void PrintTo(const FileCase& one, std::ostream* out) { *out << one.name; }

absl::StatusOr<std::unique_ptr<SafetensorsReader>> ParseText(const std::string& bytes) {
  return SafetensorsReader::Parse("bad.safetensors", std::as_bytes(std::span(bytes)));
}

class SafetensorsFileTest : public ::testing::TestWithParam<FileCase> {};

TEST_P(SafetensorsFileTest, I11_IsRefusedByItsRule) {
  SafetensorsBuilder file = TinyCheckpoint().weights;
  ASSERT_TRUE(ParseText(file.Build()).ok());
  GetParam().damage(file);
  const auto reader = ParseText(file.Build());
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(reader.status().message()), StartsWith("bad.safetensors: "));
  EXPECT_THAT(std::string(reader.status().message()), HasSubstr(GetParam().says));
}

std::string Entry(const std::string& name, const std::string& fields) {
  return absl::StrCat(", \"", name, "\": {", fields, "}");
}

const FileCase kFileCases[] = {
    {"HeaderOfOneByte", [](auto& f) { f.header_size = 1; },
     "at byte 0: the header's length is 1, not in [2, 100000000]"},
    {"HeaderOf1e18", [](auto& f) { f.header_size = 1'000'000'000'000'000'000; },
     "the header's length is 1000000000000000000, not in [2, 100000000]"},
    {"HeaderLongerThanTheFile", [](auto& f) { f.header_size = 99'999'999; },
     "the header needs 99999999 bytes"},
    {"HeaderIsNoObject", [](auto& f) { f.header = "[1, 2]"; },
     "at byte 8: the header begins with '[' and not '{'"},
    {"HeaderBeginsWithASpace", [](auto& f) { f.header = " {}"; }, "begins with ' ' and not '{'"},
    {"HeaderIsNoJson", [](auto& f) { f.header = "{\"a\": }"; },
     "the header is not JSON in UTF-8: error at its byte"},
    {"HeaderNotUtf8", [](auto& f) { f.header = "{\"\xE9\": {}}"; }, "is not JSON in UTF-8"},
    {"BytesAfterTheObject", [](auto& f) { f.header = "{}}"; }, "is not JSON in UTF-8"},
    {"DeepNesting", [](auto& f) { f.header = "{\"a\":{\"shape\":" + std::string(90, '['); },
     "tensor 'a': shape holds a list where the format has none"},
    {"NestedObject", [](auto& f) { f.extra = Entry("x", "\"dtype\": {\"a\": 1}"); },
     "tensor 'x': dtype holds an object where the format has none"},
    {"TensorIsANumber", [](auto& f) { f.extra = ", \"x\": 7"; },
     "tensor 'x': holds the number 7 where the format has none"},
    {"TensorIsNull", [](auto& f) { f.extra = ", \"x\": null"; }, "tensor 'x': holds null"},
    {"MetadataHoldsANumber", [](auto& f) { f.header = R"({"__metadata__": {"a": 1}})"; },
     "'__metadata__': holds the number 1 where the format has none"},
    {"MetadataTwice", [](auto& f) { f.extra = ", \"__metadata__\": {}"; },
     "'__metadata__': stands twice"},
    {"MetadataKeyTwice", [](auto& f) { f.header = R"({"__metadata__": {"a": "1", "a": "2"}})"; },
     "the key 'a' stands twice"},
    {"NameEmpty", [](auto& f) { f.tensors[0].name = ""; },
     "the name is 0 bytes long, not in [1, 512]"},
    {"NameOf513Bytes", [](auto& f) { f.tensors[0].name = std::string(513, 'n'); },
     "the name is 513 bytes long, not in [1, 512]"},
    {"NameWithNul", [](auto& f) { f.tensors[0].name = "a\\u0000b"; },
     "the name has a control character"},
    {"NameTwice", [](auto& f) { f.tensors[1].name = f.tensors[0].name; },
     "tensor 'model.embed_tokens.weight': stands twice"},
    {"UnknownField", [](auto& f) { f.tensors[0].fields = ", \"strides\": [1]"; },
     "the field 'strides' is unknown"},
    {"FieldTwice", [](auto& f) { f.tensors[0].fields = ", \"dtype\": \"F32\""; },
     "the field 'dtype' stands twice"},
    {"NoShape", [](auto& f) { f.extra = Entry("x", R"("dtype": "F32", "data_offsets": [0, 4])"); },
     "tensor 'x': the field 'shape' is missing"},
    {"UnknownType", [](auto& f) { f.tensors[0].dtype = "F4"; },
     "dtype 'F4' is unknown; known are BOOL, U8"},
    {"ZeroDimension",
     [](auto& f) {
       f.tensors[0].shape = {0, 8};
     },
     "dimension 0 is 0, not in [1, 1099511627776]"},
    {"HugeDimension", [](auto& f) { f.tensors[0].shape = {(uint64_t{1} << 40) + 1}; },
     "dimension 0 is 1099511627777, not in"},
    {"NegativeDimension", [](auto& f) { f.extra = Entry("x", R"("shape": [-1])"); },
     "shape holds the number -1"},
    {"FractionalDimension", [](auto& f) { f.extra = Entry("x", R"("shape": [1.5])"); },
     "shape holds a fraction"},
    {"NineDimensions", [](auto& f) { f.tensors[0].shape = std::vector<uint64_t>(9, 1); },
     "has more than 8 dimensions"},
    {"ProductOverflows",
     [](auto& f) {
       f.tensors[0].shape = {uint64_t{1} << 40, uint64_t{1} << 40};
     },
     "shape [1099511627776, 1099511627776] has more bytes than 64 bits count"},
    {"OffsetsTooShort", [](auto& f) { f.tensors[0].end = 500; },
     "data_offsets [0, 500] do not span the 512 bytes of F32 [16, 8]"},
    {"OffsetsBackwards", [](auto& f) { f.tensors[0].begin = 600, f.tensors[0].end = 88; },
     "data_offsets [600, 88] do not span"},
    {"OneOffset",
     [](auto& f) { f.extra = Entry("x", R"("dtype": "F32", "shape": [1], "data_offsets": [0])"); },
     "has 1 data_offsets, not two"},
    {"ThreeOffsets",
     [](auto& f) {
       f.extra = Entry("x", R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8])");
     },
     "has more than two data_offsets"},
    {"Overlap", [](auto& f) { f.tensors[1].begin = 480; },
     "tensor 'model.norm.weight': its data begin at byte 480, but those before it end at 512"},
    {"Hole", [](auto& f) { f.tensors[0].begin = 32; },
     "its data begin at byte 32, but those before it end at 0"},
    {"PastTheEnd",
     [](auto& f) {
       f.tensors.back().shape = {8, 9};
       f.tensors.back().end = 12 * 256 + 512 * 2 + 32 * 3 + 256 * 2 + 128 * 2 + 16 * 2 + 128 + 32;
     },
     "the file is cut short: fetch it again"},
    {"BytesAfterTheEnd", [](auto& f) { f.tail = "x"; }, "nothing accounts for the rest"},
};
INSTANTIATE_TEST_SUITE_P(File, SafetensorsFileTest, ::testing::ValuesIn(kFileCases),
                         [](const auto& info) { return info.param.name; });

TEST(SafetensorsTruncatedTest, I11_EveryPrefixIsRefused) {
  const std::string bytes = TinyCheckpoint().weights.Build();
  for (size_t n = 0; n < bytes.size(); ++n) ASSERT_FALSE(ParseText(bytes.substr(0, n)).ok()) << n;
}

TEST(SafetensorsLimitsTest, MoreTensorsThanTheLimitAreRefused) {
  std::string json = "{";
  for (size_t i = 0; i <= kMaxSafetensorsTensors; ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",", "\"", i,
                    R"(":{"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  }
  SafetensorsBuilder file;
  file.header = json + "}";
  file.tail = std::string(kMaxSafetensorsTensors + 1, 'x');
  EXPECT_THAT(std::string(ParseText(file.Build()).status().message()),
              HasSubstr("the file has more than 131072 tensors"));
}

// --- Folders.

struct FolderCase {
  std::string name;
  std::function<void(TinyCheckpoint&)> damage;
  std::string says;
};
void PrintTo(const FolderCase& one, std::ostream* out) { *out << one.name; }

class CheckpointFolderTest : public ::testing::TestWithParam<FolderCase> {
 protected:
  CheckpointFolderTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~CheckpointFolderTest() override { std::filesystem::remove_all(folder_); }
  std::string Refusal() const {
    const auto model = OpenModel(folder_);
    return model.ok() ? "opened" : std::string(model.status().message());
  }
  void WriteText(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }
  std::string folder_ = ::testing::TempDir() + "/checkpoint_XXXXXX";
};

TEST_P(CheckpointFolderTest, I11_IsRefusedByItsRule) {
  TinyCheckpoint checkpoint;
  checkpoint.Write(folder_);
  ASSERT_EQ(Refusal(), "opened");
  GetParam().damage(checkpoint);
  checkpoint.Write(folder_);
  EXPECT_THAT(Refusal(), StartsWith(folder_));
  EXPECT_THAT(Refusal(), HasSubstr(GetParam().says));
}

// A config.json with one value changed.
FolderCase Config(const std::string& name, const std::string& key, const std::string& value,
                  const std::string& says) {
  return {name, [=](TinyCheckpoint& c) { c.config[key] = value; }, says};
}

std::string Float(uint32_t bits) {
  return std::string(reinterpret_cast<const char*>(&bits), sizeof(bits));
}

const FolderCase kFolderCases[] = {
    Config("UnknownModelType", "model_type", "\"bert\"",
           "model_type 'bert' is not supported; use a model of one of these: "),
    Config("ModelTypeIsANumber", "model_type", "3", "key 'model_type' is 3, not a text"),
    Config("NoLayers", "num_hidden_layers", "0", "n_layers is 0, not in [1, 512]"),
    Config("TooManyLayers", "num_hidden_layers", "513", "n_layers is 513, not in [1, 512]"),
    Config("NegativeLayers", "num_hidden_layers", "-1",
           "key 'num_hidden_layers' is -1, not an integer from 0 up"),
    Config("HugeLayers", "num_hidden_layers", "99999999999", "above the limit of 2147483647"),
    Config("TooManyExperts", "num_experts", "1025", "n_experts is 1025, not in [0, 1024]"),
    Config("NoExperts", "num_experts", "0", "n_experts is 0, below 1"),
    Config("TopKAboveExperts", "num_experts_per_tok", "5", "top_k is 5, not in [1, 4]"),
    Config("HeadsDoNotDivide", "num_key_value_heads", "3", "n_kv_heads is 3, not in [1, 2]"),
    Config("ZeroTheta", "rope_theta", "0", "rope_theta is 0, not a finite number above 0"),
    Config("ZeroEps", "rms_norm_eps", "0.0", "rms_norm_eps is 0, not a finite number above 0"),
    Config("HugeContext", "max_position_embeddings", "16777217", "context_length is 16777217"),
    Config("OtherActivation", "hidden_act", "\"gelu\"",
           "key 'hidden_act' is 'gelu'; only 'silu' is computed here"),
    Config("AttentionBias", "attention_bias", "true", "key 'attention_bias' is true; only false"),
    Config("WindowSwitchIsANumber", "use_sliding_window", "1",
           "key 'use_sliding_window' is 1, not true"),
    Config("LayerTypesTooMany", "layer_types", R"(["full_attention", "full_attention"])",
           "key 'layer_types' is a list of 2 entries, not num_hidden_layers, 1"),
    Config(
        "WindowSwitchedOff", "layer_types", R"(["sliding_attention"])",
        "key 'layer_types.0' is 'sliding_attention', but no window is given or it is switched off"),
    Config("DenseLayersOfNoWidth", "mlp_only_layers", "[0]", "dense_ffn_dim is 0, not in [1, "),
    Config("DenseLayerIsAText", "mlp_only_layers", "[\"a\"]",
           "key 'mlp_only_layers.0' is 'a', not an integer from 0 up"),
    Config("SparseStepOfZero", "decoder_sparse_step", "0",
           "key 'decoder_sparse_step' is 0, below 1"),
    Config(
        "LayersThatDiffer", "num_experts_per_tok", "[2, 1]",
        "key 'num_experts_per_tok.1' is 1, but 'num_experts_per_tok.0' is 2; only layers that are"),
    Config(
        "UnknownKey", "use_moon_phase", "true",
        "key 'use_moon_phase' is true, which is not known for model_type qwen3_moe; take the key "
        "out if"),
    Config("KeyOfAnotherType", "embedding_multiplier", "2.0",
           "key 'embedding_multiplier' is 2, which is not known for model_type qwen3_moe"),
    Config("RopeScaling", "rope_scaling", R"({"rope_type": "moon", "factor": 4.0})",
           "key 'rope_scaling.rope_type' is 'moon'; computed are 'default', 'linear', "),
    Config("YarnBelowOne", "rope_scaling", R"({"rope_type": "yarn", "factor": 0.5})",
           "key 'rope_scaling.factor' is 0.5, below 1"),
    Config("OriginalContextOfZero", "rope_scaling",
           R"({"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 0})",
           "key 'rope_scaling.original_max_position_embeddings' is 0, not in [1, "),
    Config("RopeScalingOfOldSpelling", "rope_scaling", R"({"type": "old"})",
           "key 'rope_scaling.type' is 'old'"),
    Config("RopeWithoutFactor", "rope_scaling", R"({"type": "linear"})",
           "key 'rope_scaling.factor' is missing"),
    Config("RopeFactorBelowZero", "rope_scaling", R"({"type": "linear", "factor": -2.0})",
           "key 'rope_scaling.factor' is -2, not above 0"),
    Config("RopeBandsBackwards", "rope_scaling",
           R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 5, "high_freq_factor": 4})",
           "key 'rope_scaling.low_freq_factor' is 5, above high_freq_factor, 4"),
    Config("RopeMemberUnknown", "rope_scaling", R"({"type": "linear", "factor": 2, "moon": 1})",
           "key 'rope_scaling.moon' is 1, which is not known for the type 'linear'"),
    Config("RopeAlphaOfOthers", "rope_scaling", R"({"type": "dynamic", "alpha": 1000.0})",
           "key 'rope_scaling.alpha' is 1000, which model_type does not know"),
    Config("PartialRotary", "partial_rotary_factor", "0.5",
           "key 'partial_rotary_factor' is 0.5; only 1 is computed here"),
    Config("RopeParameters", "rope_parameters", R"({"rope_type": "moon", "rope_theta": 1e4})",
           "key 'rope_parameters.rope_type' is 'moon'"),
    Config(
        "RopeOfLayers", "rope_parameters",
        R"({"full_attention": {}, "sliding_attention": {"rope_theta": 1e4}})",
        "key 'rope_parameters.sliding_attention.rope_theta' is 10000, which is not computed here"),
    Config("RopeOfOtherLayers", "rope_parameters", R"({"full_attention": {}, "moon": {}})",
           "key 'rope_parameters.moon' is an object, which is not known beside 'full_attention'"),
    Config("LayerTypes", "layer_types", R"(["linear_attention"])",
           "key 'layer_types.0' is 'linear_attention', which is not computed"),
    Config(
        "Quantization", "quantization_config", R"({"quant_method": "gptq"})",
        "key 'quantization_config.quant_method' is 'gptq'; only 'fp8' and 'mxfp4' are read here"),
    Config("ScaleBlocks", "quantization_config",
           R"({"quant_method": "fp8", "weight_block_size": [64, 128]})",
           "key 'quantization_config.weight_block_size.0' is 64; only 128"),
    Config("KeyTwice", "hidden_act\": \"silu\", \"hidden_act", "\"silu\"",
           "the key 'hidden_act' stands twice"),
    Config("DeepConfig", "x", std::string(9, '[') + std::string(9, ']'),
           "nests deeper than 8 levels"),
    Config("ConfigIsNoJson", "x", "nan", "is not JSON in UTF-8: error at byte"),
    Config("LargeConfig", "x", "\"" + std::string(1 << 20, 'x') + "\"",
           "above the limit of 1048576"),
    {"ManyValues",
     [](auto& c) {
       std::string list = "[0";
       for (int i = 0; i < 16384; ++i) list += ",0";
       c.config["x"] = list + "]";
     },
     "has more than 16384 values"},
    {"MissingKey", [](auto& c) { c.config.erase("hidden_size"); }, "key 'hidden_size' is missing"},
    {"MissingTensor",
     [](auto& c) { c.weights.Remove("model.layers.0.mlp.experts.2.up_proj.weight"); },
     "tensor 'model.layers.0.mlp.experts.2.up_proj.weight' is missing"},
    {"NoHeadAndNotTied", [](auto& c) { c.weights.Remove("lm_head.weight"); },
     "tensor 'lm_head.weight' is missing"},
    {"TensorTooMany", [](auto& c) { c.weights.AddF32("model.layers.1.x", {4}); },
     "tensor 'model.layers.1.x' is no part of model_type qwen3_moe with 1 layers and 4 experts"},
    {"OtherShape",
     [](auto& c) {
       c.weights.Find("model.layers.0.self_attn.k_proj.weight").shape = {8, 4};
     },
     "tensor 'model.layers.0.self_attn.k_proj.weight' has shape [8, 4], not [4, 8]"},
    {"TypeNotRead", [](auto& c) { c.weights.Find("lm_head.weight").dtype = "I32"; },
     "tensor 'lm_head.weight' has type I32, which is not read"},
    {"ExpertsOfTwoTypes",
     [](auto& c) {
       auto& tensor = c.weights.Find("model.layers.0.mlp.experts.1.up_proj.weight");
       tensor.dtype = "BF16";
       tensor.data.resize(128);
     },
     "has type BF16, but 'model.layers.0.mlp.experts.0.up_proj.weight' has F32"},
    {"NormIsNan",
     [](auto& c) { c.weights.Find("model.norm.weight").data.replace(4, 4, Float(0x7FC00000)); },
     "element 1 is nan, not a finite number"},
    {"RouterIsInfinite",
     [](auto& c) {
       c.weights.Find("model.layers.0.mlp.gate.weight").data.replace(8, 4, Float(0x7F800000));
     },
     "element 2 is inf, not a finite number"},
    {"Fp8WithoutScales",
     [](auto& c) {
       auto& tensor = c.weights.Find("lm_head.weight");
       tensor.dtype = "F8_E4M3";
       tensor.data.resize(128);
     },
     "tensor 'lm_head.weight_scale_inv' is missing"},
    {"ScalesOfOtherShape",
     [](auto& c) {
       auto& tensor = c.weights.Find("lm_head.weight");
       tensor.dtype = "F8_E4M3";
       tensor.data.resize(128);
       c.weights.AddF32("lm_head.weight_scale_inv", {2, 1});
     },
     "tensor 'lm_head.weight_scale_inv' is F32 [2, 1], not F32 [1, 1]"},
    {"ScaleIsNan",
     [](auto& c) {
       auto& tensor = c.weights.Find("lm_head.weight");
       tensor.dtype = "F8_E4M3";
       tensor.data.resize(128);
       c.weights.AddF32("lm_head.weight_scale_inv", {1, 1});
       c.weights.Find("lm_head.weight_scale_inv").data = Float(0x7FC00000);
     },
     "tensor 'lm_head.weight_scale_inv' has element 0 nan, not a finite number"},
};
INSTANTIATE_TEST_SUITE_P(Folder, CheckpointFolderTest, ::testing::ValuesIn(kFolderCases),
                         [](const auto& info) { return info.param.name; });

class CheckpointIndexTest : public CheckpointFolderTest {
 protected:
  // Everything in one file that an index names.
  CheckpointIndexTest() {
    checkpoint_.Write(folder_);
    std::filesystem::rename(folder_ + "/model.safetensors", folder_ + "/model-1.safetensors");
  }
  void WriteIndex(const std::string& tensor, const std::string& file) const {
    WriteText("model.safetensors.index.json",
              absl::StrCat(R"({"metadata": {"total_size": 1}, "weight_map": {")", tensor, "\": \"",
                           file, "\"}}"));
  }
  TinyCheckpoint checkpoint_;
};

TEST_F(CheckpointIndexTest, NeitherFileNorIndex) {
  EXPECT_THAT(Refusal(),
              HasSubstr("has neither model.safetensors nor model.safetensors.index.json"));
}

TEST_F(CheckpointIndexTest, I11_NamesNothingOutsideTheFolder) {
  WriteIndex("lm_head.weight", "model-1.safetensors");
  ASSERT_EQ(Refusal(), "opened");
  for (const char* file : {"../model-1.safetensors", "/etc/passwd", ".hidden", "", "a b"}) {
    WriteIndex("lm_head.weight", file);
    EXPECT_THAT(Refusal(), HasSubstr("which is no plain file name"));
  }
  WriteIndex("lm_head.weight", std::string(256, 'a'));
  EXPECT_THAT(Refusal(), HasSubstr("which is no plain file name"));
}

TEST_F(CheckpointIndexTest, AgreesWithItsFiles) {
  WriteIndex("lm_head.weight", "model-2.safetensors");
  EXPECT_THAT(Refusal(), HasSubstr("model-2.safetensors: cannot be opened"));
  WriteIndex("other.weight", "model-1.safetensors");
  EXPECT_THAT(Refusal(), HasSubstr("tensor 'other.weight' is not in file 'model-1.safetensors'"));
  WriteText("model.safetensors.index.json", R"({"weight_map": {}})");
  EXPECT_THAT(Refusal(), HasSubstr("names 0 files, not 1 to 1024"));
  WriteText("model.safetensors.index.json", R"({"weight_map": {"a": 1}})");
  EXPECT_THAT(Refusal(), HasSubstr("key 'weight_map.a' is 1, not a text"));
}

TEST_F(CheckpointIndexTest, TwoFilesWithOneTensor) {
  WriteText("model-2.safetensors", checkpoint_.weights.Build());
  WriteText("model.safetensors.index.json",
            R"({"weight_map": {"lm_head.weight": "model-1.safetensors",
                "model.norm.weight": "model-2.safetensors"}})");
  EXPECT_THAT(Refusal(), HasSubstr("is also in"));
}

}  // namespace
}  // namespace shoal
