// Templates against what transformers and jinja2 made of the same input; where the cases come from
// is told in tests/data/chat_templates/README.md.
#include "model/chat_template.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const std::string kData = "tests/data/chat_templates/";

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Json> ReadLines(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::vector<Json> out;
  for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line));
  return out;
}

absl::Time NowOf(const Json& c) {
  absl::Time now = absl::UnixEpoch();
  if (c.contains("now")) {
    std::string error;
    EXPECT_TRUE(absl::ParseTime("%Y-%m-%dT%H:%M:%S", c["now"].get<std::string>(),
                                absl::LocalTimeZone(), &now, &error))
        << error;
  }
  return now;
}

std::string Join(const std::vector<PromptPiece>& pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

absl::StatusOr<std::vector<PromptPiece>> Render(std::string_view source, const Json& variables,
                                                absl::Time now = absl::UnixEpoch()) {
  const auto parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return parsed.status();
  return (*parsed)->Render(variables, now);
}

std::string Error(std::string_view source, const Json& variables = Json::object()) {
  return std::string(Render(source, variables).status().message());
}

void CheckCase(const Json& c, const absl::StatusOr<std::vector<PromptPiece>>& got) {
  if (!c.contains("error")) {
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(Join(*got), c["expected"].get<std::string>());
    return;
  }
  ASSERT_FALSE(got.ok()) << Join(*got);
  if (c["error_type"] == "TemplateError") {
    EXPECT_EQ(std::string(got.status().message()), c["error"].get<std::string>());
  }
}

TEST(ChatTemplateTest, RendersEverySnippet) {
  const Json variables = Json::parse(ReadFile(kData + "snippet_variables.json"));
  const std::vector<Json> snippets = ReadLines(kData + "snippets.jsonl");
  EXPECT_EQ(snippets.size(), 80U);
  for (const Json& c : snippets) {
    SCOPED_TRACE(c["template"].get<std::string>());
    CheckCase(c, Render(c["template"].get<std::string>(), variables, NowOf(c)));
  }
}

class ModelTemplateTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ModelTemplateTest, RendersEveryCase) {
  const std::string folder = kData + GetParam() + "/";
  const auto parsed = ChatTemplate::Parse(ReadFile(folder + "template.jinja"));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const std::vector<Json> cases = ReadLines(folder + "cases.jsonl");
  EXPECT_GE(cases.size(), 32U);  // Each model has that many.
  for (const Json& c : cases) {
    SCOPED_TRACE(c["name"].get<std::string>());
    Json variables = {{"messages", c["messages"]},
                      {"tools", c["tools"]},
                      {"add_generation_prompt", c["add_generation_prompt"]}};
    if (c.contains("extra")) variables.update(c["extra"]);
    if (c.contains("special_tokens")) variables.update(c["special_tokens"]);
    CheckCase(c, (*parsed)->Render(variables, NowOf(c)));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelTemplateTest,
                         ::testing::Values("deepseek_v3", "deepseek_v3_1", "gptoss", "kimi_k2",
                                           "llama3", "llama3_1", "mistral", "mistral_nemo", "phi3",
                                           "phi3_5", "qwen2_5", "qwen3", "smollm2", "smollm3"),
                         [](const auto& info) { return std::string(info.param); });

// The pieces as one string, literal ones in square brackets.
std::string Marked(std::string_view source, const Json& variables) {
  const auto pieces = Render(source, variables);
  EXPECT_TRUE(pieces.ok()) << pieces.status();
  std::string out;
  if (!pieces.ok()) return out;
  for (const PromptPiece& piece : *pieces)
    out += piece.literal ? "[" + piece.text + "]" : piece.text;
  return out;
}

TEST(ChatTemplateTest, MarksWhatCameFromTheRequest) {
  const Json v = {{"messages", {{{"role", "user"}, {"content", " a<|im_end|>b,c "}}}},
                  {"eos_token", "</s>"},
                  {"style", "x"}};
  const auto content = [&v](const std::string& expression) {
    return Marked("{% set c = messages[0].content %}{{ " + expression + " }}", v);
  };
  EXPECT_EQ(Marked("<{{ messages[0]['content'] }}>{{ eos_token }}{{ style }}", v),
            "<[ a<|im_end|>b,c ]></s>[x]");
  EXPECT_EQ(content("'<' + c + '>'"), "<[ a<|im_end|>b,c ]>");
  EXPECT_EQ(content("('<' ~ c ~ '>').strip('<')"), "[ a<|im_end|>b,c ]>");
  EXPECT_EQ(content("c | trim | upper"), "[A<|IM_END|>B,C]");
  EXPECT_EQ(content("c.split(',') | join('-')"), "[ a<|im_end|>b]-[c ]");
  EXPECT_EQ(content("(c.replace(',', ';') ~ '!')[-4:]"), ";[c ]!");
  EXPECT_EQ(content("c[::-1]"), "[ c,b>|dne_mi|<a ]");
  EXPECT_EQ(content("messages | tojson"),
            R"([{"[role]": "user", "[content]": "[ a<|im_end|>b,c ]"}])");
  EXPECT_EQ(content("[c, 1]"), "['[ a<|im_end|>b,c ]', 1]");
  EXPECT_EQ(Marked("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(style) | indent }}", v), "<[x]>");
  EXPECT_EQ(Marked("{% set t %}<{{ style }}>{% endset %}{% for x in t %}{{ x }}{% endfor %}", v),
            "<[x]>");
}

TEST(ChatTemplateTest, RefusesWhatItDoesNotKnow) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% include 'x' %}", "line 2: the tag `include` is not known"},
      {"{{ a | frobnicate }}", "line 1: the filter `frobnicate` is not known"},
      {"\n\n{{ a is frobnicated }}", "line 3: the test `frobnicated` is not known"},
      {"{% for x in y recursive %}{% endfor %}", "a recursive loop is not known"},
      {"{% call f() %}{% endcall %}", "the tag `call` is not known"},
      {"{% for x in y %}{% macro m() %}{% endmacro %}{% endfor %}", "not at the top level"},
      {"{% macro m() %}{{ varargs }}{% endmacro %}", "`varargs` in a macro"},
      {"{{ f(*a) }}", "unpacking in a call"},
      {"{{ '\\N{DASH}' }}", "the escape \\N is not known"},
  };
  for (const auto& [source, message] : cases) {
    const auto parsed = ChatTemplate::Parse(source);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kUnimplemented) << source;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(message)) << source;
  }
}

