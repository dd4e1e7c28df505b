#include "model/jinja/printing.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "model/utf8.h"

namespace shoal::jinja {
namespace {

// Whether Python's repr shows the character itself.
bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string ReprOfCharacter(char32_t c, char quote) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c == '\\' || c == static_cast<char32_t>(quote)) return {'\\', static_cast<char>(c)};
  if (!IsPrintable(c)) {
    if (c < 0x100) return absl::StrFormat("\\x%02x", static_cast<uint32_t>(c));
    if (c < 0x10000) return absl::StrFormat("\\u%04x", static_cast<uint32_t>(c));
    return absl::StrFormat("\\U%08x", static_cast<uint32_t>(c));
  }
  std::string out;
  AppendUtf8(c, &out);
  return out;
}

std::string JsonOfCharacter(char32_t c, bool ensure_ascii) {
  if (c == '"') return "\\\"";
  if (c == '\\') return "\\\\";
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c == '\f') return "\\f";
  if (c == '\b') return "\\b";
  if (c < 0x20 || (ensure_ascii && c > 0x7E && c < 0x10000)) {
    return absl::StrFormat("\\u%04x", static_cast<uint32_t>(c));
  }
  if (ensure_ascii && c >= 0x10000) {
    const auto rest = static_cast<uint32_t>(c) - 0x10000;
    return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  }
  std::string out;
  AppendUtf8(c, &out);
  return out;
}

// Appends `text` between quotes, each character through `escape`, marks kept.
template <typename Escape>
void AppendQuoted(const Text& text, char quote, Escape escape, Text* out) {
  out->Append(std::string_view(&quote, 1));
  text.ForEachStretch([&](std::string_view stretch, bool literal) {
    std::string escaped;
    for (size_t pos = 0; pos < stretch.size();) {
      const Utf8Step step = ReadUtf8(stretch, pos);
      escaped += escape(step.code_point);
      pos += step.length;
    }
    out->Append(escaped, literal);
  });
  out->Append(std::string_view(&quote, 1));
}

absl::Status AppendReprItems(const Value& value, Text* out) {
  const bool list = value.is(Kind::kList);
  const std::vector<Value>& items = value.sequence().items;
  out->Append(list ? "[" : "(");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->Append(", ");
    SHOAL_RETURN_IF_ERROR(AppendRepr(items[i], out));
  }
  out->Append(list ? "]" : items.size() == 1 ? ",)" : ")");
  return absl::OkStatus();
}

absl::Status AppendReprDict(const Dict& dict, Text* out) {
  out->Append("{");
  bool first = true;
  for (const auto& [key, value] : dict.items) {
    if (!first) out->Append(", ");
    first = false;
    SHOAL_RETURN_IF_ERROR(AppendRepr(key, out));
    out->Append(": ");
    SHOAL_RETURN_IF_ERROR(AppendRepr(value, out));
  }
  out->Append("}");
  return absl::OkStatus();
}

