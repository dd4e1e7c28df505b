#include "model/import/hf_json.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;

}  // namespace

absl::StatusOr<Json> ParseObject(std::string_view text, const char* file) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep || !json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": is no JSON object, or nests deeper than ", kMaxDepth));
  }
  return json;
}

const Json& Member(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

bool Flag(const Json& object, const char* name, bool otherwise) {
  const Json& value = Member(object, name);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::string Text(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  return value.is_string() ? value.get<std::string>() : "";
}

std::vector<const Json*> Parts(const Json& part, const char* members) {
  std::vector<const Json*> out;
  if (part.is_null()) return out;
  if (Text(part, "type") != "Sequence") return {&part};
  for (const Json& each : Member(part, members)) {
    const auto inner = Parts(each, members);
    out.insert(out.end(), inner.begin(), inner.end());
  }
  return out;
}

absl::Status RefuseTokenizer(const std::string& what) {
  return absl::InvalidArgumentError("tokenizer.json: " + what + "; download the model again");
}

absl::Status UnknownInTokenizer(const std::string& what) {
  return absl::UnimplementedError("tokenizer.json: " + what + " is not known");
}

}  // namespace shoal
