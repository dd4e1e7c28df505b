// eval, heat and what import does with heat, at the command line, as whoever makes a model smaller
// uses them.
#include <cstdint>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/command_test.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";
constexpr char kText[] = "models/README.md";

class QualityTest : public CommandTest {
 protected:
  // `shoal eval`'s JSON about a model and the text.
  nlohmann::json Eval(const std::string& model, const std::string& flags = "") const {
    const CommandResult result = RunShoal("eval " + model + " --text " + kText +
                                          " --ctx-size 128 --tokens 512 --json " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? nlohmann::json::parse(result.out) : nlohmann::json();
  }

  // The name of the model that an import makes.
  std::string Import(const std::string& name, const std::string& flags) const {
    const CommandResult result =
        RunShoal(std::string("import ") + kModel + " --model-name " + name + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return name;
  }
};

TEST_F(QualityTest, SmallerModelsLoseMoreAgainstWhatTheyWereMadeFrom) {
  const nlohmann::json original = Eval(kModel, "--save " + Path("ref") + " --top 4096");
  EXPECT_EQ(original["n_scored"], 4 * 63);
  EXPECT_FALSE(original.contains("reference"));
  const nlohmann::json same = Eval(kModel, "--reference " + Path("ref") + " --threads 1");
  EXPECT_EQ(same["perplexity"], original["perplexity"]);
  EXPECT_NEAR(same["reference"]["mean_kl"].get<double>(), 0.0, 1e-6);
  EXPECT_EQ(same["reference"]["top1_agreement"], 1.0);
  EXPECT_EQ(same["reference"]["n_top"], 1158);  // The whole vocabulary.
  double last = 0.0;
  for (const char* mix : {"q4_k_m", "q4_0", "tq2_0"}) {
    const nlohmann::json smaller =
        Eval(Import(mix, std::string("--quantize ") + mix), "--reference " + Path("ref"));
    EXPECT_GT(smaller["reference"]["mean_kl"].get<double>(), last) << mix;
    last = smaller["reference"]["mean_kl"];
  }
}

TEST_F(QualityTest, EvalSaysForPeopleWhatItMeasured) {
  const std::string eval = std::string("eval ") + kModel + " --text " + kText + " --tokens 300 ";
  const CommandResult saved = RunShoal(eval + "--ctx-size 64 --stride 32 --save " + Path("ref"));
  ASSERT_EQ(saved.exit_code, 0) << saved.err;
  EXPECT_THAT(saved.out, AllOf(HasSubstr("300 tokens, 299 of them scored, windows of 64 every 32"),
                               ContainsRegex("perplexity +[0-9.]+ \\+- [0-9.]+\n")));
  const CommandResult compared =
      RunShoal(eval + "--ctx-size 64 --stride 32 --reference " + Path("ref"));
  EXPECT_THAT(compared.out, AllOf(HasSubstr("mean KL"), HasSubstr("top-1 agreement  100.00 %")));
}

TEST_F(QualityTest, EvalRefusesWhatItCannotCompareOrRead) {
  const std::string eval = std::string("eval ") + kModel + " --text " + kText;
  ASSERT_EQ(RunShoal(eval + " --save " + Path("ref")).exit_code, 0);
  const std::string reference = " --reference " + Path("ref");
  EXPECT_THAT(RunShoal(eval + reference + " --ctx-size 128").err, HasSubstr("--ctx-size 512"));
  EXPECT_THAT(RunShoal(eval + reference + " --tokens 600").err, HasSubstr("another text"));
  EXPECT_THAT(RunShoal("eval tests/data/models/qwen3_moe/model.gguf --ctx-size 64 --text " +
                       std::string(kText) + reference)
                  .err,
              AllOf(HasSubstr("vocabulary"), HasSubstr("tales-moe")));
  EXPECT_THAT(RunShoal(eval + " --reference " + kText).err, HasSubstr("no file of saved logits"));
  EXPECT_THAT(RunShoal(eval + " --tokens 100").err,
              AllOf(HasSubstr("100 tokens"), HasSubstr("512")));
  EXPECT_THAT(RunShoal("eval nosuch --text " + std::string(kText)).err,
              HasSubstr("no file nosuch"));
  EXPECT_THAT(RunShoal(std::string("eval ") + kModel + " --text /nowhere").err,
              HasSubstr("/nowhere"));
  EXPECT_EQ(RunShoal(eval + " --ctx-size 3").exit_code, 2);
  EXPECT_EQ(RunShoal(std::string("eval ") + kModel).exit_code, 2);
}

TEST_F(QualityTest, HotExpertsKeepTheirTypeAndColdOnesGetTheOther) {
  std::ofstream(Path("prompts"))
      << "Tell me a story about a fox and a kite.\n\nOnce upon a time.\n";
  const CommandResult heat = RunShoal(std::string("heat ") + kModel + " --prompts " +
                                      Path("prompts") + " -o " + Path("heat"));
  ASSERT_EQ(heat.exit_code, 0) << heat.err;
  const nlohmann::json json = nlohmann::json::parse(Read(Path("heat")));
  EXPECT_EQ(json["layers"].size(), 6U);
  EXPECT_EQ(json["layers"][0]["rows"].size(), 16U);
  const std::string flags = "--quantize q4_0 --experts-type tq2_0";
  const CommandResult mixed = RunShoal(std::string("import ") + kModel + " --model-name mixed " +
                                       flags + " --heat " + Path("heat"));
  ASSERT_EQ(mixed.exit_code, 0) << mixed.err;
  EXPECT_THAT(mixed.err, AllOf(ContainsRegex("blk.5.ffn_up_exps.weight +Q4_0 +relative RMS"),
                               ContainsRegex("blk.5.ffn_up_exps.weight +TQ2_0 +relative RMS"),
                               ContainsRegex("blk.5.attn_q.weight +Q4_0 +relative RMS")));
  Eval(kModel, "--save " + Path("ref"));
  const std::string reference = "--reference " + Path("ref");
  const double cold = Eval(Import("cold", flags), reference)["reference"]["mean_kl"];
  const double hot = Eval(Import("hot", "--quantize q4_0"), reference)["reference"]["mean_kl"];
  const double between = Eval("mixed", reference)["reference"]["mean_kl"];
  EXPECT_LT(hot, between);
  EXPECT_LT(between, cold);
}

TEST_F(QualityTest, HeatRefusesWhatHasNone) {
  std::ofstream(Path("prompts")) << "\n\n";
  const std::string heat = std::string("heat ") + kModel + " --prompts ";
  EXPECT_THAT(RunShoal(heat + Path("prompts")).err, HasSubstr("one prompt a line"));
  EXPECT_THAT(RunShoal("heat tests/data/models/llama/model.gguf --ctx-size 64 --prompts " +
                       std::string(kText))
                  .err,
              HasSubstr("no routed experts"));
  const std::string import = std::string("import ") + kModel + " --quantize q4_0 ";
  EXPECT_EQ(RunShoal(import + "--heat " + Path("x")).exit_code, 2);  // Without --experts-type.
  EXPECT_THAT(RunShoal(import + "--experts-type tq2_0 --heat " + kText).err, HasSubstr("heat: "));
}

}  // namespace
}  // namespace shoal
