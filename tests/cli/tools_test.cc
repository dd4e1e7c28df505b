// The commands that print facts about a model, as a script uses them; and models that do not fit.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

struct Result {
  int exit_code = -1;
  std::string output;
};

class ToolsTest : public ::testing::Test {
 protected:
  ~ToolsTest() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  // Runs the binary with `input` on standard input; keeps what it prints on standard output, or on
  // standard error if it fails.
  Result RunShoal(const std::string& arguments, const std::string& input = "") const {
    std::ofstream(Path("in"), std::ios::binary) << input;
    const std::string line = std::string(SHOAL_BINARY) + " " + arguments + " <" + Path("in") +
                             " >" + Path("out") + " 2>" + Path("err");
    const int status = std::system(line.c_str());
    Result result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    std::ifstream file(Path(result.exit_code == 0 ? "out" : "err"), std::ios::binary);
    result.output.assign(std::istreambuf_iterator<char>(file), {});
    return result;
  }

 private:
  const std::string dir_ = [] {
    std::string name = ::testing::TempDir() + "shoal_tools_XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }();
};

TEST_F(ToolsTest, TokenizeAndDetokenizeUndoEachOther) {
  const std::string text = "A small fox sat by the well.\n\nIt was 7 o'clock";
  const Result ids = RunShoal(std::string("tokenize ") + kModel, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.output;
  EXPECT_TRUE(nlohmann::json::parse(ids.output, nullptr, false).is_array()) << ids.output;
  EXPECT_EQ(RunShoal(std::string("detokenize ") + kModel, ids.output).output, text);
}

TEST_F(ToolsTest, LinesAreConvertedEachForItself) {
  const std::string texts = "\"A fox\"\n\"\\n\\u00e9\"\n\"\"\n";
  const Result ids = RunShoal(std::string("tokenize --lines ") + kModel, texts);
  ASSERT_EQ(ids.exit_code, 0) << ids.output;
  EXPECT_EQ(ids.output.substr(0, ids.output.find('\n') + 1),
            RunShoal(std::string("tokenize ") + kModel, "A fox").output);
  EXPECT_THAT(ids.output, HasSubstr("\n[]\n"));
  EXPECT_EQ(RunShoal(std::string("detokenize --lines ") + kModel, ids.output).output,
            "\"A fox\"\n\"\\n\u00e9\"\n\"\"\n");
  EXPECT_THAT(RunShoal(std::string("tokenize --lines ") + kModel, "\"a\"\nb\n").output,
              HasSubstr("line 2: is not a JSON string"));
  EXPECT_THAT(RunShoal(std::string("detokenize --lines ") + kModel, "[1]\n[-1]\n").output,
              HasSubstr("line 2: element 0 is '-1'"));
}

TEST_F(ToolsTest, NoSpecialTakesAControlTokensTextLiterally) {
  const auto count = [this](const std::string& flags) {
    const Result ids = RunShoal("tokenize " + flags + kModel, "<|im_end|>");
    return nlohmann::json::parse(ids.output, nullptr, false).size();
  };
  EXPECT_EQ(count(""), 1);
  EXPECT_GT(count("--no-special "), 1);
}

TEST_F(ToolsTest, BadInputExitsWithOneAndSaysWhat) {
  const Result text = RunShoal(std::string("tokenize ") + kModel, "\xff\xfe");
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.output, HasSubstr("UTF-8"));
  const Result ids = RunShoal(std::string("detokenize ") + kModel, "[1, 999999]");
  EXPECT_EQ(ids.exit_code, 1);
  EXPECT_THAT(ids.output, HasSubstr("999999"));
  EXPECT_EQ(RunShoal("tokenize /nowhere.gguf", "x").exit_code, 1);
  EXPECT_EQ(RunShoal("tokenize").exit_code, 2);
}

TEST_F(ToolsTest, TemplateRendersAndRaises) {
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true})";
  EXPECT_EQ(RunShoal(std::string("template ") + kModel, messages).output,
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  std::ofstream(Path("raise.jinja")) << "{{ raise_exception('only two roles') }}";
  const Result raised = RunShoal("template --file " + Path("raise.jinja"), messages);
  EXPECT_EQ(raised.exit_code, 1);
  EXPECT_THAT(raised.output, HasSubstr("only two roles"));
  std::ofstream(Path("now.jinja")) << "{{ strftime_now('%Y-%m-%d %H:%M') }}";
  EXPECT_EQ(
      RunShoal("template --now 2026-03-04T15:06:07 --file " + Path("now.jinja"), messages).output,
      "2026-03-04 15:06");
}

