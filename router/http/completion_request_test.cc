#include "router/http/completion_request.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kMessages[] = R"("model": "m", "messages": [{"role": "user", "content": "hi"}])";

std::string Chat(std::string_view more) {
  return absl::StrCat("{", kMessages, more.empty() ? "" : ", ", std::string(more), "}");
}

ApiError ChatError(const std::string& body) {
  const auto request = ParseChatRequest(body);
  EXPECT_FALSE(request.ok()) << body;
  return ToApiError(request.status());
}

TEST(ChatRequestTest, DefaultsAreOpenAis) {
  const auto request = ParseChatRequest(Chat(""));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->options.model, "m");
  EXPECT_EQ(request->options.temperature, 1.0F);
  EXPECT_EQ(request->options.top_p, 1.0F);
  EXPECT_EQ(request->options.max_tokens, 0);
  EXPECT_FALSE(request->options.seed.has_value());
  EXPECT_FALSE(request->options.stream);
  EXPECT_EQ(request->variables->dump(), R"({"messages":[{"role":"user","content":"hi"}]})");
}

TEST(ChatRequestTest, ReadsEveryField) {
  const auto request = ParseChatRequest(Chat(
      R"("max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.25, "seed": -1,
         "stop": ["a", "b"], "ignore_eos": true, "stream": true,
         "stream_options": {"include_usage": true}, "n": 1, "user": "u", "logprobs": false,
         "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto",
         "chat_template_kwargs": {"enable_thinking": false}, "metadata": null)"));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->options.max_tokens, 7);
  EXPECT_EQ(request->options.temperature, 0.5F);
  EXPECT_EQ(request->options.top_p, 0.25F);
  EXPECT_EQ(request->options.seed, ~uint64_t{0});
  EXPECT_EQ(request->options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(request->options.ignore_eos);
  EXPECT_TRUE(request->options.stream);
  EXPECT_TRUE(request->options.include_usage);
  EXPECT_EQ((*request->variables)["tools"][0]["function"]["name"], "f");
  EXPECT_EQ((*request->variables)["enable_thinking"], false);
}

TEST(ChatRequestTest, ContentsBecomePlainStrings) {
  const auto request = ParseChatRequest(R"({"model": "m", "messages": [
      {"role": "developer", "content": "d"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "refusal": null,
       "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
      {"role": "tool", "content": "r", "tool_call_id": "1"}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  const auto& messages = (*request->variables)["messages"];
  EXPECT_EQ(messages[0]["role"], "system");
  EXPECT_EQ(messages[1]["content"], "ab");
  EXPECT_EQ(messages[2]["content"], "");
  EXPECT_EQ(messages[3]["tool_call_id"], "1");
}

// Each bad request, the field that the error names, and what its message says.
struct BadRequest {
  std::string body;
  std::string param;
  std::string message;
};

TEST(ChatRequestTest, S08_BadRequestsAreRefusedByTheirField) {
  const std::string deep =
      std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']');
  const BadRequest table[] = {
      {"", "", "not JSON"},
      {"{\"model\": ", "", "error at byte"},
      {"{\"model\": \"\xff\"}", "", "not JSON in UTF-8"},
      {R"({"model": "\ud800"})", "", "not JSON in UTF-8"},
      {"[1]", "", "not a JSON object but array"},
      {R"({"model": "m", "model": "m"})", "", "stands twice"},
      {Chat("\"user\": " + deep), "", "nests deeper than 64"},
      {Chat(R"("temperature": 1e400)"), "", "not JSON"},
      {R"({"messages": []})", "messages", "empty"},
      {R"({"messages": [{"role": "user", "content": "a"}]})", "model", "missing"},
      {R"({"model": "m"})", "messages", "missing"},
      {R"({"model": 3})", "model", "expected a string, got number"},
      {R"({"model": "m", "messages": "hi"})", "messages", "expected an array, got string"},
      {R"({"model": "m", "messages": ["hi"]})", "messages[0]", "expected an object, got string"},
      {R"({"model": "m", "messages": [{"content": "a"}]})", "messages[0]", "no \"role\""},
      {R"({"model": "m", "messages": [{"role": "user"}]})", "messages[0]", "no \"content\""},
      {R"({"model": "m", "messages": [{"role": "bishop", "content": "a"}]})", "messages[0].role",
       "unknown role 'bishop'"},
      {R"({"model": "m", "messages": [{"role": "user", "content": 5}]})", "messages[0].content",
       "got number"},
      {R"({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]})",
       "messages[0].content[0].type", "only text"},
      {R"({"model": "m", "messages": [{"role": "user", "content": "a", "x": 1}]})", "messages[0].x",
       "not supported"},
      {Chat(R"("max_tokens": -1)"), "max_tokens", "-1 is not in [1, "},
      {Chat(R"("max_tokens": 0)"), "max_tokens", "0 is not in [1, "},
      {Chat(R"("max_tokens": 1.5)"), "max_tokens", "expected a whole number"},
      {Chat(R"("max_tokens": 18446744073709551615)"), "max_tokens", "is not in"},
      {Chat(R"("max_tokens": 2, "max_completion_tokens": 3)"), "max_completion_tokens", "differ"},
      {Chat(R"("temperature": 2.5)"), "temperature", "2.5 is not in [0, 2]"},
      {Chat(R"("temperature": "hot")"), "temperature", "expected a number, got string"},
      {Chat(R"("top_p": 0)"), "top_p", "is not in (0, 1]"},
      {Chat(R"("seed": 0.5)"), "seed", "expected a whole number"},
      {Chat(R"("stop": "")"), "stop", "0 bytes long"},
      {Chat(R"("stop": [1])"), "stop[0]", "expected a string"},
      {Chat(R"("stream": "yes")"), "stream", "expected true or false"},
      {Chat(R"("stream_options": {})"), "stream_options", "only allowed with"},
      {Chat(R"("n": 2)"), "n", "only 1"},
      {Chat(R"("logprobs": true)"), "logprobs", "not supported"},
      {Chat(R"("logit_bias": {"1": 2})"), "logit_bias", "not supported"},
      {Chat(R"("frequency_penalty": 0.5)"), "frequency_penalty", "only 0"},
      {Chat(R"("response_format": {"type": "json_object"})"), "response_format", "only"},
      {Chat(R"("tools": [{"type": "function", "function": {}}])"), "tools[0].function",
       "no \"name"},
      {Chat(R"("chat_template": "x")"), "chat_template", "not supported"},
      {Chat(R"("chat_template_kwargs": {"messages": []})"), "chat_template_kwargs",
       "unknown switch"},
  };
  for (const BadRequest& bad : table) {
    const ApiError error = ChatError(bad.body);
    EXPECT_EQ(error.http_status, 400) << bad.body;
    EXPECT_EQ(error.type, "invalid_request_error") << bad.body;
    EXPECT_EQ(error.param, bad.param) << bad.body;
    EXPECT_THAT(error.message, HasSubstr(bad.message)) << bad.body;
  }
}

// Goal: each cap holds exactly.
// Method: a request at the cap passes, the same with one more does not.
TEST(ChatRequestTest, S08_CapsHoldExactly) {
  using Json = nlohmann::json;
  const auto ok = [](const Json& request) { return ParseChatRequest(request.dump()).ok(); };
  Json request = Json::parse(Chat(""));

  request["stop"] = std::vector<std::string>(kMaxStopStrings, "a");
  EXPECT_TRUE(ok(request));
  request["stop"].push_back("a");
  EXPECT_FALSE(ok(request));

  request["stop"] = std::string(kMaxStopBytes, 'a');
  EXPECT_TRUE(ok(request));
  request["stop"] = std::string(kMaxStopBytes + 1, 'a');
  EXPECT_FALSE(ok(request));
  request.erase("stop");

  request["messages"] = Json::array();
  for (int i = 0; i < kMaxMessages; ++i) {
    request["messages"].push_back({{"role", "user"}, {"content", "a"}});
  }
  EXPECT_TRUE(ok(request));
  request["messages"].push_back({{"role", "user"}, {"content", "a"}});
  EXPECT_FALSE(ok(request));

  const auto nested = [](int n) {
    return Chat("\"user\": " + std::string(n, '[') + std::string(n, ']'));
  };
  EXPECT_TRUE(ParseChatRequest(nested(kMaxJsonDepth - 1)).ok());  // The request is a level itself.
  EXPECT_FALSE(ParseChatRequest(nested(kMaxJsonDepth)).ok());

  // The request, its messages and the one message are three containers.
  const auto wide = [](int n) {
    std::string list = "\"user\": [";
    for (int i = 0; i < n; ++i) list += i == 0 ? "[]" : ",[]";
    return Chat(list + "]");
  };
  EXPECT_TRUE(ParseChatRequest(wide(kMaxJsonContainers - 4)).ok());
  EXPECT_FALSE(ParseChatRequest(wide(kMaxJsonContainers - 3)).ok());
}

TEST(ChatRequestTest, ErrorsQuoteAtMost64CharactersOfTheClient) {
  const ApiError error =
      ChatError(R"({"model": "m", "messages": [{"role": ")" + std::string(5000, 'r') + R"("}]})");
  EXPECT_LT(error.message.size(), 250U);
}

TEST(TextRequestTest, PromptIsTextOrIdsOrOneOfEither) {
  const auto prompt = [](const std::string& json) {
    const auto request = ParseTextRequest(R"({"model": "m", "prompt": )" + json + "}");
    EXPECT_TRUE(request.ok()) << request.status();
    return request->prompt;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(std::get<std::string>(prompt(R"("abc")")), "abc");
  EXPECT_EQ(std::get<std::string>(prompt(R"(["abc"])")), "abc");
  EXPECT_EQ(std::get<Ids>(prompt("[1, 2]")), (Ids{1, 2}));
  EXPECT_EQ(std::get<Ids>(prompt("[[1, 2]]")), (Ids{1, 2}));
}

TEST(TextRequestTest, BadPromptsAreRefusedByTheirField) {
  const BadRequest table[] = {
      {R"({"model": "m"})", "prompt", "missing"},
      {R"({"model": "m", "prompt": 3})", "prompt", "got number"},
      {R"({"model": "m", "prompt": ["a", "b"]})", "prompt", "2 prompts, only one"},
      {R"({"model": "m", "prompt": [1, -1]})", "prompt[1]", "-1 is not in [0, "},
      {R"({"model": "m", "prompt": [1, "a"]})", "prompt[1]", "expected a whole number"},
      {R"({"model": "m", "prompt": [1, 2147483648]})", "prompt[1]", "is not in [0, "},
      {R"({"model": "m", "prompt": "a", "messages": []})", "messages", "not supported"},
      {R"({"model": "m", "prompt": "a", "echo": true})", "echo", "not supported"},
      {R"({"model": "m", "prompt": "a", "suffix": "b"})", "suffix", "not supported"},
      {R"({"model": "m", "prompt": "a", "best_of": 2})", "best_of", "only 1"},
  };
  for (const BadRequest& bad : table) {
    const auto request = ParseTextRequest(bad.body);
    ASSERT_FALSE(request.ok()) << bad.body;
    const ApiError error = ToApiError(request.status());
    EXPECT_EQ(error.param, bad.param) << bad.body;
    EXPECT_THAT(error.message, HasSubstr(bad.message)) << bad.body;
  }
}

}  // namespace
}  // namespace shoal
