// The layer table of docs/LAYOUT.md as data, and a check of every include against it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Rule {
  std::string_view folder;
  std::vector<std::string_view> may_include;  // Path prefixes: own folders, then other people's.
};

// A file of `folder` may include its own folder and these; cli/, bench/ and tests/ may include all.
const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = {
      {"base/", {"absl/", "boost/crc.hpp", "prometheus/", "spdlog/", "openssl/"}},
      {"model/", {"base/", "absl/", "pcre2.h", "utf8proc.h", "nlohmann/"}},
      {"kernels/", {"base/", "model/", "absl/"}},
      {"proto/", {"base/", "model/", "absl/", "grpc/", "grpcpp/", "google/protobuf/", "openssl/"}},
      {"engine/", {"base/", "model/", "kernels/", "absl/"}},
      {"router/", {"base/", "model/", "proto/", "engine/", "absl/", "boost/", "nlohmann/"}},
      {"worker/", {"base/", "model/", "proto/", "engine/", "absl/"}},
      {"coordinator/", {"base/", "model/", "proto/", "absl/"}},
  };
  return rules;
}

// Everything that a rule can grant; what starts otherwise and stands in <> is the system's.
constexpr std::string_view kNamed[] = {
    "base/",     "model/",  "kernels/",     "proto/",           "engine/",  "router/",
    "worker/",   "cli/",    "coordinator/", "bench/",           "tests/",   "absl/",
    "boost/",    "CLI/",    "fmt/",         "google/protobuf/", "grpc/",    "grpcpp/",
    "gmock/",    "gtest/",  "benchmark/",   "nlohmann/",        "openssl/", "pcre2.h",
    "yaml-cpp/", "spdlog/", "utf8proc.h",   "prometheus/"};

bool IsCheckFile(std::string_view path) {
  for (std::string_view suffix :
       {"_test.cc", "_fuzz.cc", "_bench.cc", "_testing.h", "_testing.cc"}) {
    if (path.ends_with(suffix)) return true;
  }
  return false;
}

bool IsNamed(std::string_view target) {
  return std::any_of(std::begin(kNamed), std::end(kNamed),
                     [target](std::string_view prefix) { return target.starts_with(prefix); });
}

// The text between the quotes or brackets of an include line.
std::optional<std::string_view> IncludeTarget(std::string_view line) {
  constexpr std::string_view kInclude = "#include ";
  if (!line.starts_with(kInclude)) return std::nullopt;
  const size_t end = line.find_first_of("\">", kInclude.size() + 1);
  if (end == std::string_view::npos) return std::nullopt;
  return line.substr(kInclude.size() + 1, end - kInclude.size() - 1);
}

// Why a file at `path` may not include `target`, or nothing.
std::optional<std::string> Objection(const Rule& rule, std::string_view path,
                                     std::string_view target) {
  const bool check = IsCheckFile(path);
  if (target.ends_with(".pb.h") && rule.folder != "proto/") return "only proto/ sees messages";
  if (target.starts_with("model/import/") && !path.starts_with("model/import/") && !check) {
    return "only cli/ and tests see foreign formats";
  }
  if (target == "nlohmann/json.hpp" && path.ends_with(".h")) return "json.hpp only in .cc files";
  if (check || !IsNamed(target) || target.starts_with(rule.folder)) return std::nullopt;
  for (std::string_view prefix : rule.may_include) {
    if (target.starts_with(prefix)) return std::nullopt;
  }
  return "not in the layer table";
}

// One line for each include of `text`, the file at `path`, that the table does not allow.
std::vector<std::string> Violations(const std::string& path, std::string_view text) {
  std::vector<std::string> found;
  const auto rule = std::find_if(Rules().begin(), Rules().end(), [&path](const Rule& candidate) {
    return path.starts_with(candidate.folder);
  });
  if (rule == Rules().end()) return found;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const std::optional<std::string_view> target = IncludeTarget(line);
    if (!target) continue;
    if (const auto why = Objection(*rule, path, *target)) {
      found.push_back(path + " includes " + std::string(*target) + ": " + *why);
    }
  }
  return found;
}

bool IsSource(const std::filesystem::path& path) {
  return path.extension() == ".cc" || path.extension() == ".h";
}

TEST(LayeringTest, EveryIncludePointsDown) {
  std::vector<std::string> found;
  int n_files = 0;
  for (const Rule& rule : Rules()) {
    if (!std::filesystem::exists(rule.folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(rule.folder)) {
      if (!IsSource(entry.path())) continue;
      ++n_files;
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      for (std::string& line : Violations(entry.path().string(), text)) {
        found.push_back(std::move(line));
      }
    }
  }
  EXPECT_THAT(found, IsEmpty());
  EXPECT_GT(n_files, 30) << "run from the root of the repository";
}

TEST(LayeringTest, NamesAnIncludeThatPointsUp) {
  EXPECT_THAT(Violations("engine/layer.cc", "#include \"router/generate.h\"\n"),
              ElementsAre("engine/layer.cc includes router/generate.h: not in the layer table"));
  EXPECT_THAT(Violations("worker/worker.h", "#include <grpcpp/grpcpp.h>\n"),
              ElementsAre(HasSubstr("not in the layer table")));
  EXPECT_THAT(Violations("router/a.cc", "#include \"proto/worker.pb.h\"\n"),
              ElementsAre(HasSubstr("only proto/ sees messages")));
  EXPECT_THAT(Violations("engine/a_test.cc", "#include \"model/import/gguf_model.h\"\n"),
              IsEmpty());
  EXPECT_THAT(Violations("engine/a.cc", "#include \"model/import/gguf_model.h\"\n"),
              ElementsAre(HasSubstr("foreign formats")));
  EXPECT_THAT(Violations("model/a.h", "#include \"nlohmann/json.hpp\"\n"),
              ElementsAre(HasSubstr("only in .cc files")));
}

TEST(LayeringTest, AcceptsWhatTheTableAllows) {
  EXPECT_THAT(Violations("engine/layer.cc",
                         "#include <vector>\n#include \"engine/layer.h\"\n"
                         "#include \"kernels/matmul.h\"\n#include \"absl/status/status.h\"\n"),
              IsEmpty());
  EXPECT_THAT(Violations("cli/up.cc", "#include \"router/router.h\"\n"), IsEmpty());
}

}  // namespace
}  // namespace shoal
