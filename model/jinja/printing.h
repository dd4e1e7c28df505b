#pragma once

#include <string>

#include "absl/status/status.h"
#include "model/jinja/value.h"

namespace shoal::jinja {

// Shortest text that reads back as `d`, as Python's repr writes it: 1.0, 1e-05, inf.
std::string FloatText(double d);

// What printing a value gives, Python's str(). Unimplemented for values that Python prints with
// their address. Callers charge the value's weight first; the output is proportional to it.
absl::Status AppendStr(const Value& value, Text* out);
// Python's repr(), as inside a printed list.
absl::Status AppendRepr(const Value& value, Text* out);

// Options of Python's json.dumps.
struct JsonStyle {
  bool indented = false;
  std::string indent;  // One level of it.
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// json.dumps. InvalidArgument for what JSON cannot hold.
absl::Status AppendJson(const Value& value, const JsonStyle& style, Text* out);

}  // namespace shoal::jinja
