#include "model/manifest.h"

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard.h"
#include "model/shard_testing.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

Manifest Sound() { return MakeTestModel().manifest; }

std::string ErrorOf(std::string_view bytes) {
  const auto result = DecodeManifest(bytes);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

// What DecodeManifest says of a sound manifest with one thing changed.
std::string ErrorAfter(const std::function<void(Manifest&)>& change) {
  Manifest manifest = Sound();
  change(manifest);
  return ErrorOf(EncodeManifest(manifest));
}

ShardInfo& FirstExpert(Manifest& manifest) { return manifest.shards[3]; }

TEST(ShardHeaderTest, ComesBackAndAcceptsNothingElse) {
  const auto header = EncodeShardHeader(123456789);
  EXPECT_EQ(*DecodeShardHeader(header), 123456789U);
  for (size_t i = 0; i < header.size(); ++i) {
    if (i >= 16 && i < 24) continue;  // Another length is another header.
    auto changed = header;
    changed[i] ^= std::byte{1};
    EXPECT_EQ(DecodeShardHeader(changed).status().code(), absl::StatusCode::kInvalidArgument) << i;
  }
  EXPECT_FALSE(DecodeShardHeader(std::span(header).first(63)).ok());
}

TEST(ShardHeaderTest, APathIsMadeOfHexDigitsOnly) {
  const Sha256Digest hash = Sha256({});
  EXPECT_EQ(ShardPath(hash), "e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ManifestTest, EverythingComesBack) {
  const Manifest manifest = Sound();
  const std::string bytes = EncodeManifest(manifest);
  const auto again = DecodeManifest(bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name, "tiny-1");
  EXPECT_EQ(again->config.rms_norm_eps, 1e-6F);
  EXPECT_EQ(again->config.context_length, 512);
  EXPECT_EQ(again->config.qk_norm, QkNorm::kHead);
  EXPECT_FALSE(again->config.tied_embeddings);
  EXPECT_EQ(EncodeManifest(*again), bytes);
  EXPECT_EQ(again->n_bytes(), 11 * 512U);
}

TEST(ManifestTest, OptionsComeBack) {
  Manifest manifest = MakeTestModel(2, 4).manifest;
  ModelConfig& config = manifest.config;
  config.n_experts = 3;  // And a shared one.
  config.shared_ffn_dim = 96;
  config.shared_gate = true;
  config.qk_norm = QkNorm::kHeadAfterRope;
  config.rope_dim = 4;
  config.rope_divisors = {1.0F, 8.0F};
  config.attention_scale = 0.25F;
  config.embedding_scale = 12.0F;
  config.residual_scale = 0.22F;
  config.logit_divisor = 6.0F;
  config.layers.resize(2);
  config.gating = Gating::kSigmoid;
  config.choice_bias = true;
  config.routed_scale = 2.5F;
  const std::string bytes = EncodeManifest(manifest);
  const auto again = DecodeManifest(bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config.NumExperts(0), 4);
  EXPECT_EQ(again->config.shared_ffn_dim, 96);
  EXPECT_EQ(again->config.rope_divisors, config.rope_divisors);
  EXPECT_EQ(again->config.residual_scale, 0.22F);
  EXPECT_EQ(again->config.layers, config.layers);
  EXPECT_EQ(again->config.gating, Gating::kSigmoid);
  EXPECT_TRUE(again->config.choice_bias);
  EXPECT_EQ(again->config.routed_scale, 2.5F);
  EXPECT_EQ(EncodeManifest(*again), bytes);
}

TEST(ManifestTest, FindsByKindLayerAndExpert) {
  const Manifest manifest = Sound();
  const ShardInfo* const expert = manifest.Find(ShardKind::kExpert, 1, 2);
  ASSERT_NE(expert, nullptr);
  EXPECT_EQ(expert->layer, 1);
  EXPECT_EQ(expert->expert, 2);
  EXPECT_EQ(manifest.Find(ShardKind::kTokenizer), &manifest.shards.back());
  EXPECT_EQ(manifest.Find(ShardKind::kExpert, 2, 0), nullptr);
  EXPECT_EQ(manifest.Find(ShardKind::kExpert), nullptr);
}

TEST(ManifestTest, AnExpertShardTakesAbout150Bytes) {
  const size_t few = EncodeManifest(MakeTestModel(1, 8).manifest).size();
  const size_t more = EncodeManifest(MakeTestModel(1, 108).manifest).size();
  EXPECT_LE((more - few) / 100, 150U);
}

TEST(ManifestTest, EveryCheckNamesWhatIsWrong) {
  EXPECT_THAT(ErrorAfter([](auto& m) { m.name = ""; }), HasSubstr("name is"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.name = "a\nb"; }), HasSubstr("name is"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.name = std::string(257, 'a'); }),
              HasSubstr("a string of 257 bytes, at most 256"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.config.top_k = 4; }), HasSubstr("top_k is 4"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.config.n_heads = -1; }), HasSubstr("is above 2147483647"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.config.rms_norm_eps = 2; }),
              HasSubstr("rms_norm_eps is 2"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.config.rope_pairing = static_cast<RopePairing>(2); }),
              HasSubstr("rope_pairing is 2, not below 2"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards.pop_back(); }),
              HasSubstr("has 10 shards, 11 expected"));
  EXPECT_THAT(ErrorAfter([](auto& m) { std::swap(m.shards[3], m.shards[4]); }),
              HasSubstr("shard expert 1 of layer 0: lies at place 3, where expert 0 of layer 0"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards[4] = m.shards[3]; }), HasSubstr("lies at place 4"));
  EXPECT_THAT(ErrorAfter([](auto& m) { FirstExpert(m).kind = static_cast<ShardKind>(5); }),
              HasSubstr("a shard's kind is 5"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards[0].file_bytes = 63; }),
              HasSubstr("file_bytes is 63, below the header's 64"));
}

