// import, models and shards at the command line, as an operator uses them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/command_test.h"
#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

class ModelsTest : public CommandTest {
 protected:
  // Imports the model; its id.
  std::string Import(const std::string& flags = "") const {
    const CommandResult result = RunShoal(std::string("import ") + kModel + " " + flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.substr(0, result.out.find('\n'));
  }

  // The first shard file that the store's folder has.
  std::filesystem::path SomeShard() const {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(Path("data") + "/shards")) {
      if (entry.is_regular_file()) return entry.path();
    }
    ADD_FAILURE() << "no shard";
    return {};
  }
};

TEST_F(ModelsTest, ImportPrintsTheIdAndListShowsIt) {
  const std::string id = Import();
  EXPECT_EQ(id.size(), 64);
  const CommandResult list = RunShoal("models list");
  EXPECT_THAT(list.out, AllOf(HasSubstr(id), HasSubstr("tales-moe"), HasSubstr("105/105 shards")));
  const CommandResult again = RunShoal(std::string("import ") + kModel);
  EXPECT_EQ(again.out, id + "\n");
  EXPECT_THAT(again.err, HasSubstr("imported before"));
}

TEST_F(ModelsTest, RemoveTakesAPrefixAndCollectFreesTheShards) {
  const std::string id = Import();
  EXPECT_EQ(RunShoal("models gc").out, "freed 0 B\n");
  const CommandResult removed = RunShoal("models rm " + id.substr(0, 8));
  EXPECT_EQ(removed.exit_code, 0) << removed.err;
  EXPECT_THAT(removed.out, HasSubstr(id));
  EXPECT_EQ(RunShoal("models gc").out, "freed 11.7 MB\n");
  EXPECT_THAT(RunShoal("models list").err, HasSubstr("no model"));
}

TEST_F(ModelsTest, AnUnknownOrAmbiguousModelIsNamed) {
  const std::string id = Import();
  const CommandResult none = RunShoal("models rm nosuch");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr("nosuch"), HasSubstr(id)));
  ASSERT_NE(Import("--model-name twin"), id);
  const CommandResult twin = RunShoal("models rm twin");
  EXPECT_EQ(twin.exit_code, 0) << twin.err;
  EXPECT_EQ(RunShoal("shards verify --model nosuch").exit_code, 1);
}

TEST_F(ModelsTest, VerifyNamesWhatIsCorruptAndWhatIsMissing) {
  Import();
  const CommandResult good = RunShoal("shards verify");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("105 shards good, 0 corrupt, 0 missing"));
  const std::filesystem::path shard = SomeShard();
  std::fstream(shard, std::ios::binary | std::ios::in | std::ios::out).seekp(80).write("????", 4);
  const CommandResult corrupt = RunShoal("shards verify --model tales-moe");
  EXPECT_EQ(corrupt.exit_code, 1);
  EXPECT_THAT(corrupt.out,
              AllOf(HasSubstr("corrupt: tales-moe: "), HasSubstr(shard.filename().string()),
                    HasSubstr("104 shards good, 1 corrupt, 0 missing")));
  const CommandResult missing = RunShoal("shards verify");  // The corrupt one has been deleted.
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.out, AllOf(HasSubstr("missing: tales-moe: "),
                                 HasSubstr("104 shards good, 0 corrupt, 1 missing")));
  EXPECT_THAT(RunShoal(std::string("import ") + kModel).err, HasSubstr("1 of them new"));
  EXPECT_EQ(RunShoal("shards verify").exit_code, 0);
}

