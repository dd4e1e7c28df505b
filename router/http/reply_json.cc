#include "router/http/reply_json.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Event(const std::string& data) { return absl::StrCat("data: ", data, "\n\n"); }

const char* ReasonName(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

Json Head(const ReplyHead& head, const char* chat_object) {
  return {{"id", head.id},
          {"object", head.chat ? chat_object : "text_completion"},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint},
          {"seed", head.seed}};
}

Json Usage(const ReplyHead& head, int64_t n_tokens) {
  return {{"prompt_tokens", head.n_prompt_tokens},
          {"completion_tokens", n_tokens},
          {"total_tokens", head.n_prompt_tokens + n_tokens}};
}

// One chunk of a stream around its only choice.
std::string Chunk(const ReplyHead& head, const Json& choice) {
  Json chunk = Head(head, "chat.completion.chunk");
  chunk["choices"] = Json::array({choice});
  if (head.include_usage) chunk["usage"] = nullptr;
  return Event(Dump(chunk));
}

Json StreamChoice(const ReplyHead& head, Json delta, const std::string& text, Json reason) {
  Json choice = {{"index", 0}};
  if (head.chat) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = std::move(reason);
  return choice;
}

Json Model(std::string_view model, int64_t created) {
  return {{"id", model}, {"object", "model"}, {"created", created}, {"owned_by", "shoal"}};
}

}  // namespace

std::string FullReply(const ReplyHead& head, std::string_view text, FinishReason reason,
                      int64_t n_tokens) {
  Json choice = {{"index", 0}};
  if (head.chat) {
    choice["message"] = {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = ReasonName(reason);
  Json reply = Head(head, "chat.completion");
  reply["choices"] = Json::array({std::move(choice)});
  reply["usage"] = Usage(head, n_tokens);
  return Dump(reply);
}

std::string FirstEvent(const ReplyHead& head) {
  if (!head.chat) return "";
  return Chunk(head, StreamChoice(head, {{"role", "assistant"}, {"content", ""}}, "", nullptr));
}

std::string TextEvent(const ReplyHead& head, std::string_view text) {
  return Chunk(head, StreamChoice(head, {{"content", text}}, std::string(text), nullptr));
}

std::string LastEvents(const ReplyHead& head, FinishReason reason, int64_t n_tokens) {
  std::string events = Chunk(head, StreamChoice(head, Json::object(), "", ReasonName(reason)));
  if (head.include_usage) {
    Json chunk = Head(head, "chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["usage"] = Usage(head, n_tokens);
    events += Event(Dump(chunk));
  }
  return events + Event("[DONE]");
}

std::string ErrorEvent(const absl::Status& status) { return Event(ErrorBody(ToApiError(status))); }

std::string_view KeepAliveEvent() { return ": waiting\n\n"; }

std::string ModelJson(std::string_view model, int64_t created) {
  return Dump(Model(model, created));
}

std::string ModelListJson(std::string_view model, int64_t created) {
  return Dump({{"object", "list"}, {"data", Json::array({Model(model, created)})}});
}

}  // namespace shoal
