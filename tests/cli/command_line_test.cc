// The binary as a script sees it: exit codes, and where an option's value comes from.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Result {
  int exit_code = -1;
  std::string output;  // Standard output and standard error.
};

// Runs the binary with `arguments`, in the shell, `environment` before it.
Result RunShoal(const std::string& arguments, const std::string& environment = "") {
  const std::string line = environment + " " SHOAL_BINARY " " + arguments + " 2>&1";
  Result result;
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) return result;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    result.output += static_cast<char>(c);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

class CommandLineTest : public ::testing::Test {
 protected:
  ~CommandLineTest() override { std::filesystem::remove(config_); }

  // "--config" and the name of a file that holds `text`.
  std::string Config(const std::string& text) {
    std::ofstream(config_) << text;
    return "--config " + config_;
  }

 private:
  const std::string config_ =
      ::testing::TempDir() + "shoal_command_line_" + std::to_string(getpid()) + ".toml";
};

TEST_F(CommandLineTest, VersionTellsTheBuildAndTheInstructionSets) {
  const Result result = RunShoal("version --json");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto json = nlohmann::json::parse(result.output, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << result.output;
  for (const char* key : {"version", "commit", "build_type"}) {
    EXPECT_FALSE(json.value(key, "").empty()) << key;
  }
  EXPECT_THAT(json["isa"]["found"], Contains("scalar"));
  EXPECT_THAT(json["isa"]["found"], Contains(json["isa"]["selected"]));
}

TEST_F(CommandLineTest, TheEnvironmentSelectsAnInstructionSet) {
  EXPECT_THAT(RunShoal("version", "SHOAL_ISA=scalar").output, HasSubstr("selected scalar"));
  const Result unknown = RunShoal("version", "SHOAL_ISA=vax");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, AllOf(HasSubstr("SHOAL_ISA=vax"), HasSubstr("scalar")));
}

TEST_F(CommandLineTest, BadUsageExitsWithTwoAndNamesTheWord) {
  EXPECT_EQ(RunShoal("").exit_code, 2);
  const Result command = RunShoal("frobnicate");
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_THAT(command.output, HasSubstr("frobnicate"));
  const Result option = RunShoal("version --frob");
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_THAT(option.output, HasSubstr("--frob"));
}

TEST_F(CommandLineTest, HelpExitsWithZeroAndNamesTheVariables) {
  const Result result = RunShoal("version --help");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr("SHOAL_JSON"));
}

TEST_F(CommandLineTest, FlagsThenEnvironmentThenFile) {
  const std::string config = Config("[version]\njson = true\n");
  EXPECT_THAT(RunShoal("version " + config).output, StartsWith("{"));
  EXPECT_THAT(RunShoal(config + " version").output, StartsWith("{"));
  EXPECT_THAT(RunShoal("version " + config, "SHOAL_JSON=false").output, StartsWith("shoal "));
  EXPECT_THAT(RunShoal("version --json " + config, "SHOAL_JSON=false").output, StartsWith("{"));
}

TEST_F(CommandLineTest, AFileWithAnUnknownOptionIsRefusedByItsName) {
  const Result result = RunShoal("version " + Config("[version]\njsn = true\n"));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("version.jsn"));
  EXPECT_EQ(RunShoal("version --config /nowhere/shoal.toml").exit_code, 2);
}

}  // namespace
}  // namespace shoal