TEST_F(ModelsTest, BadUsageAndBadFilesSaySo) {
  EXPECT_EQ(RunShoal("import").exit_code, 2);
  EXPECT_EQ(RunShoal("models").exit_code, 2);
  EXPECT_EQ(RunShoal("shards").exit_code, 2);
  const CommandResult none = RunShoal("import /nowhere.gguf");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("/nowhere.gguf"));
  EXPECT_THAT(none.out, IsEmpty());
  std::ofstream(Path("text.gguf")) << "no model at all, only text";
  EXPECT_THAT(RunShoal("import " + Path("text.gguf")).err, HasSubstr("text.gguf"));
  EXPECT_EQ(
      RunShoal(std::string("import ") + kModel + " --model-name \"$(printf 'a\\nb')\"").exit_code,
      2);
}

TEST_F(ModelsTest, QuantizingMakesAnotherModelAndSaysWhatItLost) {
  const std::string plain = Import();
  const CommandResult small = RunShoal(std::string("import ") + kModel + " --quantize q4_k_m");
  ASSERT_EQ(small.exit_code, 0) << small.err;
  EXPECT_NE(small.out, plain + "\n");
  EXPECT_THAT(small.err, ContainsRegex("blk.5.ffn_up_exps.weight +Q4_K +relative RMS"));
  EXPECT_THAT(small.err, ContainsRegex("blk.5.attn_v.weight +Q6_K +relative RMS"));
  EXPECT_THAT(small.err, ContainsRegex("token_embd.weight +Q6_K +relative RMS"));
  EXPECT_THAT(small.err, Not(HasSubstr("norm")));
  EXPECT_THAT(small.err, Not(HasSubstr("gate_inp")));
  EXPECT_THAT(RunShoal("models list").out, AllOf(HasSubstr("11.7 MB"), HasSubstr("7.2 MB")));
  const CommandResult again = RunShoal(std::string("import ") + kModel + " --quantize q4_k_m");
  EXPECT_EQ(again.out, small.out);
  EXPECT_THAT(again.err, HasSubstr("imported before"));
  EXPECT_EQ(Import(), plain);
  const CommandResult mixed =
      RunShoal(std::string("import ") + kModel + " --quantize q4_k_m --experts-type tq1_0");
  EXPECT_THAT(mixed.err, ContainsRegex("blk.5.ffn_up_exps.weight +TQ1_0 +relative RMS"));
}

// A matrix that is no larger than it would become stays as it is: here all of them.
TEST_F(ModelsTest, QuantizingNeverMakesAnythingLarger) {
  const std::string plain = Import();
  EXPECT_EQ(RunShoal(std::string("import ") + kModel + " --quantize q8_0").out, plain + "\n");
}

TEST_F(ModelsTest, QuantizingRefusesWhatItCannotDo) {
  const std::string import = std::string("import ") + kModel;
  const CommandResult mix = RunShoal(import + " --quantize q3_k");
  EXPECT_EQ(mix.exit_code, 2);
  EXPECT_THAT(mix.err, HasSubstr("q3_k is none of q8_0, q4_0, q4_k_m"));
  EXPECT_EQ(RunShoal(import + " --experts-type q4_0").exit_code, 2);
  EXPECT_EQ(RunShoal(import + " --imatrix x").exit_code, 2);
  EXPECT_THAT(RunShoal(import + " --quantize q4_0 --heat x").err, HasSubstr("--heat"));
  EXPECT_THAT(RunShoal(import + " --quantize q4_0 --imatrix " + kModel).err,
              HasSubstr("general.type is not 'imatrix'"));

  std::string bytes = Read("tests/data/models/qwen3_moe/model.gguf");
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2), 4096, '\xFF');
  std::ofstream(Path("nan.gguf"), std::ios::binary) << bytes;
  const CommandResult nan = RunShoal("import " + Path("nan.gguf") + " --quantize q4_0");
  EXPECT_EQ(nan.exit_code, 1);
  EXPECT_THAT(nan.err, HasSubstr("holds an infinity, a NaN, or weights too large"));
}

