#include "model/chat_template.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/budget.h"
#include "model/jinja/interpreter.h"
#include "model/jinja/parser.h"
#include "model/utf8.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;
using jinja::Kind;
using jinja::Text;
using jinja::Value;

absl::StatusOr<Value> StringOf(const std::string& text, bool literal) {
  if (FindInvalidUtf8(text) != std::string::npos) {
    return absl::InvalidArgumentError("a text for the template is not UTF-8");
  }
  return Value::String(Text(text, literal));
}

// Templates may write turns as <|role|>. Such a word alone can forge nothing.
bool IsRole(std::string_view name, const Json& value) {
  if (name != "role" || !value.is_string()) return false;
  const auto& role = value.get_ref<const std::string&>();
  return role == "system" || role == "user" || role == "assistant" || role == "tool";
}

absl::StatusOr<Value> ValueOf(const Json& json, bool literal, int depth) {
  if (depth > jinja::kMaxNesting) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the template's variables nest deeper than ", jinja::kMaxNesting));
  }
  switch (json.type()) {
    case Json::value_t::null:
      return Value::None();
    case Json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) {
        return absl::InvalidArgumentError("an integer for the template does not fit 64 bits");
      }
      return Value::Int(static_cast<int64_t>(json.get<uint64_t>()));
    case Json::value_t::number_integer:
      return Value::Int(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value::Float(json.get<double>());
    case Json::value_t::string:
      return StringOf(json.get_ref<const std::string&>(), literal);
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) {
        SHOAL_ASSIGN_OR_RETURN(Value value, ValueOf(item, literal, depth + 1));
        items.push_back(std::move(value));
      }
      return Value::Of(Kind::kList, std::move(items));
    }
    case Json::value_t::object: {
      jinja::Dict dict;
      for (const auto& [name, item] : json.items()) {
        SHOAL_ASSIGN_OR_RETURN(Value key, StringOf(name, literal));
        SHOAL_ASSIGN_OR_RETURN(Value value,
                               ValueOf(item, literal && !IsRole(name, item), depth + 1));
        dict.Set(std::move(key), std::move(value));
      }
      return Value::Of(std::move(dict));
    }
    default:
      return absl::InvalidArgumentError("a variable of the template is no JSON value");
  }
}

// bos_token, eos_token and their like are the model's own; all other text is a request's.
bool IsModelText(std::string_view name) {
  constexpr std::string_view kSuffix = "_token";
  return name.size() > kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix;
}

std::vector<PromptPiece> PiecesOf(const Text& text) {
  std::vector<PromptPiece> pieces;
  text.ForEachStretch([&pieces](std::string_view stretch, bool literal) {
    pieces.push_back({std::string(stretch), literal});
  });
  return pieces;
}

}  // namespace

struct ChatTemplate::Impl {
  jinja::Program program;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source) {
  auto impl = std::make_unique<Impl>();
  SHOAL_ASSIGN_OR_RETURN(impl->program, jinja::Parse(source));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

absl::StatusOr<std::vector<PromptPiece>> ChatTemplate::Render(
    const nlohmann::ordered_json& variables, absl::Time now) const {
  if (!variables.is_object()) {
    return absl::InvalidArgumentError("the template's variables must be a JSON object");
  }
  const std::vector<std::string>& names = impl_->program.symbols;
  std::vector<Value> globals(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = variables.find(names[i]);
    if (found != variables.end()) {
      SHOAL_ASSIGN_OR_RETURN(globals[i], ValueOf(*found, !IsModelText(names[i]), 0));
    } else if (names[i] == "tools" || names[i] == "documents") {
      globals[i] = Value::None();  // Always passed.
    } else if (names[i] == "add_generation_prompt") {
      globals[i] = Value::Bool(false);
    }
  }
  SHOAL_ASSIGN_OR_RETURN(const Text text, jinja::Run(impl_->program, std::move(globals), now));
  return PiecesOf(text);
}

}  // namespace shoal
