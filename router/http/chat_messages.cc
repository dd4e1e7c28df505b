#include "router/http/chat_messages.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"
#include "router/http/request_fields.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<std::string> ReadRole(const std::string& field, const Json& value) {
  SHOAL_ASSIGN_OR_RETURN(std::string role, ReadString(field, value));
  if (role == "developer") return std::string("system");
  for (const char* known : {"system", "user", "assistant", "tool"}) {
    if (role == known) return role;
  }
  return FieldError(field, absl::StrCat("unknown role ", Quoted(role),
                                        "; known: system, developer, user, assistant, tool"));
}

// One element of a content array: {"type": "text", "text": ...}.
absl::StatusOr<std::string> ReadTextPart(const std::string& field, const Json& part) {
  SHOAL_RETURN_IF_ERROR(CheckObject(field, part));
  if (!part.contains("type")) return FieldError(field, "has no \"type\"");
  SHOAL_ASSIGN_OR_RETURN(const std::string type, ReadString(field + ".type", part["type"]));
  if (type != "text") {
    return FieldError(field + ".type", absl::StrCat(Quoted(type), " is not supported, only text"));
  }
  if (!part.contains("text")) return FieldError(field, "has no \"text\"");
  return ReadString(field + ".text", part["text"]);
}

absl::StatusOr<std::string> ReadContent(const std::string& field, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) {
    return FieldError(field, absl::StrCat("expected a string or an array of text parts, got ",
                                          value.type_name()));
  }
  std::string text;
  for (size_t i = 0; i < value.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const std::string part, ReadTextPart(ElementName(field, i), value[i]));
    text += part;
  }
  return text;
}

absl::Status CheckToolCalls(const std::string& field, const Json& calls) {
  SHOAL_RETURN_IF_ERROR(CheckArray(field, calls, kMaxTools));
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string name = ElementName(field, i);
    SHOAL_RETURN_IF_ERROR(CheckObject(name, calls[i]));
    if (!calls[i].contains("function")) return FieldError(name, "has no \"function\"");
    SHOAL_RETURN_IF_ERROR(CheckObject(name + ".function", calls[i]["function"]));
  }
  return absl::OkStatus();
}

// One field of a message into `out`.
absl::Status ReadMember(const std::string& field, const std::string& key, const Json& value,
                        Json* out) {
  if (key == "role") {
    SHOAL_ASSIGN_OR_RETURN((*out)[key], ReadRole(field, value));
  } else if (key == "content") {
    SHOAL_ASSIGN_OR_RETURN((*out)[key], ReadContent(field, value));
  } else if (key == "name" || key == "tool_call_id" || key == "reasoning_content") {
    SHOAL_ASSIGN_OR_RETURN((*out)[key], ReadString(field, value));
  } else if (key == "tool_calls") {
    SHOAL_RETURN_IF_ERROR(CheckToolCalls(field, value));
    (*out)[key] = value;
  } else if (key != "annotations") {  // Standing in replies that clients send back.
    return FieldError(field, "is not supported; leave it out");
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> ReadMessage(const std::string& field, const Json& message) {
  SHOAL_RETURN_IF_ERROR(CheckObject(field, message));
  Json out = Json::object();
  for (const auto& [key, value] : message.items()) {
    if (value.is_null()) continue;
    const std::string name =
        key.size() <= 64 ? absl::StrCat(field, ".", key) : absl::StrCat(field, ".", Quoted(key));
    SHOAL_RETURN_IF_ERROR(ReadMember(name, key, value, &out));
  }
  if (!out.contains("role")) return FieldError(field, "has no \"role\"");
  if (out.contains("content")) return out;
  if (out["role"] != "assistant" || !out.contains("tool_calls")) {
    return FieldError(field, "has no \"content\"");
  }
  out["content"] = "";
  return out;
}

}  // namespace

absl::StatusOr<Json> ReadMessages(const Json& messages) {
  SHOAL_RETURN_IF_ERROR(CheckArray("messages", messages, kMaxMessages));
  if (messages.empty()) return FieldError("messages", "is empty; send at least one message");
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(Json message, ReadMessage(ElementName("messages", i), messages[i]));
    out.push_back(std::move(message));
  }
  return out;
}

absl::Status CheckTools(const Json& tools) {
  SHOAL_RETURN_IF_ERROR(CheckArray("tools", tools, kMaxTools));
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string field = ElementName("tools", i);
    SHOAL_RETURN_IF_ERROR(CheckObject(field, tools[i]));
    if (!tools[i].contains("type") || tools[i]["type"] != "function") {
      return FieldError(field + ".type", "only \"function\" is supported");
    }
    if (!tools[i].contains("function")) return FieldError(field, "has no \"function\"");
    const Json& function = tools[i]["function"];
    SHOAL_RETURN_IF_ERROR(CheckObject(field + ".function", function));
    if (!function.contains("name")) return FieldError(field + ".function", "has no \"name\"");
    SHOAL_RETURN_IF_ERROR(ReadString(field + ".function.name", function["name"]).status());
  }
  return absl::OkStatus();
}

}  // namespace shoal
