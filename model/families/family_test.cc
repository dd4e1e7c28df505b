#include "model/families/family.h"

#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FamilyTest, FindsQwen3MoeAndNothingUnknown) {
  const Family* family = FindFamily("qwen3moe");
  ASSERT_NE(family, nullptr);
  EXPECT_EQ(family->rope_pairing, RopePairing::kHalf);
  EXPECT_EQ(family->qk_norm, QkNorm::kHead);
  EXPECT_TRUE(family->norm_topk_prob);
  EXPECT_EQ(FindFamily("qwen4"), nullptr);
  EXPECT_EQ(FindFamily(""), nullptr);
  EXPECT_THAT(SupportedArchitectures(), HasSubstr("qwen3moe"));
}

TEST(FamilyTest, NamesTensorsByRoleAndLayer) {
  const Family& family = *FindFamily("qwen3moe");
  EXPECT_EQ(TensorName(family, TensorRole::kTokenEmbd), "token_embd.weight");
  EXPECT_EQ(TensorName(family, TensorRole::kOutput), "output.weight");
  EXPECT_EQ(TensorName(family, TensorRole::kAttnQNorm, 7), "blk.7.attn_q_norm.weight");
  EXPECT_EQ(TensorName(family, TensorRole::kFfnDownExps, 47), "blk.47.ffn_down_exps.weight");
}

TEST(FamilyTest, ShapesAreOutermostFirst) {
  ModelConfig config;
  config.hidden_dim = 64;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.head_dim = 32;
  config.n_experts = 8;
  config.ffn_dim = 48;
  config.vocab_size = 320;
  const Family& family = *FindFamily("qwen3moe");
  const auto shape = [&](TensorRole role) { return TensorShape(*FindSpec(family, role), config); };
  EXPECT_THAT(shape(TensorRole::kTokenEmbd), ElementsAre(320, 64));
  EXPECT_THAT(shape(TensorRole::kAttnOutput), ElementsAre(64, 128));
  EXPECT_THAT(shape(TensorRole::kAttnKNorm), ElementsAre(32));
  EXPECT_THAT(shape(TensorRole::kFfnGateExps), ElementsAre(8, 48, 64));
  EXPECT_THAT(shape(TensorRole::kFfnDownExps), ElementsAre(8, 64, 48));
}

// Goal: a table with a slip in it is caught here, whichever family it is.
TEST(FamilyTest, EveryTableHasUniqueRolesNamesAndGaplessShapes) {
  for (const Family* family : AllFamilies()) {
    std::set<TensorRole> roles;
    std::set<std::string_view> names;
    for (const TensorSpec& spec : family->tensors) {
      EXPECT_TRUE(roles.insert(spec.role).second) << family->architecture << " " << spec.name;
      EXPECT_TRUE(names.insert(spec.name).second) << family->architecture << " " << spec.name;
      EXPECT_NE(spec.shape[0], Extent::kNone) << spec.name;
      EXPECT_TRUE(spec.shape[1] != Extent::kNone || spec.shape[2] == Extent::kNone) << spec.name;
    }
    EXPECT_EQ(FindFamily(family->architecture), family);
  }
}

// Goal: the same for checkpoints, whose rows are looked up by role and key.
TEST(FamilyTest, EveryCheckpointNamesItsFamilysTensors) {
  for (const Family* family : AllFamilies()) {
    for (const CheckpointType& type : family->checkpoints) {
      SCOPED_TRACE(type.model_type);
      EXPECT_EQ(FindCheckpoint(type.model_type).type, &type);
      EXPECT_EQ(FindCheckpoint(type.model_type).family, family);
      std::set<TensorRole> roles;
      for (const CheckpointName& name : type.tensors) {
        const TensorSpec* spec = FindSpec(*family, name.role);
        ASSERT_NE(spec, nullptr) << name.name;
        roles.insert(name.role);
        EXPECT_TRUE(name.stored_as == StoredAs::kItself || spec->f32_only) << name.name;
        EXPECT_EQ(IsPerLayer(*spec), name.name.find('#') != std::string_view::npos) << name.name;
        EXPECT_TRUE(!HasTensorPerExpert(name) || IsExpertStack(*spec)) << name.name;
      }
      const bool routed = roles.contains(TensorRole::kFfnGateExps);
      const bool dense = roles.contains(TensorRole::kFfnGate);
      const bool shared = roles.contains(TensorRole::kFfnGateShexp);
      for (const TensorSpec& spec : family->tensors) {
        const TensorPlace place = PlaceOf(spec);
        const bool may_lack = spec.optional && spec.role != TensorRole::kOutput;
        if (place == TensorPlace::kConfig || may_lack) continue;
        bool wanted = true;
        if (spec.role == TensorRole::kChoiceBias) continue;  // Not of softmax.
        if (IsExpertStack(spec) || spec.shape[0] == Extent::kExperts) {
          wanted = routed;
        } else if (spec.shape[0] == Extent::kSharedFfn || spec.shape[1] == Extent::kSharedFfn) {
          wanted = shared;
        } else if (place == TensorPlace::kExpert) {
          wanted = dense;
        }
        EXPECT_EQ(roles.contains(spec.role), wanted) << spec.name;
      }
      std::map<std::string_view, const ConfigKey*> keys;
      for (const ConfigKey& key : type.keys) {
        // One key may be two numbers.
        const ConfigKey* same = keys.emplace(key.key, &key).first->second;
        const auto* number = std::get_if<int ModelConfig::*>(&key.says);
        const auto* other = std::get_if<int ModelConfig::*>(&same->says);
        const bool differ = number != nullptr && other != nullptr && *number != *other;
        EXPECT_TRUE(same == &key || differ) << key.key;
        const auto* has = std::get_if<HasTensors>(&key.says);
        for (const TensorRole role : has == nullptr ? std::span<const TensorRole>() : has->roles) {
          EXPECT_TRUE(roles.contains(role) && FindSpec(*family, role)->optional) << key.key;
        }
      }
    }
  }
  EXPECT_EQ(FindCheckpoint("qwen4").type, nullptr);
  EXPECT_EQ(FindCheckpoint("").type, nullptr);
}

}  // namespace
}  // namespace shoal