// A file as llama-imatrix writes it, about one tensor.
GgufBuilder Imatrix(uint64_t n_cols, uint64_t n_matrices, float sum, float count) {
  const auto floats = [](uint64_t n, float value) {
    std::string out;
    for (uint64_t i = 0; i < n; ++i) out += Le32(std::bit_cast<uint32_t>(value));
    return out;
  };
  GgufBuilder file;
  file.AddString("general.type", "imatrix");
  const std::string name = "blk.0.attn_q.weight";
  file.tensors.push_back(
      {name + ".in_sum2", {n_cols, n_matrices}, 0, floats(n_cols * n_matrices, sum), {}});
  file.tensors.push_back({name + ".counts", {1, n_matrices}, 0, floats(n_matrices, count), {}});
  return file;
}

TEST_F(ModelsTest, AnImatrixIsReadAndChecked) {
  const auto import = [&](const GgufBuilder& file) {
    std::ofstream(Path("imatrix.gguf"), std::ios::binary) << file.Build();
    return RunShoal(std::string("import ") + kModel + " --quantize q4_0 --imatrix " +
                    Path("imatrix.gguf"));
  };
  const uint64_t n_cols = 256;
  const CommandResult good = import(Imatrix(n_cols, 1, 8.0F, 2.0F));
  EXPECT_EQ(good.exit_code, 0) << good.err;
  // All columns alike is what no imatrix means; one that nobody counted is none.
  const CommandResult plain = RunShoal(std::string("import ") + kModel + " --quantize q4_0");
  EXPECT_EQ(good.out, plain.out);
  EXPECT_EQ(import(Imatrix(n_cols, 1, 0.0F, 0.0F)).out, plain.out);
  GgufBuilder uneven = Imatrix(n_cols, 1, 8.0F, 2.0F);
  for (size_t i = 0; i < uneven.tensors[0].data.size(); i += 8) {
    uneven.tensors[0].data.replace(i, 4, Le32(std::bit_cast<uint32_t>(1000.0F)));
  }
  const CommandResult weighted = import(uneven);
  EXPECT_EQ(weighted.exit_code, 0) << weighted.err;
  EXPECT_NE(weighted.out, plain.out);

  EXPECT_THAT(import(Imatrix(n_cols / 2, 1, 1.0F, 1.0F)).err, HasSubstr("128 columns, but"));
  EXPECT_THAT(import(Imatrix(n_cols, 1, -1.0F, 1.0F)).err, HasSubstr("holds -1"));
  EXPECT_THAT(import(Imatrix(n_cols, 1, NAN, 1.0F)).err, HasSubstr("holds nan"));
  GgufBuilder few = Imatrix(n_cols, 2, 1.0F, 1.0F);
  few.tensors[1].dims = {1, 1};
  few.tensors[1].data.resize(4);
  EXPECT_THAT(import(few).err, HasSubstr("has 1 counts beside it, for 2 matrices"));
  few.RemoveTensor("blk.0.attn_q.weight.counts");
  EXPECT_THAT(import(few).err, HasSubstr("has no counts beside it"));
  GgufBuilder half = Imatrix(n_cols, 1, 1.0F, 1.0F);
  half.tensors[0].type = 1;
  half.tensors[0].data.resize(n_cols * 2);
  EXPECT_THAT(import(half).err, HasSubstr("is not F32"));
}

TEST_F(ModelsTest, HelpNamesEveryOption) {
  EXPECT_THAT(RunShoal("import --help").out,
              AllOf(HasSubstr("--data-dir"), HasSubstr("MODEL"), HasSubstr("--model-name"),
                    HasSubstr("--quantize"), HasSubstr("--experts-type"), HasSubstr("--imatrix"),
                    HasSubstr("tq1_0")));
  EXPECT_THAT(RunShoal("models --help").out,
              AllOf(HasSubstr("list"), HasSubstr("rm"), HasSubstr("gc")));
  EXPECT_THAT(RunShoal("shards verify --help").out, HasSubstr("--model"));
}

}  // namespace
}  // namespace shoal