TEST(ManifestTest, EveryCheckOfChunksAndTensorsNamesWhatIsWrong) {
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards[0].chunks.resize(1); }),
              HasSubstr("shard embedding: has 1 chunk hashes, 0 expected for 512 bytes"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards[0].file_bytes = kShardChunkBytes + 1; }),
              HasSubstr("has 0 chunk hashes, 2 expected"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards[0].file_bytes = UINT64_MAX; }),
              HasSubstr("chunk hashes"));
  EXPECT_THAT(ErrorAfter([](auto& m) { m.shards.back().tensors = FirstExpert(m).tensors; }),
              HasSubstr("shard tokenizer: has 3 tensors"));
  const auto tensor = [](const std::function<void(ShardTensor&)>& change) {
    return ErrorAfter([&](Manifest& m) { change(FirstExpert(m).tensors[1]); });
  };
  EXPECT_THAT(tensor([](auto& t) { t.name = ""; }), HasSubstr("a tensor has no name"));
  EXPECT_THAT(tensor([](auto& t) { t.name = "blk.0.ffn_gate_exps.weight"; }),
              HasSubstr("stands there twice"));
  EXPECT_THAT(tensor([](auto& t) { t.dtype = static_cast<DType>(200); }),
              HasSubstr("a dtype is 200"));
  EXPECT_THAT(tensor([](auto& t) { t.shape = {}; }), HasSubstr("impossible shape"));
  EXPECT_THAT(tensor([](auto& t) { t.shape = {2, 33}; }), HasSubstr("impossible shape"));
  EXPECT_THAT(tensor([](auto& t) { t.shape = {0, 32}; }), HasSubstr("impossible shape"));
  EXPECT_THAT(tensor([](auto& t) {
                t.shape = {UINT32_MAX, UINT32_MAX, 32};
              }),
              HasSubstr("impossible shape"));
  EXPECT_THAT(tensor([](auto& t) { t.n_bytes = 67; }), HasSubstr("n_bytes is 67, dtype and shape"));
  EXPECT_THAT(tensor([](auto& t) { t.offset += 1; }), HasSubstr("is not a multiple of 64"));
  EXPECT_THAT(tensor([](auto& t) { t.offset = 128; }), HasSubstr("is below 132"));
  EXPECT_THAT(tensor([](auto& t) { t.offset = 512; }), HasSubstr("are past the file's 512"));
  EXPECT_THAT(tensor([](auto& t) { t.offset = UINT64_MAX - 63; }),
              HasSubstr("are past the file's"));
}

// Puts `replacement` over the bytes at `offset`.
std::string Patched(std::string bytes, size_t offset, std::string_view replacement) {
  return bytes.replace(offset, replacement.size(), replacement);
}

TEST(ManifestTest, OtherBytesThatMeanTheSameAreRefused) {
  const std::string bytes = EncodeManifest(Sound());
  EXPECT_THAT(ErrorOf(Patched(bytes, 0, "X")), HasSubstr("its magic is"));
  EXPECT_THAT(ErrorOf(Patched(bytes, 8, "\x01")), HasSubstr("its format version is 1"));
  EXPECT_THAT(ErrorOf(bytes + "x"), HasSubstr("1 bytes too many at the end"));
  // rms_norm_eps as a double that no float holds: same float, other bytes.
  const size_t eps = 12 + 4 + 6 + 4 + 8 + 4 + 4 + 9 * 4 + 8 + 8;
  EXPECT_THAT(ErrorOf(Patched(bytes, eps, "\x01")), HasSubstr("not in its canonical encoding"));
  const size_t qk_norm = eps + 8 + 1;
  EXPECT_THAT(ErrorOf(Patched(bytes, qk_norm, "\x05")), HasSubstr("qk_norm is 5"));
  const size_t flags = qk_norm + 1;
  EXPECT_THAT(ErrorOf(Patched(bytes, flags, "\x02")), HasSubstr("a flag is 2"));
  const size_t n_divisors = flags + 3 + 3 * 4;
  EXPECT_THAT(ErrorOf(Patched(bytes, n_divisors, "\xFF\xFF\xFF\xFF")), HasSubstr("a count of"));
  const size_t n_layers = n_divisors + 4 + 4 * 4;
  EXPECT_THAT(ErrorOf(Patched(bytes, n_layers, "\xFF\xFF\xFF\xFF")), HasSubstr("a count of"));
  const size_t n_names = n_layers + 4;
  EXPECT_THAT(ErrorOf(Patched(bytes, n_names, "\xFF\xFF\xFF\xFF")), HasSubstr("a count of"));
}

