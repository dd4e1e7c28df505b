#include "router/http/completion_request.h"

#include <limits>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"
#include "router/http/chat_messages.h"
#include "router/http/request_fields.h"
#include "router/http/request_json.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

// A request as its fields are read one by one.
struct Draft {
  CompletionOptions options;
  Json variables = Json::object();
  bool has_messages = false;
  bool has_stream_options = false;
  std::optional<int64_t> max_tokens;
  std::optional<std::variant<std::string, std::vector<int32_t>>> prompt;
};

// Reads or refuses one field. Null stands for absent and never gets here.
using ReadField = absl::Status (*)(const std::string& field, const Json& value, Draft* draft);

struct FieldRow {
  const char* name;
  ReadField read;
};

absl::Status Ignore(const std::string&, const Json&, Draft*) { return absl::OkStatus(); }

absl::Status ReadModel(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(draft->options.model, ReadString(field, value));
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(const int64_t max_tokens, ReadInt(field, value, 1, kMaxContext));
  if (draft->max_tokens.has_value() && *draft->max_tokens != max_tokens) {
    return FieldError(field, "max_tokens and max_completion_tokens differ; send one of them");
  }
  draft->max_tokens = max_tokens;
  draft->options.max_tokens = max_tokens;
  return absl::OkStatus();
}

absl::Status ReadTemperature(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(const double temperature, ReadNumber(field, value, 0, 2));
  draft->options.temperature = static_cast<float>(temperature);
  return absl::OkStatus();
}

absl::Status ReadTopP(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(const double top_p, ReadNumber(field, value, 0, 1));
  draft->options.top_p = static_cast<float>(top_p);
  if (draft->options.top_p > 0) return absl::OkStatus();
  return FieldError(field, absl::StrCat(top_p, " is not in (0, 1]; temperature 0 is greedy"));
}

absl::Status ReadSeed(const std::string& field, const Json& value, Draft* draft) {
  if (value.is_number_unsigned()) {
    draft->options.seed = value.get<uint64_t>();
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const int64_t seed,
                         ReadInt(field, value, std::numeric_limits<int64_t>::min(),
                                 std::numeric_limits<int64_t>::max()));
  draft->options.seed = static_cast<uint64_t>(seed);
  return absl::OkStatus();
}

absl::Status ReadStopString(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(std::string stop, ReadString(field, value));
  if (stop.empty() || stop.size() > kMaxStopBytes) {
    return FieldError(field,
                      absl::StrCat(stop.size(), " bytes long, allowed are 1 to ", kMaxStopBytes));
  }
  draft->options.stop.push_back(std::move(stop));
  return absl::OkStatus();
}

absl::Status ReadStop(const std::string& field, const Json& value, Draft* draft) {
  if (!value.is_array()) return ReadStopString(field, value, draft);
  SHOAL_RETURN_IF_ERROR(CheckArray(field, value, kMaxStopStrings));
  for (size_t i = 0; i < value.size(); ++i) {
    SHOAL_RETURN_IF_ERROR(ReadStopString(ElementName(field, i), value[i], draft));
  }
  return absl::OkStatus();
}

absl::Status ReadIgnoreEos(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(draft->options.ignore_eos, ReadBool(field, value));
  return absl::OkStatus();
}

absl::Status ReadStream(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(draft->options.stream, ReadBool(field, value));
  return absl::OkStatus();
}

absl::Status ReadStreamOptions(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_RETURN_IF_ERROR(CheckObject(field, value));
  draft->has_stream_options = true;
  for (const auto& [key, option] : value.items()) {
    if (key == "include_usage") {
      if (option.is_null()) continue;
      SHOAL_ASSIGN_OR_RETURN(draft->options.include_usage,
                             ReadBool(field + ".include_usage", option));
    } else if (key != "include_obfuscation") {
      return FieldError(field, absl::StrCat("unknown option ", Quoted(key)));
    }
  }
  return absl::OkStatus();
}

// Fields of which one value means "as usual", and no other is supported.
absl::Status OnlyOne(const std::string& field, const Json& value, Draft*) {
  if (value.is_number() && value.get<double>() == 1) return absl::OkStatus();
  return FieldError(field, "only 1 is supported; send several requests instead");
}

absl::Status OnlyZero(const std::string& field, const Json& value, Draft*) {
  if (value.is_number() && value.get<double>() == 0) return absl::OkStatus();
  return FieldError(field, "only 0 is supported; leave it out");
}

absl::Status OnlyFalse(const std::string& field, const Json& value, Draft*) {
  if (value == false) return absl::OkStatus();
  return FieldError(field, "is not supported; leave it out");
}

absl::Status OnlyEmpty(const std::string& field, const Json& value, Draft*) {
  if ((value.is_structured() && value.empty()) || value == "") return absl::OkStatus();
  return FieldError(field, "is not supported; leave it out");
}

absl::Status OnlyTextFormat(const std::string& field, const Json& value, Draft*) {
  if (value == Json{{"type", "text"}}) return absl::OkStatus();
  return FieldError(field, "only {\"type\": \"text\"} is supported");
}

absl::Status OnlyTextModality(const std::string& field, const Json& value, Draft*) {
  if (value == Json::array({"text"})) return absl::OkStatus();
  return FieldError(field, "only [\"text\"] is supported");
}

absl::Status OnlyModelsChoice(const std::string& field, const Json& value, Draft*) {
  if (value == "auto" || value == "none") return absl::OkStatus();
  return FieldError(field, "only \"auto\" and \"none\" are supported");
}

