#include "router/http/request_json.h"

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

// Builds the document from the parser's events, and refuses what a request may not hold.
class StrictBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Place(Json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return Place(Json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return Place(Json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Place(Json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return Place(Json(value)) != nullptr;
  }
  bool string(string_t& value) override { return Place(Json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return Refuse("the body is not JSON"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second) {
      return Refuse(absl::StrCat("the key ", Quoted(name), " stands twice in one object"));
    }
    key_ = std::move(name);
    return true;
  }

  // The library's own text may quote the body, so only the place is passed on.
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Refuse(absl::StrCat("the body is not JSON in UTF-8: error at byte ", position));
  }

  absl::Status status() const { return status_; }
  Json Take() { return std::move(root_); }

 private:
  struct Container {
    Json* value;
    std::unordered_set<std::string> keys;
  };

  bool Refuse(std::string message) {
    if (status_.ok()) status_ = FieldError("", message);
    return false;
  }

  // Puts `value` where the parser stands. Earlier siblings may move; open parents do not.
  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      auto& elements = parent.get_ref<Json::array_t&>();
      elements.push_back(std::move(value));
      return &elements.back();
    }
    // The set of keys has ruled out duplicates; the map's own insertion would search once more.
    Json::object_t::Container& members = parent.get_ref<Json::object_t&>();
    members.emplace_back(std::move(key_), std::move(value));
    return &members.back().second;
  }

  bool Open(Json container) {
    if (open_.size() >= kMaxJsonDepth) {
      return Refuse(absl::StrCat("the body nests deeper than ", kMaxJsonDepth, " levels"));
    }
    if (++n_containers_ > kMaxJsonContainers) {
      return Refuse(
          absl::StrCat("the body has more than ", kMaxJsonContainers, " objects and arrays"));
    }
    open_.push_back({Place(std::move(container)), {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Container> open_;
  std::string key_;
  int n_containers_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Json> ParseRequestJson(std::string_view text) {
  StrictBuilder builder;
  const bool ok = Json::sax_parse(text, &builder);
  if (!builder.status().ok()) return builder.status();
  if (!ok) return FieldError("", "the body is not JSON");
  return builder.Take();
}

}  // namespace shoal
