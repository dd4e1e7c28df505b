// Sound containers whose contents are not a model that can be computed, each refused by its own
// rule and message.
#include <cmath>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/hostile/gguf_cases.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kHalf = 1;  // GGML's F16.

void SetUint32(GgufBuilder& file, std::string_view key, uint32_t value) {
  file.Key(key).value = Le32(value);
}

void SetFloat32(GgufBuilder& file, std::string_view key, float value) {
  std::memcpy(file.Key(key).value.data(), &value, sizeof(value));
}

void SetFirstElement(GgufBuilder& file, std::string_view tensor, float value) {
  std::memcpy(file.Tensor(tensor).data.data() + 4, &value, sizeof(value));
}

class GgufConfigTest : public ::testing::TestWithParam<GgufCase> {};

TEST_P(GgufConfigTest, IsRefusedByItsRule) {
  GgufBuilder file = TinyQwen3Moe();
  GetParam().damage(file);
  const auto reader = ParseText(file.Build());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const auto config = ReadModelConfig(**reader);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(Message(config.status()), StartsWith("bad.gguf: "));
  EXPECT_THAT(Message(config.status()), HasSubstr(GetParam().says));
}

const GgufCase kKeyCases[] = {
    {"UnknownArchitecture",
     [](auto& f) { f.Key("general.architecture").value = GgufText("mamba9"); },
     "architecture 'mamba9' is not supported; use a model of one of these: deepseek2, "
     "ernie4_5-moe, "},
    {"NoArchitecture", [](auto& f) { f.RemoveKey("general.architecture"); },
     "key 'general.architecture' is missing"},
    {"NoLayers", [](auto& f) { f.RemoveKey("qwen3moe.block_count"); },
     "key 'qwen3moe.block_count' is missing; convert the model again"},
    {"LayersOfAnotherType",
     [](auto& f) {
       f.RemoveKey("qwen3moe.block_count");
       f.AddString("qwen3moe.block_count", "1");
     },
     "key 'qwen3moe.block_count' has type STRING, not an integer"},
    {"ZeroLayers", [](auto& f) { SetUint32(f, "qwen3moe.block_count", 0); },
     "n_layers is 0, not in [1, 512]"},
    {"TooManyLayers", [](auto& f) { SetUint32(f, "qwen3moe.block_count", 513); },
     "n_layers is 513, not in [1, 512]"},
    {"LayersAboveInt", [](auto& f) { SetUint32(f, "qwen3moe.block_count", 0x80000000U); },
     "key 'qwen3moe.block_count' is 2147483648, above the limit of 2147483647"},
    {"NegativeLayers",
     [](auto& f) {
       f.Key("qwen3moe.block_count").type = 5;
       SetUint32(f, "qwen3moe.block_count", 0xFFFFFFFFU);
     },
     "key 'qwen3moe.block_count' is -1, below 0"},
    {"TooManyExperts", [](auto& f) { SetUint32(f, "qwen3moe.expert_count", 1025); },
     "n_experts is 1025, not in [0, 1024]"},
    {"MoreUsedThanThereAre", [](auto& f) { SetUint32(f, "qwen3moe.expert_used_count", 5); },
     "top_k is 5, not in [1, 4]"},
    {"HeadsNotDividing",
     [](auto& f) {
       SetUint32(f, "qwen3moe.attention.head_count", 3);
       SetUint32(f, "qwen3moe.attention.head_count_kv", 2);
     },
     "n_kv_heads is 2, which does not divide n_heads 3"},
    {"NoContext", [](auto& f) { SetUint32(f, "qwen3moe.context_length", 0); },
     "context_length is 0, not in [1, 16777216]"},
    {"ThetaNotANumber", [](auto& f) { SetFloat32(f, "qwen3moe.rope.freq_base", NAN); },
     "key 'qwen3moe.rope.freq_base' is not a finite number"},
    {"ThetaZero", [](auto& f) { SetFloat32(f, "qwen3moe.rope.freq_base", 0); },
     "rope_theta is 0, not a finite number above 0"},
    {"EpsilonNegative",
     [](auto& f) { SetFloat32(f, "qwen3moe.attention.layer_norm_rms_epsilon", -1); },
     "rms_norm_eps is -1, not"},
    {"ValueLengthOther", [](auto& f) { SetUint32(f, "qwen3moe.attention.value_length", 2); },
     "key 'qwen3moe.attention.value_length' is 2; only 4 is computed here"},
    {"RotaryOfMoreThanAHead", [](auto& f) { f.AddUint32("qwen3moe.rope.dimension_count", 6); },
     "rope_dim is 6, not in [2, 4]"},
    {"RotaryWithoutEnd", [](auto& f) { f.AddUint32("qwen3moe.rope.dimension_count", 0x7FFFFFFE); },
     "rope_dim is 2147483646, not in [2, 4]"},
    {"RotaryOfHalfAPair", [](auto& f) { f.AddUint32("qwen3moe.rope.dimension_count", 3); },
     "rope_dim is 3, which is odd"},
    {"RopeScaling", [](auto& f) { f.AddString("qwen3moe.rope.scaling.type", "su"); },
     "key 'qwen3moe.rope.scaling.type' is 'su', which is not computed"},
    {"LongropeWithoutLists", [](auto& f) { f.AddString("qwen3moe.rope.scaling.type", "longrope"); },
     "key 'qwen3moe.rope.scaling.type' is 'longrope', which is not computed"},
    {"LinearRopeThatShrinks",
     [](auto& f) {
       f.AddString("qwen3moe.rope.scaling.type", "linear");
       f.AddFloat32("qwen3moe.rope.scaling.factor", 0.5F);
     },
     "key 'qwen3moe.rope.scaling.factor' is 0.5, not a number of 1 or more"},
    {"YarnWithoutContext",
     [](auto& f) {
       f.AddString("qwen3moe.rope.scaling.type", "yarn");
       f.AddUint32("qwen3moe.rope.scaling.original_context_length", 0);
     },
     "keys of rope do not fit YaRN: 0 original positions"},
    {"YarnOfAnotherBlend",
     [](auto& f) {
       f.AddString("qwen3moe.rope.scaling.type", "yarn");
       f.AddFloat32("qwen3moe.rope.scaling.yarn_ext_factor", 0.5F);
     },
     "key 'qwen3moe.rope.scaling.yarn_ext_factor' is 0.5; only 1 is computed here"},
    {"RopeMagnitudeZero", [](auto& f) { f.AddFloat32("qwen3moe.rope.scaling.attn_factor", 0); },
     "rope_magnitude is 0, not a finite number above 0"},
    {"SharedExperts", [](auto& f) { f.AddUint32("qwen3moe.expert_shared_count", 1); },
     "key 'qwen3moe.expert_shared_count' is 1; only 0 is computed here"},
    {"TokensUnlikeTheEmbedding",
     [](auto& f) {
       f.RemoveKey("tokenizer.ggml.tokens");
       f.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
     },
     "key 'tokenizer.ggml.tokens' has 2 elements, but tensor 'token_embd.weight' has 16 rows"},
};
INSTANTIATE_TEST_SUITE_P(Keys, GgufConfigTest, ::testing::ValuesIn(kKeyCases), CaseName);