// Writes one value as JSON; `level` is how deep it lies.
class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, Text* out) : style_(style), out_(out) {}

  absl::Status Print(const Value& value, int level) {
    switch (value.kind()) {
      case Kind::kNone:
        out_->Append("null");
        return absl::OkStatus();
      case Kind::kBool:
        out_->Append(value.as_bool() ? "true" : "false");
        return absl::OkStatus();
      case Kind::kInt:
        out_->Append(std::to_string(value.as_int()));
        return absl::OkStatus();
      case Kind::kFloat:
        out_->Append(Number(value.as_float()));
        return absl::OkStatus();
      case Kind::kString:
      case Kind::kMarkup:
        PrintString(value.text());
        return absl::OkStatus();
      case Kind::kList:
      case Kind::kTuple:
        return PrintList(value.sequence().items, level);
      case Kind::kDict:
        return PrintDict(value.dict(), level);
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("a value of type ", value.TypeName(), " cannot be written as JSON"));
    }
  }

 private:
  static std::string Number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
    return FloatText(d);
  }

  void PrintString(const Text& text) {
    const bool ascii = style_.ensure_ascii;
    AppendQuoted(
        text, '"', [ascii](char32_t c) { return JsonOfCharacter(c, ascii); }, out_);
  }

  void NewLine(int level) {
    if (!style_.indented) return;
    out_->Append("\n");
    for (int i = 0; i < level; ++i) out_->Append(style_.indent);
  }

  absl::Status PrintList(const std::vector<Value>& items, int level) {
    out_->Append("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_->Append(style_.item_separator);
      NewLine(level + 1);
      SHOAL_RETURN_IF_ERROR(Print(items[i], level + 1));
    }
    if (!items.empty()) NewLine(level);
    out_->Append("]");
    return absl::OkStatus();
  }

  absl::Status PrintKey(const Value& key) {
    if (key.is_string()) return Print(key, 0);
    out_->Append("\"");  // Numbers, booleans and None become strings.
    SHOAL_RETURN_IF_ERROR(Print(key, 0));
    out_->Append("\"");
    return absl::OkStatus();
  }

  absl::Status PrintDict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> items;
    items.reserve(dict.items.size());
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      for (const auto* item : items) {
        if (!item->first.is_string()) {
          return absl::UnimplementedError("tojson(sort_keys=true) sorts string keys only");
        }
      }
      std::stable_sort(items.begin(), items.end(), [](const auto* a, const auto* b) {
        return a->first.str() < b->first.str();
      });
    }
    out_->Append("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_->Append(style_.item_separator);
      NewLine(level + 1);
      SHOAL_RETURN_IF_ERROR(PrintKey(items[i]->first));
      out_->Append(style_.key_separator);
      SHOAL_RETURN_IF_ERROR(Print(items[i]->second, level + 1));
    }
    if (!items.empty()) NewLine(level);
    out_->Append("}");
    return absl::OkStatus();
  }

  const JsonStyle& style_;
  Text* out_;
};

}  // namespace

std::string FloatText(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto written =
      std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific);
  std::string text(buffer, written.ptr);
  const size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  // Python writes an exponent below 1e-4 and from 1e16 on, with two digits at least.
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::fixed);
  text.assign(buffer, fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

absl::Status AppendStr(const Value& value, Text* out) {
  if (value.is_undefined()) return absl::OkStatus();
  if (value.is_string()) {
    out->Append(value.text());
    return absl::OkStatus();
  }
  return AppendRepr(value, out);
}

absl::Status AppendRepr(const Value& value, Text* out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      out->Append("Undefined");
      return absl::OkStatus();
    case Kind::kNone:
      out->Append("None");
      return absl::OkStatus();
    case Kind::kBool:
      out->Append(value.as_bool() ? "True" : "False");
      return absl::OkStatus();
    case Kind::kInt:
      out->Append(std::to_string(value.as_int()));
      return absl::OkStatus();
    case Kind::kFloat:
      out->Append(FloatText(value.as_float()));
      return absl::OkStatus();
    case Kind::kString: {
      const bool doubled = value.str().find('\'') != std::string_view::npos &&
                           value.str().find('"') == std::string_view::npos;
      const char quote = doubled ? '"' : '\'';
      AppendQuoted(
          value.text(), quote, [quote](char32_t c) { return ReprOfCharacter(c, quote); }, out);
      return absl::OkStatus();
    }
    case Kind::kList:
    case Kind::kTuple:
      return AppendReprItems(value, out);
    case Kind::kDict:
      return AppendReprDict(value.dict(), out);
    default:
      return absl::UnimplementedError(
          absl::StrCat("a value of type ", value.TypeName(), " has no text to print"));
  }
}

absl::Status AppendJson(const Value& value, const JsonStyle& style, Text* out) {
  return JsonPrinter(style, out).Print(value, 0);
}

}  // namespace shoal::jinja