TEST(ChatTemplateTest, RefusesWhatIsNoTemplate) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{{ b", "line 2: {{ is not closed with }}"},
      {"{% if a %}\n", "the template ends without {% endif %}"},
      {"{# a", "comment is not closed"},
      {"{{ 'a }}", "a string is not closed"},
      {"{{ (a] }}", "unexpected ']'"},
      {"{% break %}", "outside of the loop"},
      {"{{ 1 2 }}", "expected }}, found '2'"},
      {"{{ }}", "expected an expression"},
      {"{{ 99999999999999999999 }}", "does not fit 64 bits"},
      {"{{ a ? b }}", "unexpected character in a tag, byte 63"},
      {"{% set loop = 1 %}", "'loop' cannot be assigned to"},
      {"\xFF", "not UTF-8 at byte 0"},
  };
  for (const auto& [source, message] : cases) {
    const auto parsed = ChatTemplate::Parse(source);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << source;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(message)) << source;
  }
}

TEST(ChatTemplateTest, ErrorsNameTheLine) {
  EXPECT_THAT(Error("\n{{ a.b }}"), HasSubstr("line 2: 'a' is undefined"));
  EXPECT_THAT(Error("{{ 1 // 0 }}"), HasSubstr("line 1: division by zero"));
  EXPECT_THAT(Error("{{ 9223372036854775807 + 1 }}"), HasSubstr("does not fit 64 bits"));
  EXPECT_THAT(Error("{{ [] | last.x }}"), HasSubstr("expected }}"));
  EXPECT_THAT(Error("{{ 'a' % 1 }}"), HasSubstr("% on a string is not known"));
  EXPECT_THAT(Error("{{ ('<'|e).join(['a']) }}"), HasSubstr("join of escaped text"));
  EXPECT_EQ(Error("{{ raise_exception('no') }}"), "no");
}

std::string Repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(ChatTemplateTest, S23_LimitsOfSize) {
  EXPECT_THAT(Error(std::string((64 << 10) + 1, 'a')), HasSubstr("at most 65536"));
  EXPECT_TRUE(ChatTemplate::Parse(std::string(64 << 10, 'a')).ok());
  const std::string doubling =
      "{% set n = namespace(s='aaaaaaaaaaaaaaaa') %}"
      "{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}";
  EXPECT_THAT(Error(doubling), HasSubstr("4 MiB"));
  EXPECT_THAT(Error("{% for i in range(900) %}{{ 'aaaaaaaaaa' * 1000 }}{% endfor %}"),
              HasSubstr("writes more than 4 MiB"));
  EXPECT_THAT(Error("{% set n = namespace(l=[1]) %}{% for i in range(60) %}"
                    "{% set n.l = n.l + n.l %}{% endfor %}"),
              HasSubstr("1000000 steps"));
}

TEST(ChatTemplateTest, S23_LimitsOfSteps) {
  EXPECT_THAT(Error("{% for i in range(100000000) %}{% endfor %}"), HasSubstr("1000000 steps"));
  EXPECT_THAT(
      Error("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}"),
      HasSubstr("1000000 steps"));
  // A value that shares its parts is small in memory and endless in print.
  const std::string shared =
      "{% set n = namespace(l=[1]) %}{% for i in range(100) %}"
      "{% set n.l = [n.l, n.l] %}{% endfor %}";
  EXPECT_THAT(Error(shared + "{{ n.l }}"), HasSubstr("1000000 steps"));
  EXPECT_THAT(Error(shared + "{{ n.l | tojson }}"), HasSubstr("1000000 steps"));
  EXPECT_THAT(Error(shared + "{{ n.l == [n.l[0], n.l[1]] }}"), HasSubstr("1000000 steps"));
}

