// docs/life_of_a_token.md walks a token through the code. Each stop of its table must exist: the
// file, and in it the definition of the functions the row names.
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Stop {
  int line = 0;
  std::vector<std::string> files;
  std::vector<std::string> symbols;  // "Class::Function" or "Function".
};

// What stands between backquotes in `cell`.
std::vector<std::string> Quotes(std::string_view cell) {
  std::vector<std::string> quotes;
  for (size_t at = cell.find('`'); at != std::string_view::npos; at = cell.find('`', at)) {
    const size_t end = cell.find('`', at + 1);
    if (end == std::string_view::npos) break;
    quotes.emplace_back(cell.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return quotes;
}

std::vector<std::string> Cells(const std::string& row) {
  std::vector<std::string> cells;
  std::istringstream in(row.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) cells.push_back(cell);
  return cells;
}

bool IsNumber(std::string_view cell) {
  const size_t first = cell.find_first_not_of(' ');
  const size_t last = cell.find_last_not_of(' ');
  return first != std::string_view::npos &&
         cell.substr(first, last - first + 1).find_first_not_of("0123456789") ==
             std::string_view::npos;
}

// The rows "| n | `file` | `Symbol` ... |" of a page.
std::vector<Stop> ReadStops(std::istream& page) {
  std::vector<Stop> stops;
  int line = 0;
  for (std::string row; std::getline(page, row);) {
    ++line;
    if (!row.starts_with("|")) continue;
    const std::vector<std::string> cells = Cells(row);
    if (cells.size() < 3 || !IsNumber(cells[0])) continue;
    stops.push_back({line, Quotes(cells[1]), Quotes(cells[2])});
  }
  return stops;
}

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The position after the bracket that closes the one at `open`, or npos.
size_t AfterClosing(std::string_view code, size_t open) {
  int depth = 0;
  for (size_t i = open; i < code.size(); ++i) {
    depth += (code[i] == '(') - (code[i] == ')');
    if (depth == 0) return i + 1;
  }
  return std::string_view::npos;
}

// True if `code` defines `symbol`: its name as a whole word and a parameter list, begun at the left
// margin or after a type, with a body before the next semicolon. A name without its class stands
// for that function of any class.
bool Defines(std::string_view code, std::string_view symbol) {
  const bool qualified = symbol.find(':') != std::string_view::npos;
  for (size_t at = code.find(symbol); at != std::string_view::npos;
       at = code.find(symbol, at + 1)) {
    const size_t end = at + symbol.size();
    if (end >= code.size() || code[end] != '(') continue;
    if (at > 0 && (IsWordCharacter(code[at - 1]) || (qualified && code[at - 1] == ':'))) continue;
    const size_t line = code.rfind('\n', at) + 1;  // npos + 1 is the beginning.
    if (code[line] == ' ' || code.substr(line, 2) == "//") continue;
    const size_t after = AfterClosing(code, end);
    if (after == std::string_view::npos) continue;
    const size_t stop = code.find_first_of("{;", after);
    if (stop != std::string_view::npos && code[stop] == '{') return true;
  }
  return false;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What is wrong with one stop, a line each.
std::vector<std::string> Faults(const Stop& stop) {
  const std::string where = "line " + std::to_string(stop.line) + ": ";
  std::vector<std::string> faults;
  if (stop.files.empty()) faults.push_back(where + "names no file");
  if (stop.symbols.empty()) faults.push_back(where + "names no function");
  std::string code;
  for (const std::string& file : stop.files) {
    if (!std::filesystem::is_regular_file(file)) faults.push_back(where + file + " is not there");
    code += ReadText(file) + "\n";
  }
  for (const std::string& symbol : stop.symbols) {
    if (!Defines(code, symbol)) faults.push_back(where + symbol + " is not defined there");
  }
  return faults;
}

TEST(WalkTest, ReadsTheRowsOfATable) {
  std::istringstream page(
      "# Walk\n| stop | open | look at |\n|---|---|---|\n"
      "| 1 | `a/b.cc` | `A::B`: why |\n| 2 | `c.cc`, `d.cc` | `C::D`, `E` | 1 |\ntext `x`\n");
  const std::vector<Stop> stops = ReadStops(page);
  ASSERT_EQ(stops.size(), 2U);
  EXPECT_EQ(stops[0].line, 4);
  EXPECT_THAT(stops[0].files, ElementsAre("a/b.cc"));
  EXPECT_THAT(stops[0].symbols, ElementsAre("A::B"));
  EXPECT_THAT(stops[1].files, ElementsAre("c.cc", "d.cc"));
  EXPECT_THAT(stops[1].symbols, ElementsAre("C::D", "E"));
}

TEST(WalkTest, TellsADefinitionFromACallADeclarationAndALongerName) {
  EXPECT_TRUE(Defines("void A::B(int x) {\n}\n", "A::B"));
  EXPECT_TRUE(Defines("absl::StatusOr<std::vector<int>> A::B(\n    int x) const {\n", "A::B"));
  EXPECT_TRUE(Defines("int B() { return 1; }", "B"));
  EXPECT_TRUE(Defines("int A::B() { return 1; }", "B"));
  EXPECT_FALSE(Defines("void X::A::B() {}\n", "A::B"));
  EXPECT_FALSE(Defines("void A::B(int x);\n", "A::B"));
  EXPECT_FALSE(Defines("void C() {\n  A::B(1);\n  if (x) {}\n}\n", "A::B"));
  EXPECT_FALSE(Defines("void AA::B() {\n}\n", "A::B"));
  EXPECT_FALSE(Defines("void A::Bc() {\n}\n", "A::B"));
  EXPECT_FALSE(Defines("// A::B() {\n", "A::B"));
}

TEST(WalkTest, NamesWhatIsWrongWithAStop) {
  EXPECT_THAT(Faults({7, {"no/such.cc"}, {"A::B"}}),
              ElementsAre("line 7: no/such.cc is not there", "line 7: A::B is not defined there"));
  EXPECT_THAT(Faults({7, {"tests/tidy/walk_test.cc"}, {"Faults"}}), IsEmpty());
}

TEST(WalkTest, EveryStopOfTheLifeOfATokenIsThere) {
  std::ifstream page("docs/life_of_a_token.md");
  ASSERT_TRUE(page) << "run from the root of the repository";
  const std::vector<Stop> stops = ReadStops(page);
  EXPECT_GE(stops.size(), 8U);
  for (const Stop& stop : stops) EXPECT_THAT(Faults(stop), IsEmpty());
}

}  // namespace
}  // namespace shoal
