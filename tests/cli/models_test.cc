// import, models and shards at the command line, as an operator uses them.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

struct Result {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class ModelsTest : public ::testing::Test {
 protected:
  ~ModelsTest() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  Result RunShoal(const std::string& arguments) const {
    const std::string line = std::string(SHOAL_BINARY) + " " + arguments + " --data-dir " +
                             Path("data") + " </dev/null >" + Path("out") + " 2>" + Path("err");
    const int status = std::system(line.c_str());
    Result result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    result.out = Read(Path("out"));
    result.err = Read(Path("err"));
    return result;
  }

  // Imports the model; its id.
  std::string Import(const std::string& flags = "") const {
    const Result result = RunShoal(std::string("import ") + kModel + " " + flags);
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

 private:
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::string dir_ = [] {
    std::string name = ::testing::TempDir() + "shoal_models_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }();
};

TEST_F(ModelsTest, ImportPrintsTheIdAndListShowsIt) {
  const std::string id = Import();
  EXPECT_EQ(id.size(), 64);
  const Result list = RunShoal("models list");
  EXPECT_THAT(list.out, AllOf(HasSubstr(id), HasSubstr("tales-moe"), HasSubstr("105/105 shards")));
  const Result again = RunShoal(std::string("import ") + kModel);
  EXPECT_EQ(again.out, id + "\n");
  EXPECT_THAT(again.err, HasSubstr("imported before"));
}

TEST_F(ModelsTest, RemoveTakesAPrefixAndCollectFreesTheShards) {
  const std::string id = Import();
  EXPECT_EQ(RunShoal("models gc").out, "freed 0 B\n");
  const Result removed = RunShoal("models rm " + id.substr(0, 8));
  EXPECT_EQ(removed.exit_code, 0) << removed.err;
  EXPECT_THAT(removed.out, HasSubstr(id));
  EXPECT_EQ(RunShoal("models gc").out, "freed 11.7 MB\n");
  EXPECT_THAT(RunShoal("models list").err, HasSubstr("no model"));
}

TEST_F(ModelsTest, AnUnknownOrAmbiguousModelIsNamed) {
  const std::string id = Import();
  const Result none = RunShoal("models rm nosuch");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr("nosuch"), HasSubstr(id)));
  ASSERT_NE(Import("--model-name twin"), id);
  const Result twin = RunShoal("models rm twin");
  EXPECT_EQ(twin.exit_code, 0) << twin.err;
  EXPECT_EQ(RunShoal("shards verify --model nosuch").exit_code, 1);
}

TEST_F(ModelsTest, VerifyNamesWhatIsCorruptAndWhatIsMissing) {
  Import();
  const Result good = RunShoal("shards verify");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("105 shards good, 0 corrupt, 0 missing"));
  const std::filesystem::path shard = SomeShard();
  std::fstream(shard, std::ios::binary | std::ios::in | std::ios::out).seekp(80).write("????", 4);
  const Result corrupt = RunShoal("shards verify --model tales-moe");
  EXPECT_EQ(corrupt.exit_code, 1);
  EXPECT_THAT(corrupt.out,
              AllOf(HasSubstr("corrupt: tales-moe: "), HasSubstr(shard.filename().string()),
                    HasSubstr("104 shards good, 1 corrupt, 0 missing")));
  const Result missing = RunShoal("shards verify");  // The corrupt one has been deleted.
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
  const Result none = RunShoal("import /nowhere.gguf");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("/nowhere.gguf"));
  EXPECT_THAT(none.out, IsEmpty());
  std::ofstream(Path("text.gguf")) << "no model at all, only text";
  EXPECT_THAT(RunShoal("import " + Path("text.gguf")).err, HasSubstr("text.gguf"));
  EXPECT_EQ(
      RunShoal(std::string("import ") + kModel + " --model-name \"$(printf 'a\\nb')\"").exit_code,
      2);
}

TEST_F(ModelsTest, HelpNamesEveryOption) {
  EXPECT_THAT(RunShoal("import --help").out,
              AllOf(HasSubstr("--data-dir"), HasSubstr("MODEL"), HasSubstr("--model-name")));
  EXPECT_THAT(RunShoal("models --help").out,
              AllOf(HasSubstr("list"), HasSubstr("rm"), HasSubstr("gc")));
  EXPECT_THAT(RunShoal("shards verify --help").out, HasSubstr("--model"));
}

}  // namespace
}  // namespace shoal