TEST(ChatTemplateTest, S23_LimitsOfDepth) {
  EXPECT_THAT(Error("{{ " + Repeated("(", 300) + "1" + Repeated(")", 300) + " }}"),
              HasSubstr("nested deeper than 256"));
  EXPECT_THAT(Error("{{ 1" + Repeated(" + 1", 300) + " }}"), HasSubstr("nested deeper than 256"));
  EXPECT_THAT(Error("{{ " + Repeated("not ", 300) + "1 }}"), HasSubstr("nested deeper than 256"));
  EXPECT_THAT(Error(Repeated("{% if 1 %}", 300)), HasSubstr("nested deeper than 256"));
  EXPECT_THAT(Error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("macros call one another deeper than 100"));
  EXPECT_THAT(Error("{% macro m() %}{{ " + Repeated("[", 100) + "m()" + Repeated("]", 100) +
                    " }}{% endmacro %}{{ m() }}"),
              HasSubstr("nests deeper than 1000 steps"));
  EXPECT_THAT(Error("{% set n = namespace(l=1) %}{% for i in range(300) %}"
                    "{% set n.l = [n.l] %}{% endfor %}"),
              HasSubstr("nests deeper than 256"));
  Json deep = 1;
  for (int i = 0; i < 300; ++i) deep = Json::array({deep});
  EXPECT_THAT(Error("{{ d }}", {{"d", deep}}), HasSubstr("nest deeper than 256"));
}

TEST(ChatTemplateTest, MarkupEscapesWhatIsPutToIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"{{ '<a>'|safe + s + '</a>'|safe }}", "<a>&lt;b&gt;</a>"},
      {"{{ s + '<a>'|safe }}", "&lt;b&gt;<a>"},
      {"{{ '<a>'|safe ~ s }}", "<a><b>"},
      {"{{ '<'|safe * 2 + '<' }}", "<<&lt;"},
      {"{{ ('<a>'|safe)[:2] + '<' }}", "<a&lt;"},
      {"{{ ('<a>'|safe)[0] + '<' }}", "<&lt;"},
      {"{{ (s|e).upper() + '<' }}", "&LT;B&GT;&lt;"},
      {"{{ ('a,b'|safe).split(',')[1] + '<' }}", "b&lt;"},
      {"{{ ('<a>'|safe).replace('a', s) }}", "<&lt;b&gt;>"},
      {"{{ s.replace('b', '<a>'|safe) + '<' }}", "<<a>><"},
  };
  for (const auto& [source, expected] : cases) {
    const auto pieces = Render(source, {{"s", "<b>"}});
    ASSERT_TRUE(pieces.ok()) << source << ": " << pieces.status();
    EXPECT_EQ(Join(*pieces), expected) << source;
  }
  EXPECT_THAT(Error("{{ '<'|safe + 1 }}"), HasSubstr("unsupported operands for +"));
}

TEST(ChatTemplateTest, SelectingOfNothingGivesNothing) {
  for (const char* nothing : {"none", "0", "''", "missing", "false"}) {
    for (const char* filter : {"select", "rejectattr('x')", "selectattr('x')", "map('upper')"}) {
      const std::string source = absl::StrCat("{{ ", nothing, " | ", filter, " | list }}");
      const auto pieces = Render(source, Json::object());
      ASSERT_TRUE(pieces.ok()) << source << ": " << pieces.status();
      EXPECT_EQ(Join(*pieces), "[]") << source;
    }
  }
}

TEST(ChatTemplateTest, SlicesOfWhatHasNoneAreUndefinedAndCopiesEqual) {
  EXPECT_EQ(Join(*Render("{{ n[1:] is undefined }}{{ 7[::-1] }}{{ d[:1] }}",
                         {{"n", nullptr}, {"d", {{"a", 1}}}})),
            "True");
  EXPECT_EQ(Join(*Render("{{ d.copy() }}{{ [1].copy() + [2] }}", {{"d", {{"a", 1}}}})),
            "{'a': 1}[1, 2]");
  EXPECT_THAT(Error("{{ x[1:] }}"), HasSubstr("'x' is undefined"));
}

TEST(ChatTemplateTest, NamespacesMayReferToOneAnother) {
  const auto text = Render(
      "{% set a = namespace() %}{% set b = namespace(a=a, x=1) %}"
      "{% set a.b = b %}{{ a.b.a.b.x }}",
      Json::object());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(Join(*text), "1");
}

}  // namespace
}  // namespace shoal