// Goal: a folder gives what the GGUF file of the same tokenizer gives, with and without
// config.json.
TEST_F(ToolsTest, TakesHuggingFaceFolders) {
  const std::string folder = "tests/data/models/qwen3_moe/hf";
  const std::string text = "The 12 old  boats\n\u00e9";
  const Result ids = RunShoal("tokenize " + folder, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.output;
  EXPECT_EQ(ids.output, RunShoal("tokenize tests/data/models/qwen3_moe/model.gguf", text).output);
  EXPECT_EQ(RunShoal("detokenize " + folder, ids.output).output, text);
  const std::string bare = Path("bare");
  std::filesystem::create_directory(bare);
  EXPECT_THAT(RunShoal("tokenize " + bare, text).output, HasSubstr(bare + ": has no tokenizer"));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    std::filesystem::copy_file(folder + "/" + name, bare + "/" + name);
  }
  EXPECT_EQ(RunShoal("tokenize " + bare, text).output, ids.output);
  std::ofstream(bare + "/config.json") << R"({"model_type": "unheard-of", "vocab_size": 7})";
  EXPECT_THAT(RunShoal("tokenize " + bare, text).output, HasSubstr("not in [0, 7)"));
}

TEST_F(ToolsTest, PreSetsThePreTokenizer) {
  const std::string digits = "1234567 1234567";
  const auto pieces = [&](const std::string& flags) {
    const Result ids = RunShoal("tokenize " + flags + kModel, digits);
    EXPECT_EQ(ids.exit_code, 0) << ids.output;
    EXPECT_EQ(RunShoal("detokenize " + flags + kModel, ids.output).output, digits);
    return ids.output;
  };
  EXPECT_EQ(pieces("--pre qwen2 "), pieces("--pre smollm "));  // One digit at a time, both.
  const Result unknown = RunShoal(std::string("tokenize --pre nope ") + kModel, digits);
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, AllOf(HasSubstr("nope"), HasSubstr("llama-bpe")));
}

TEST_F(ToolsTest, ATemplateOfAFileSeesTheModelsTokens) {
  const std::string file = Path("bos.jinja");
  std::ofstream(file) << "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";
  const std::string messages = R"({"messages": [{"role": "user", "content": "Hi"}]})";
  EXPECT_EQ(RunShoal("template --chat-template " + file, messages).output, "Hi");
  const std::string folder = "tests/data/models/qwen3_moe/hf";
  EXPECT_EQ(RunShoal("template " + folder + " --chat-template " + file, messages).output,
            "<|bos|>Hi<|eos|>");
  EXPECT_THAT(RunShoal("template --chat-template /no/such/file", messages).output,
              HasSubstr("--chat-template: cannot read /no/such/file"));
  EXPECT_EQ(RunShoal("template", messages).exit_code, 2);
}

TEST_F(ToolsTest, LogitsRefusesIdsOutsideTheVocabulary) {
  const Result result =
      RunShoal(std::string("logits ") + kModel + " --ids 1,77777 --out " + Path("o.safetensors"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, AllOf(HasSubstr("--ids"), HasSubstr("77777")));
  EXPECT_FALSE(std::filesystem::exists(Path("o.safetensors")));
}

// Goal: a cache larger than the machine is refused with the numbers, before anything is loaded.
// Method: the smallest fixture, its context raised in place to 16 Mi positions.
TEST_F(ToolsTest, ACacheThatDoesNotFitIsRefusedWithTheNumbers) {
  std::ifstream file("tests/data/models/qwen3_moe/model.gguf", std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  const std::string key = "qwen3moe.context_length";
  const size_t value = bytes.find(key) + key.size() + sizeof(uint32_t);  // Behind the type.
  const uint32_t context = 16 << 20;
  std::memcpy(&bytes[value], &context, sizeof(context));
  std::ofstream(Path("long.gguf"), std::ios::binary) << bytes;
  for (const std::string command :
       {"up --listen 127.0.0.1:0 ", "up --workers 0 --listen 127.0.0.1:0 ",
        "logits --ids 1 --out /dev/null "}) {
    const Result result =
        RunShoal(command + "--ctx-size 16777216 --kv-type f32 " + Path("long.gguf"));
    EXPECT_EQ(result.exit_code, 1) << command;
    EXPECT_THAT(result.output, AllOf(HasSubstr("KV cache of 67108864 positions"),
                                     HasSubstr("98304 MiB"), HasSubstr("--ctx-size")))
        << command;
  }
}

}  // namespace
}  // namespace shoal
