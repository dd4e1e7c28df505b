#include "model/import/json_values.h"

#include <cmath>
#include <memory>
#include <optional>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr size_t kMaxDepth = 8;
constexpr char kDamaged[] = "; the file is damaged: fetch it again";

}  // namespace

// Builds the list from the parser's events: no tree is ever in memory.
class JsonFlattener final : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonFlattener(JsonValues* values, size_t max_values)
      : values_(*values), max_values_(max_values) {}

  bool null() override { return Add({}); }
  bool boolean(bool value) override { return Add({.kind = Kind::kBool, .uint = value}); }
  bool number_integer(number_integer_t value) override {
    return Add({.kind = Kind::kFloat, .number = static_cast<double>(value)});
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Add({.kind = Kind::kUint, .uint = value, .number = static_cast<double>(value)});
  }
  bool number_float(number_float_t value, const string_t&) override {
    return Add({.kind = Kind::kFloat, .number = value});
  }
  bool string(string_t& value) override {
    return Add({.kind = Kind::kString, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return Refuse("is not JSON"); }
  bool start_object(size_t) override { return Open(Kind::kObject); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Kind::kArray); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  // The library's own text quotes the file, so only the place is passed on.
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Refuse(absl::StrCat("is not JSON in UTF-8: error at byte ", position));
  }

  const absl::Status& status() const { return status_; }

 private:
  using Kind = JsonValues::Kind;
  struct Container {
    Kind kind;
    size_t prefix;  // Bytes of path_ before its members' names.
    std::string key;
    uint64_t n_elements = 0;
  };

  bool Refuse(std::string_view message) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat(values_.name_, ": ", std::string(message), kDamaged));
    }
    return false;
  }

  // The path of the value that comes now.
  void Step() {
    Container& parent = open_.back();
    path_.resize(parent.prefix);
    if (!path_.empty()) path_ += '.';
    if (parent.kind == Kind::kArray) {
      absl::StrAppend(&path_, parent.n_elements++);
    } else {
      path_ += parent.key;
    }
  }

  bool Add(JsonValues::Value value) {
    if (open_.empty()) return Refuse("holds no JSON object");
    Step();
    if (values_.values_.size() >= max_values_) {
      return Refuse(absl::StrCat("has more than ", max_values_, " values"));
    }
    if (values_.values_.emplace(path_, std::move(value)).second) return true;
    return Refuse(absl::StrCat("the key ", Quoted(path_), " stands twice"));
  }

  bool Open(Kind kind) {
    if (open_.size() >= kMaxDepth) {
      return Refuse(absl::StrCat("nests deeper than ", kMaxDepth, " levels"));
    }
    if (open_.empty()) {
      if (kind != Kind::kObject) return Refuse("holds no JSON object");
    } else if (!Add({.kind = kind})) {
      return false;
    }
    open_.push_back({.kind = kind, .prefix = path_.size(), .key = {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  JsonValues& values_;
  const size_t max_values_;
  std::string path_;
  std::vector<Container> open_;
  absl::Status status_;
};

absl::StatusOr<JsonValues> JsonValues::Parse(std::string name, std::string_view text,
                                             size_t max_values) {
  JsonValues values(std::move(name));
  JsonFlattener flattener(&values, max_values);
  nlohmann::json::sax_parse(text, &flattener);
  if (!flattener.status().ok()) return flattener.status();
  return values;
}

absl::StatusOr<JsonValues> JsonValues::Open(const std::string& path, size_t max_bytes,
                                            size_t max_values) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, max_bytes));
  return Parse(path, text, max_values);
}

const JsonValues::Value* JsonValues::Find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() || found->second.kind == Kind::kNull ? nullptr : &found->second;
}

bool JsonValues::Has(std::string_view key) const { return Find(key) != nullptr; }