const GgufCase kTensorCases[] = {
    {"NoEmbedding", [](auto& f) { f.RemoveTensor("token_embd.weight"); },
     "tensor 'token_embd.weight' is missing; architecture qwen3moe needs it"},
    {"NoRouter", [](auto& f) { f.RemoveTensor("blk.0.ffn_gate_inp.weight"); },
     "tensor 'blk.0.ffn_gate_inp.weight' is missing"},
    {"LastLayerMissing", [](auto& f) { SetUint32(f, "qwen3moe.block_count", 2); },
     "tensor 'blk.1.attn_norm.weight' is missing"},
    {"WrongShape",
     [](auto& f) {
       f.Tensor("blk.0.attn_k.weight").dims = {4, 8};
     },
     "tensor 'blk.0.attn_k.weight' has shape [8, 4], not [4, 8] (outermost first)"},
    {"WrongNumberOfDimensions",
     [](auto& f) {
       f.Tensor("blk.0.ffn_up_exps.weight").dims = {8, 32};
     },
     "tensor 'blk.0.ffn_up_exps.weight' has shape [32, 8], not [4, 8, 8]"},
    {"NormOfAnotherType",
     [](auto& f) {
       f.Tensor("output_norm.weight").type = kHalf;
       f.Tensor("output_norm.weight").data.resize(16);
     },
     "tensor 'output_norm.weight' has type F16, not F32"},
    {"ForeignTensor", [](auto& f) { f.AddF32Tensor("blk.0.attn_q.bias", {8}); },
     "tensor 'blk.0.attn_q.bias' is no part of architecture qwen3moe with 1 layers"},
    {"LayerTooMany", [](auto& f) { f.AddF32Tensor("blk.1.attn_norm.weight", {8}); },
     "tensor 'blk.1.attn_norm.weight' is no part of"},
    {"NanInANorm", [](auto& f) { SetFirstElement(f, "blk.0.ffn_norm.weight", NAN); },
     "tensor 'blk.0.ffn_norm.weight': element 1 is nan, not a finite number"},
    {"InfInTheRouter", [](auto& f) { SetFirstElement(f, "blk.0.ffn_gate_inp.weight", INFINITY); },
     "tensor 'blk.0.ffn_gate_inp.weight': element 1 is inf"},
};
INSTANTIATE_TEST_SUITE_P(Tensors, GgufConfigTest, ::testing::ValuesIn(kTensorCases), CaseName);

class GgufVocabularyTest : public ::testing::TestWithParam<GgufCase> {};

