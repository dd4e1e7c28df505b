#include "model/jinja/text.h"

#include <algorithm>
#include <utility>

namespace shoal::jinja {

Text::Text(std::string bytes, bool literal) : bytes_(std::move(bytes)) {
  if (literal) Mark(0, bytes_.size());
}

bool Text::IsLiteralAt(size_t pos) const {
  const auto after = std::upper_bound(literal_.begin(), literal_.end(), pos,
                                      [](size_t p, const Span& span) { return p < span.end; });
  return after != literal_.end() && after->begin <= pos;
}

void Text::Mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!literal_.empty() && literal_.back().end == begin) {
    literal_.back().end = end;
  } else {
    literal_.push_back({begin, end});
  }
}

void Text::Append(const Text& other) {
  const size_t base = bytes_.size();
  const std::vector<Span> spans = other.literal_;  // A copy: `other` may be this.
  bytes_ += other.bytes_;
  for (const Span& span : spans) Mark(base + span.begin, base + span.end);
}

void Text::Append(std::string_view bytes, bool literal) {
  bytes_ += bytes;
  if (literal) Mark(bytes_.size() - bytes.size(), bytes_.size());
}

Text Text::Slice(size_t begin, size_t end) const {
  Text out(bytes_.substr(begin, end - begin));
  auto span = std::upper_bound(literal_.begin(), literal_.end(), begin,
                               [](size_t p, const Span& s) { return p < s.end; });
  for (; span != literal_.end() && span->begin < end; ++span) {
    out.Mark(std::max(span->begin, begin) - begin, std::min(span->end, end) - begin);
  }
  return out;
}

}  // namespace shoal::jinja