absl::StatusOr<const JsonValues::Value*> JsonValues::Require(std::string_view key, Kind kind,
                                                             std::string_view what) const {
  const Value* value = Find(key);
  if (value == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(name_, ": key ", Quoted(key), " is missing; fetch the model again"));
  }
  const bool fits = value->kind == kind || (kind == Kind::kFloat && value->kind == Kind::kUint);
  if (fits) return value;
  return absl::InvalidArgumentError(absl::StrCat(name_, ": key ", Quoted(key), " is ", Text(key),
                                                 ", not ", std::string(what), kDamaged));
}

absl::StatusOr<uint64_t> JsonValues::GetUint(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const Value* value, Require(key, Kind::kUint, "an integer from 0 up"));
  return value->uint;
}

absl::StatusOr<double> JsonValues::GetFloat(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const Value* value, Require(key, Kind::kFloat, "a number"));
  return value->number;
}

absl::StatusOr<bool> JsonValues::GetBool(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const Value* value, Require(key, Kind::kBool, "true or false"));
  return value->uint != 0;
}

absl::StatusOr<std::string> JsonValues::GetString(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const Value* value, Require(key, Kind::kString, "a text"));
  return value->text;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> JsonValues::GetTexts(
    std::string_view key) const {
  SHOAL_RETURN_IF_ERROR(Require(key, Kind::kObject, "an object").status());
  const std::string prefix = absl::StrCat(std::string(key), ".");
  std::vector<std::pair<std::string, std::string>> texts;
  for (auto i = values_.lower_bound(prefix); i != values_.end() && i->first.starts_with(prefix);
       ++i) {
    SHOAL_RETURN_IF_ERROR(Require(i->first, Kind::kString, "a text").status());
    texts.emplace_back(i->first.substr(prefix.size()), i->second.text);
  }
  return texts;
}

std::vector<std::string> JsonValues::Names() const { return NamesUnder(""); }

std::vector<std::string> JsonValues::Names(std::string_view key) const {
  return NamesUnder(absl::StrCat(std::string(key), "."));
}

std::vector<std::string> JsonValues::NamesUnder(const std::string& prefix) const {
  std::vector<std::string> names;
  for (auto i = values_.lower_bound(prefix); i != values_.end() && i->first.starts_with(prefix);
       ++i) {
    const std::string name = i->first.substr(prefix.size());
    if (name.find('.') == std::string::npos) names.push_back(name);
  }
  return names;
}

JsonValues JsonValues::Inside(std::string_view key, std::span<const std::string_view> outer) const {
  JsonValues inside(absl::StrCat(name_, ", object ", Quoted(key)));
  const auto copy = [&](const std::string& prefix, size_t n_cut) {
    for (auto i = values_.lower_bound(prefix); i != values_.end() && i->first.starts_with(prefix);
         ++i) {
      inside.values_.insert_or_assign(i->first.substr(n_cut), i->second);
    }
  };
  const std::string prefix = absl::StrCat(std::string(key), ".");
  copy(prefix, prefix.size());
  for (const std::string_view name : outer) {
    const auto value = values_.find(name);
    if (value == values_.end()) continue;
    inside.values_.insert_or_assign(value->first, value->second);
    copy(absl::StrCat(std::string(name), "."), 0);
  }
  return inside;
}

uint64_t JsonValues::Length(std::string_view key) const {
  const Value* value = Find(key);
  return value != nullptr && value->kind == Kind::kArray ? Names(key).size() : 0;
}

std::string JsonValues::Text(std::string_view key) const {
  const Value* value = Find(key);
  if (value == nullptr) return "null";
  switch (value->kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return value->uint != 0 ? "true" : "false";
    case Kind::kUint:
      return absl::StrCat(value->uint);
    case Kind::kFloat:
      return absl::StrCat(value->number);
    case Kind::kString:
      return Quoted(value->text);
    case Kind::kObject:
      return "an object";
    case Kind::kArray:
      return "a list";
  }
  return "?";
}

}  // namespace shoal
