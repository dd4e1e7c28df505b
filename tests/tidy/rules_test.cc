// docs/FAILURE-MODEL.md says for each of its rules which tests cover it. Tests carry the id of
// their rule in their name, or in the first words of a script; table and tests must agree.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kPage[] = "docs/FAILURE-MODEL.md";
constexpr char kHeading[] = "## 8. Which test covers which rule";

// Suites of tests, or scripts, by rule id.
using Coverage = std::map<std::string, std::set<std::string>>;

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> Matches(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator i(text.begin(), text.end(), regex), end; i != end; ++i) {
    found.insert((*i)[1]);
  }
  return found;
}

// What a source file's tests cover.
void AddTests(const std::string& code, Coverage* coverage) {
  static const std::regex kTest(R"(\nTEST(?:_F|_P)?\(\s*(\w+),\s*([IFS]\d+)_)");
  for (std::sregex_iterator i(code.begin(), code.end(), kTest), end; i != end; ++i) {
    (*coverage)[(*i)[2]].insert((*i)[1]);
  }
}

// What a script covers: its first line is """F01 and F03: what it shows.
void AddScript(const std::string& name, const std::string& code, Coverage* coverage) {
  const std::string line = code.substr(0, code.find_first_of(":\n"));
  if (!line.starts_with("\"\"\"")) return;
  for (const std::string& id : Matches(line, R"(\b([IFS]\d+)\b)")) (*coverage)[id].insert(name);
}

// The rows "| F01 | `A`, `B` |" of the page's table.
Coverage ReadTable(const std::string& page) {
  static const std::regex kRow(R"(\n\| ([IFS]\d+) \|([^|\n]*)\|)");
  Coverage table;
  for (std::sregex_iterator i(page.begin(), page.end(), kRow), end; i != end; ++i) {
    table[(*i)[1]] = Matches((*i)[2], R"(`([^`]+)`)");
  }
  return table;
}

TEST(RulesTest, ReadsTestsScriptsAndTheTable) {
  Coverage coverage;
  AddTests(
      "\nTEST(A, F01_X) {}\nTEST_F(B,\n       F01_Y) {}\n// TEST(C, F02_Z)\nTEST(D, Plain) {}\n",
      &coverage);
  AddScript("x.py", "\"\"\"F01 and S13: a worker\ndies: F99\n", &coverage);
  AddScript("y.py", "\"\"\"What F50 needs\n", &coverage);
  EXPECT_THAT(coverage, UnorderedElementsAre(Pair("F01", ElementsAre("A", "B", "x.py")),
                                             Pair("S13", ElementsAre("x.py")),
                                             Pair("F50", ElementsAre("y.py"))));
  EXPECT_THAT(
      ReadTable("\n| rule | tests |\n| F01 | `A`, `x.py` |\n| F02 | none yet |\n"),
      UnorderedElementsAre(Pair("F01", ElementsAre("A", "x.py")), Pair("F02", ElementsAre())));
}

TEST(RulesTest, TheTableSaysWhatTheTestsSay) {
  const std::string page = ReadText(kPage);
  const size_t heading = page.find(kHeading);
  ASSERT_NE(heading, std::string::npos);
  const Coverage table = ReadTable(page.substr(heading));

  Coverage coverage;
  for (const std::string& id :
       Matches(page.substr(0, heading), R"((?:^|\n| )(?:\*\*|- |\| )([IFS]\d+) )")) {
    coverage[id];
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(".")) {
    const std::string path = entry.path().string();
    if (path.starts_with("./build") || path.starts_with("./.")) continue;
    if (path.ends_with("_test.cc")) AddTests(ReadText(path), &coverage);
    if (path.ends_with("_test.py")) {
      AddScript(entry.path().filename().string(), ReadText(path), &coverage);
    }
  }
  ASSERT_EQ(coverage.size(), 12U + 31U + 35U);  // Another rule is another row.
  for (const auto& [id, tests] : coverage) {
    const auto row = table.find(id);
    ASSERT_NE(row, table.end()) << "no row for " << id;
    EXPECT_EQ(row->second, tests) << id;
  }
}

}  // namespace
}  // namespace shoal