// Goal: a model without options keeps the bytes it had; one with options gets them back, and no
// other bytes.
TEST(ManifestTest, OptionsFollowTheConfigWhereThereAreAny) {
  Manifest manifest = Sound();
  EXPECT_EQ(EncodeManifest(manifest)[8], 2);
  manifest.config.layers.resize(static_cast<size_t>(manifest.config.n_layers));
  const std::string without = EncodeManifest(manifest);
  EXPECT_EQ(without[8], 2);
  manifest.config.layers.back().window = 16;
  const std::string bytes = EncodeManifest(manifest);
  EXPECT_EQ(bytes[8], 3);
  const auto decoded = DecodeManifest(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->config.layers, manifest.config.layers);

  const size_t at = bytes.find("layers.window");
  const size_t count = at + 13;
  const size_t last_value = count + 4 + 8 * (manifest.config.layers.size() - 1);
  EXPECT_THAT(ErrorOf(Patched(bytes, at, "X")), HasSubstr("option 'Xayers.window' is unknown"));
  EXPECT_THAT(ErrorOf(Patched(bytes, count, "\x01")), HasSubstr("not as many as it takes"));
  EXPECT_THAT(ErrorOf(Patched(bytes, last_value, std::string(8, '\x7F'))),
              HasSubstr("out of its type's range"));
  EXPECT_THAT(ErrorOf(Patched(bytes, last_value, std::string(1, '\0'))),
              HasSubstr("not in its canonical encoding"));
  EXPECT_THAT(ErrorOf(Patched(without, 8, "\x03")), HasSubstr("manifest: "));
}

TEST(ManifestTest, EveryKindOfOptionComesBack) {
  Manifest manifest = Sound();
  ModelConfig& config = manifest.config;
  config.activation = Activation::kClampedSilu;
  config.swiglu_alpha = 1.702F;
  config.swiglu_limit = 7;
  config.norm = NormKind::kLayer;
  config.local_rope_theta = 1e4;
  config.long_rope_divisors.assign(static_cast<size_t>(config.rope_dim) / 2, 1.5F);
  config.rope_original_context = 4096;
  config.layers.assign(static_cast<size_t>(config.n_layers), {.rope = LayerRope::kLocal});
  const std::string bytes = EncodeManifest(manifest);
  const auto decoded = DecodeManifest(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->config.activation, config.activation);
  EXPECT_EQ(decoded->config.swiglu_alpha, config.swiglu_alpha);
  EXPECT_EQ(decoded->config.norm, config.norm);
  EXPECT_EQ(decoded->config.local_rope_theta, config.local_rope_theta);
  EXPECT_EQ(decoded->config.long_rope_divisors, config.long_rope_divisors);
  EXPECT_EQ(decoded->config.rope_original_context, config.rope_original_context);
  EXPECT_EQ(decoded->config.layers, config.layers);
  const size_t value = bytes.find("activation") + 10 + 4;
  EXPECT_THAT(ErrorOf(Patched(bytes, value, "\x03")), HasSubstr("out of its type's range"));
}

TEST(ManifestTest, EveryTruncationIsRefused) {
  const std::string bytes = EncodeManifest(MakeTestModel(1, 1).manifest);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeManifest(std::string_view(bytes).substr(0, n)).ok()) << n;
  }
}

TEST(ManifestTest, S20_AnyChangedByteOfASignedManifestIsRefused) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const std::string bytes = EncodeManifest(MakeTestModel(1, 1).manifest);
  const std::string file = SignManifest(bytes, key);
  const auto sound = ReadSignedManifest(file);
  ASSERT_TRUE(sound.ok()) << sound.status();
  EXPECT_EQ(sound->id, ModelId(bytes));
  EXPECT_EQ(sound->signer, key.public_key());
  for (size_t i = 0; i < file.size(); ++i) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    const auto refused = ReadSignedManifest(changed);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("its signature does not hold"))
        << i;
  }
  EXPECT_FALSE(ReadSignedManifest(file + "x").ok());
  EXPECT_THAT(std::string(ReadSignedManifest(file.substr(0, 95)).status().message()),
              HasSubstr("a signed manifest has 96 to"));
}

}  // namespace
}  // namespace shoal
