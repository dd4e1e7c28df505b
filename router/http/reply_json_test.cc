#include "router/http/reply_json.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "router/http/api.h"
#include "router/http/api_error.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

ReplyHead Head(bool chat, bool include_usage) {
  return {.chat = chat,
          .id = "id-1",
          .created = 1700000000,
          .model = "m",
          .fingerprint = "fp",
          .seed = 7,
          .include_usage = include_usage,
          .n_prompt_tokens = 3};
}

// The JSON of a run of events, [DONE] left out.
std::vector<Json> Events(std::string_view text) {
  std::vector<Json> events;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    EXPECT_EQ(text.substr(0, 6), "data: ");
    const std::string_view data = text.substr(6, end - 6);
    if (data != "[DONE]") events.push_back(Json::parse(data));
    text.remove_prefix(end + 2);
  }
  return events;
}

TEST(ReplyJsonTest, FullChatReply) {
  const Json reply =
      Json::parse(FullReply(Head(/*chat=*/true, false), "a\"b", FinishReason::kLength, 4));
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["seed"], 7);
  EXPECT_EQ(reply["system_fingerprint"], "fp");
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "a\"b");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(reply["usage"]["total_tokens"], 7);
}

TEST(ReplyJsonTest, FullTextReply) {
  const Json reply =
      Json::parse(FullReply(Head(/*chat=*/false, false), "text", FinishReason::kStop, 1));
  EXPECT_EQ(reply["object"], "text_completion");
  EXPECT_EQ(reply["choices"][0]["text"], "text");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "stop");
}

TEST(ReplyJsonTest, ChatStreamNamesTheRoleFirstAndUsageLast) {
  const ReplyHead head = Head(/*chat=*/true, /*include_usage=*/true);
  const std::string stream =
      FirstEvent(head) + TextEvent(head, "x") + LastEvents(head, FinishReason::kStop, 2);
  const std::vector<Json> events = Events(stream);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[1]["choices"][0]["delta"]["content"], "x");
  EXPECT_TRUE(events[1]["usage"].is_null());
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(events[3]["choices"].empty());
  EXPECT_EQ(events[3]["usage"]["completion_tokens"], 2);
  EXPECT_EQ(stream.substr(stream.size() - 14), "data: [DONE]\n\n");
}

TEST(ReplyJsonTest, NoUsageUnlessAsked) {
  const ReplyHead head = Head(/*chat=*/false, /*include_usage=*/false);
  EXPECT_EQ(FirstEvent(head), "");
  const auto events = Events(TextEvent(head, "x") + LastEvents(head, FinishReason::kStop, 2));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0]["choices"][0]["text"], "x");
  EXPECT_FALSE(events[0].contains("usage"));
}

TEST(ReplyJsonTest, S12_ErrorsOfOursKeepTheirInsides) {
  const Json body = Json::parse(
      ErrorBody(ToApiError(absl::UnavailableError("worker 10.0.0.7:4444 lost layer 3"))));
  EXPECT_EQ(body.dump().find("10.0.0.7"), std::string::npos);
  EXPECT_EQ(body["error"]["code"], "unavailable");
  EXPECT_EQ(body["error"]["type"], "server_error");
}

TEST(ReplyJsonTest, F02_ALostExpertHasACodeOfItsOwn) {
  const absl::Status lost = absl::UnavailableError(
      "expert_unavailable: no worker within reach holds expert 3 of layer 9");
  const ApiError error = ToApiError(lost);
  EXPECT_EQ(error.http_status, 503);
  EXPECT_EQ(error.code, "expert_unavailable");
  EXPECT_EQ(error.message.find("layer 9"), std::string::npos);
  const HttpReply reply = ErrorReply(lost);
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(std::any_of(reply.fields.begin(), reply.fields.end(),
                          [](const auto& field) { return field.first == "Retry-After"; }));
  const auto events = Events(ErrorEvent(lost));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0]["error"]["code"], "expert_unavailable");
}

}  // namespace
}  // namespace shoal
