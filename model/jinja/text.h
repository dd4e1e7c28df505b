#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::jinja {

// UTF-8 that remembers which of its bytes came from a request and not from the template. Every
// string operation carries the marks along.
class Text {
 public:
  // Half-open range of bytes.
  struct Span {
    size_t begin;
    size_t end;
    bool operator==(const Span&) const = default;
  };

  Text() = default;
  explicit Text(std::string bytes, bool literal = false);

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // Ascending, disjoint, none empty, no two touching.
  const std::vector<Span>& literal() const { return literal_; }
  bool IsLiteralAt(size_t pos) const;

  void Append(const Text& other);
  void Append(std::string_view bytes, bool literal = false);
  // Bytes [begin, end), which must lie inside and between characters.
  Text Slice(size_t begin, size_t end) const;

  // Calls fn(stretch, literal) for the stretches of one kind, in order.
  template <typename Fn>
  void ForEachStretch(Fn fn) const {
    size_t pos = 0;
    for (const Span& span : literal_) {
      if (span.begin > pos) fn(view().substr(pos, span.begin - pos), false);
      fn(view().substr(span.begin, span.end - span.begin), true);
      pos = span.end;
    }
    if (pos < size()) fn(view().substr(pos), false);
  }

 private:
  void Mark(size_t begin, size_t end);

  std::string bytes_;
  std::vector<Span> literal_;
};

}  // namespace shoal::jinja