TEST_P(GgufVocabularyTest, IsRefusedByItsRule) {
  GgufBuilder file = TinyQwen3Moe();
  GetParam().damage(file);
  const auto reader = ParseText(file.Build());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const auto vocabulary = ReadVocabulary(**reader);
  ASSERT_FALSE(vocabulary.ok());
  EXPECT_THAT(Message(vocabulary.status()), StartsWith("bad.gguf: key 'tokenizer.ggml."));
  EXPECT_THAT(Message(vocabulary.status()), HasSubstr(GetParam().says));
}

// The same key with other strings.
void SetStrings(GgufBuilder& file, std::string_view key, const std::vector<std::string>& values) {
  file.RemoveKey(key);
  file.AddStrings(std::string(key), values);
}

const GgufCase kVocabularyCases[] = {
    {"NoModel", [](auto& f) { f.RemoveKey("tokenizer.ggml.model"); },
     "tokenizer.ggml.model' is missing"},
    {"NoTokens", [](auto& f) { f.RemoveKey("tokenizer.ggml.tokens"); },
     "tokenizer.ggml.tokens' is missing"},
    {"EmptyTokens", [](auto& f) { SetStrings(f, "tokenizer.ggml.tokens", {}); },
     "has 0 elements, not in [1, 1048576]"},
    {"TokensAreNumbers",
     [](auto& f) {
       f.RemoveKey("tokenizer.ggml.tokens");
       f.AddInt32s("tokenizer.ggml.tokens", {1, 2});
     },
     "has type ARRAY of INT32, not ARRAY of STRING"},
    {"FewerTypesThanTokens",
     [](auto& f) {
       f.RemoveKey("tokenizer.ggml.token_type");
       f.AddInt32s("tokenizer.ggml.token_type", {1, 1});
     },
     "tokenizer.ggml.token_type' has 2 elements for 16 tokens"},
    {"TypeOutOfRange", [](auto& f) { f.Key("tokenizer.ggml.token_type").value[12] = 7; },
     "gives token 0 type 7, not in [1, 6]"},
    {"CharsmapOfNoBytes",
     [](auto& f) {
       f.RemoveKey("tokenizer.ggml.model");
       f.AddString("tokenizer.ggml.model", "t5");
       f.AddInt32s("tokenizer.ggml.precompiled_charsmap", {300});
     },
     "precompiled_charsmap' has the byte 300"},
    {"FewerScoresThanTokens", [](auto& f) { f.AddInt32s("tokenizer.ggml.scores", {0}); },
     "tokenizer.ggml.scores' has 1 elements for 16 tokens"},
    {"MergeWithoutSpace",
     [](auto& f) {
       SetStrings(f, "tokenizer.ggml.merges", {"a b", "cd"});
     },
     "element 1 is 'cd', not two tokens with a space between"},
    {"MergeWithoutLeft", [](auto& f) { SetStrings(f, "tokenizer.ggml.merges", {" b"}); },
     "element 0 is ' b', not two tokens"},
    {"MergeWithoutRight", [](auto& f) { SetStrings(f, "tokenizer.ggml.merges", {"a "}); },
     "element 0 is 'a ', not two tokens"},
    {"EosOutOfRange", [](auto& f) { SetUint32(f, "tokenizer.ggml.eos_token_id", 16); },
     "tokenizer.ggml.eos_token_id' is 16, not in [0, 15]"},
    {"UnknownOutOfRange",
     [](auto& f) { f.AddUint32("tokenizer.ggml.unknown_token_id", 0xFFFFFFFFU); },
     "tokenizer.ggml.unknown_token_id' is 4294967295, not in [0, 15]"},
    {"BosWithoutAnId", [](auto& f) { f.Key("tokenizer.ggml.add_bos_token").value[0] = 1; },
     "is true, but there is no bos_token_id"},
};
INSTANTIATE_TEST_SUITE_P(Vocabulary, GgufVocabularyTest, ::testing::ValuesIn(kVocabularyCases),
                         CaseName);

TEST(GgufModelTest, ATemplateOfAnotherTypeIsRefused) {
  GgufBuilder file = TinyQwen3Moe();
  file.RemoveKey("tokenizer.chat_template");
  file.AddUint32("tokenizer.chat_template", 1);
  const auto reader = ParseText(file.Build());
  ASSERT_TRUE(reader.ok());
  EXPECT_THAT(Message(ReadChatTemplate(**reader).status()),
              HasSubstr("key 'tokenizer.chat_template' has type UINT32, not STRING"));
}

TEST(GgufModelTest, HostileNamesBecomeHarmlessSlugs) {
  const auto slug_of = [](const std::string& name) {
    GgufBuilder file = TinyQwen3Moe();
    file.Key("general.name").value = GgufText(name);
    return ModelName(**ParseText(file.Build()));
  };
  EXPECT_EQ(slug_of("Tales MoE (11M) v1.0"), "tales-moe-11m-v1.0");
  EXPECT_EQ(slug_of("../../etc/passwd"), "..-..-etc-passwd");
  EXPECT_EQ(slug_of("\xE2\x98\x83"), "bad");  // The stem stands in.
  EXPECT_EQ(slug_of(std::string(1000, 'x')), std::string(64, 'x'));
}

}  // namespace
}  // namespace shoal
