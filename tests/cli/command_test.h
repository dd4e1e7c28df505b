#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

namespace shoal {

// What a command has answered; exit_code is -1 if a signal ended it.
struct CommandResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// Runs commands of the binary on a data folder of the test's own.
class CommandTest : public ::testing::Test {
 protected:
  ~CommandTest() override { std::filesystem::remove_all(dir_); }

  // A file of that name in the test's folder.
  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  CommandResult RunShoal(const std::string& arguments) const {
    const std::string line = std::string(SHOAL_BINARY) + " " + arguments + " --data-dir " +
                             Path("data") + " </dev/null >" + Path("out") + " 2>" + Path("err");
    const int status = std::system(line.c_str());
    CommandResult result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    result.out = Read(Path("out"));
    result.err = Read(Path("err"));
    return result;
  }

 private:
  const std::string dir_ = [] {
    std::string name = ::testing::TempDir() + "shoal_command_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }();
};

}  // namespace shoal