absl::Status ReadMessagesField(const std::string&, const Json& value, Draft* draft) {
  SHOAL_ASSIGN_OR_RETURN(draft->variables["messages"], ReadMessages(value));
  draft->has_messages = true;
  return absl::OkStatus();
}

absl::Status ReadTools(const std::string&, const Json& value, Draft* draft) {
  SHOAL_RETURN_IF_ERROR(CheckTools(value));
  if (!value.empty()) draft->variables["tools"] = value;
  return absl::OkStatus();
}

// The one switch of templates in wide use. Others are refused: a request may not set arbitrary
// variables of a template (FAILURE-MODEL S09).
absl::Status ReadTemplateSwitches(const std::string& field, const Json& value, Draft* draft) {
  SHOAL_RETURN_IF_ERROR(CheckObject(field, value));
  for (const auto& [key, option] : value.items()) {
    if (key != "enable_thinking") {
      return FieldError(
          field, absl::StrCat("unknown switch ", Quoted(key), "; supported: enable_thinking"));
    }
    SHOAL_ASSIGN_OR_RETURN(draft->variables[key], ReadBool(field + ".enable_thinking", option));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const std::string& field, const Json& value) {
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const int64_t id, ReadInt(ElementName(field, i), value[i], 0,
                                                     std::numeric_limits<int32_t>::max()));
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

// A string, an array of ids, or an array with one of either.
absl::Status ReadPrompt(const std::string& field, const Json& value, Draft* draft) {
  const bool nested =
      value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
  if (nested && value.size() > 1) {
    return FieldError(
        field,
        absl::StrCat(value.size(), " prompts, only one is supported; send several requests"));
  }
  const Json& prompt = nested ? value[0] : value;
  if (prompt.is_string()) {
    draft->prompt = prompt.get<std::string>();
    return absl::OkStatus();
  }
  if (!prompt.is_array()) {
    return FieldError(field, absl::StrCat("expected a string or an array of token ids, got ",
                                          prompt.type_name()));
  }
  SHOAL_ASSIGN_OR_RETURN(draft->prompt, ReadIds(field, prompt));
  return absl::OkStatus();
}

constexpr FieldRow kSharedFields[] = {
    {"model", ReadModel},
    {"max_tokens", ReadMaxTokens},
    {"temperature", ReadTemperature},
    {"top_p", ReadTopP},
    {"seed", ReadSeed},
    {"stop", ReadStop},
    {"ignore_eos", ReadIgnoreEos},
    {"stream", ReadStream},
    {"stream_options", ReadStreamOptions},
    {"n", OnlyOne},
    {"frequency_penalty", OnlyZero},
    {"presence_penalty", OnlyZero},
    {"logit_bias", OnlyEmpty},
    {"user", Ignore},
    {"metadata", Ignore},
    {"store", Ignore},
    {"service_tier", Ignore},
    {"safety_identifier", Ignore},
    {"prompt_cache_key", Ignore},
};

constexpr FieldRow kChatFields[] = {
    {"messages", ReadMessagesField},
    {"max_completion_tokens", ReadMaxTokens},
    {"tools", ReadTools},
    {"tool_choice", OnlyModelsChoice},
    {"parallel_tool_calls", Ignore},
    {"chat_template_kwargs", ReadTemplateSwitches},
    {"logprobs", OnlyFalse},
    {"top_logprobs", OnlyZero},
    {"response_format", OnlyTextFormat},
    {"modalities", OnlyTextModality},
};

constexpr FieldRow kTextFields[] = {
    {"prompt", ReadPrompt},  {"best_of", OnlyOne},  {"echo", OnlyFalse},
    {"logprobs", OnlyFalse}, {"suffix", OnlyEmpty},
};

ReadField Find(std::span<const FieldRow> rows, const std::string& name) {
  for (const FieldRow& row : rows) {
    if (name == row.name) return row.read;
  }
  return nullptr;
}

absl::StatusOr<Draft> ReadDraft(std::string_view body, std::span<const FieldRow> own_fields) {
  SHOAL_ASSIGN_OR_RETURN(const Json request, ParseRequestJson(body));
  if (!request.is_object()) {
    return FieldError("", absl::StrCat("the body is not a JSON object but ", request.type_name()));
  }
  Draft draft;
  for (const auto& [key, value] : request.items()) {
    ReadField read = Find(kSharedFields, key);
    if (read == nullptr) read = Find(own_fields, key);
    if (read == nullptr) {
      return FieldError(key.substr(0, 64),
                        absl::StrCat("the field ", Quoted(key), " is not supported; leave it out"),
                        "unknown_parameter");
    }
    if (!value.is_null()) SHOAL_RETURN_IF_ERROR(read(key, value, &draft));
  }
  if (draft.options.model.empty()) {
    return FieldError("model", "is missing; GET /v1/models lists what is served");
  }
  if (draft.has_stream_options && !draft.options.stream) {
    return FieldError("stream_options", "is only allowed with \"stream\": true");
  }
  return draft;
}

}  // namespace

absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body) {
  SHOAL_ASSIGN_OR_RETURN(Draft draft, ReadDraft(body, kChatFields));
  if (!draft.has_messages) return FieldError("messages", "is missing");
  return ChatRequest{std::move(draft.options), std::make_shared<Json>(std::move(draft.variables))};
}

absl::StatusOr<TextRequest> ParseTextRequest(std::string_view body) {
  SHOAL_ASSIGN_OR_RETURN(Draft draft, ReadDraft(body, kTextFields));
  if (!draft.prompt.has_value()) return FieldError("prompt", "is missing");
  return TextRequest{std::move(draft.options), *std::move(draft.prompt)};
}

}  // namespace shoal
