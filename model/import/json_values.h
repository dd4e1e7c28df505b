#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// A JSON object from outside as a flat list of its values by path: "rope_scaling.factor",
// "architectures.0". Refused: more than `max_values` values, more than 8 levels, a path that stands
// twice, what is no JSON in UTF-8. Errors name the file, the key and what to do.
class JsonValues {
 public:
  static absl::StatusOr<JsonValues> Open(const std::string& path, size_t max_bytes,
                                         size_t max_values);
  static absl::StatusOr<JsonValues> Parse(std::string name, std::string_view text,
                                          size_t max_values);

  // True if the key is there and not null. Objects and arrays are there under their own path too.
  bool Has(std::string_view key) const;
  // True if the key is there, null or not.
  bool Mentions(std::string_view key) const { return values_.find(key) != values_.end(); }
  // NotFound when the key is absent or null, InvalidArgument when it has another type.
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;  // Integers too; finite.
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string> GetString(std::string_view key) const;
  // The values inside the object `key`, by their paths in it; all must be strings.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> GetTexts(
      std::string_view key) const;
  // The names in the file's own object, ascending, those of null among them.
  std::vector<std::string> Names() const;
  // The same for the object `key`; empty where there is none.
  std::vector<std::string> Names(std::string_view key) const;
  // How many elements the list `key` has; 0 where there is none.
  uint64_t Length(std::string_view key) const;
  // The object `key` as if it were a file, with those of the file's own values for `outer` that are
  // there in place of the object's. Its name says which object it is.
  JsonValues Inside(std::string_view key, std::span<const std::string_view> outer) const;
  // The value as an error text may show it.
  std::string Text(std::string_view key) const;

  const std::string& name() const { return name_; }

 private:
  friend class JsonFlattener;
  enum class Kind : uint8_t { kNull, kBool, kUint, kFloat, kString, kObject, kArray };
  struct Value {
    Kind kind = Kind::kNull;
    uint64_t uint = 0;
    double number = 0;      // Of kUint and kFloat.
    std::string text = {};  // Of kString.
  };

  explicit JsonValues(std::string name) : name_(std::move(name)) {}
  const Value* Find(std::string_view key) const;
  std::vector<std::string> NamesUnder(const std::string& prefix) const;
  absl::StatusOr<const Value*> Require(std::string_view key, Kind kind,
                                       std::string_view what) const;

  std::string name_;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace shoal
