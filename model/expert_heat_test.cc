#include "model/expert_heat.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ExpertHeat SmallHeat() {
  return {.model = "tiny",
          .n_tokens = 10,
          .n_experts = 3,
          .layers = {{{4, 1.0}, {10, 5.0}, {6, 4.0}}, {}, {{0, 0.0}, {0, 0.0}, {0, 0.0}}}};
}

TEST(ExpertHeatTest, DecodesWhatItEncoded) {
  const auto heat = DecodeHeat(EncodeHeat(SmallHeat()));
  ASSERT_TRUE(heat.ok()) << heat.status();
  EXPECT_EQ(heat->model, "tiny");
  EXPECT_EQ(heat->n_tokens, 10);
  ASSERT_EQ(heat->layers.size(), 3U);
  EXPECT_EQ(heat->layers[0][1].rows, 10U);
  EXPECT_EQ(heat->layers[0][2].weight, 4.0);
  EXPECT_TRUE(heat->layers[1].empty());
}

TEST(ExpertHeatTest, HotAreTheFewestThatHaveTheShare) {
  const ExpertHeat heat = SmallHeat();
  EXPECT_THAT(heat.Hot(0, 0.5), ElementsAre(false, true, false));
  EXPECT_THAT(heat.Hot(0, 0.51), ElementsAre(false, true, true));
  EXPECT_THAT(heat.Hot(0, 1.0), ElementsAre(true, true, true));
  EXPECT_THAT(heat.Hot(1, 0.5), ElementsAre());
  EXPECT_THAT(heat.Hot(2, 0.5), ElementsAre(false, false, false));
}

TEST(ExpertHeatTest, RefusesWhatIsNoHeat) {
  const std::string good = EncodeHeat(SmallHeat());
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return std::string(DecodeHeat(text).status().message());
  };
  EXPECT_THAT(std::string(DecodeHeat("").status().message()), HasSubstr("no JSON object"));
  EXPECT_THAT(std::string(DecodeHeat("[[[[[[[[[]]]]]]]]]").status().message()),
              HasSubstr("no JSON object"));
  EXPECT_THAT(with("shoal-heat", "other"), HasSubstr("format"));
  EXPECT_THAT(with("\"version\":1", "\"version\":2"), HasSubstr("version=2"));
  EXPECT_THAT(with("\"n_tokens\":10", "\"n_tokens\":-1"), HasSubstr("n_tokens=-1"));
  EXPECT_THAT(with("\"n_tokens\":10", "\"n_tokens\":18446744073709551615"), HasSubstr("n_tokens="));
  EXPECT_THAT(with("\"n_tokens\":10", "\"n_tokens\":9"),
              HasSubstr("rows is not in [0, n_tokens=9]"));
  EXPECT_THAT(with("\"n_experts\":3", "\"n_experts\":4"), HasSubstr("3 rows and 3 weights"));
  EXPECT_THAT(with("\"n_experts\":3", "\"n_experts\":\"3\""), HasSubstr("n_experts is no integer"));
  EXPECT_THAT(with("[4,10,6]", "[4,10]"), HasSubstr("2 rows and 3 weights"));
  EXPECT_THAT(with("[4,10,6]", "[4,-10,6]"), HasSubstr("expert 1: rows"));
  EXPECT_THAT(with("[4,10,6]", "7"), HasSubstr("not both arrays"));
  EXPECT_THAT(with("5.0", "-5.0"), HasSubstr("expert 1: weight"));
  EXPECT_THAT(with("5.0", "\"a\""), HasSubstr("expert 1: weight"));
  EXPECT_THAT(with("\"layers\"", "\"other\""), HasSubstr("layers is no array"));
}

TEST(ExpertHeatTest, HeatOfAnotherModelIsRefused) {
  ModelConfig config;
  config.n_layers = 3;
  config.n_experts = 3;
  config.layers = {{}, {.dense = true}, {}};
  EXPECT_TRUE(CheckHeat(SmallHeat(), config).ok());
  config.layers[1].dense = false;
  EXPECT_THAT(std::string(CheckHeat(SmallHeat(), config).message()), HasSubstr("layer 1"));
  config.n_experts = 4;
  EXPECT_THAT(std::string(CheckHeat(SmallHeat(), config).message()),
              AllOf(HasSubstr("3 layers of 3"), HasSubstr("3 of 4")));
  config.n_experts = 0;
  EXPECT_THAT(std::string(CheckHeat(SmallHeat(), config).message()),
              HasSubstr("no routed experts"));
}

}  // namespace
}  // namespace shoal
