#include "model/special_tokens.h"

#include <algorithm>
#include <tuple>

namespace shoal {

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenType type = vocabulary.types[id];
    const bool user_defined = type == TokenType::kUserDefined;
    if (!user_defined && type != TokenType::kControl && type != TokenType::kUnknown) continue;
    const std::string_view text = vocabulary.tokens[id];
    if (text.empty()) continue;
    entries_.push_back({text, static_cast<int32_t>(id), user_defined,
                        vocabulary.strips.empty() ? uint8_t{0} : vocabulary.strips[id]});
    starts_[static_cast<uint8_t>(text[0])] = true;
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.text, a.id) < std::tie(b.text, b.id);
  });
}

SpecialTokens::Match SpecialTokens::At(std::string_view text, size_t pos,
                                       size_t control_end) const {
  Match best{.pos = pos};
  auto low = entries_.begin();
  auto high = entries_.end();
  // The range [low, high) always holds the tokens that begin with text[pos, pos + length).
  for (size_t length = 0; low != high && pos + length < text.size();) {
    const char next = text[pos + length];
    const auto byte_at = [length](const Entry& entry) {
      return entry.text.size() > length ? static_cast<uint8_t>(entry.text[length]) : -1;
    };
    const int want = static_cast<uint8_t>(next);
    low = std::partition_point(low, high, [&](const Entry& e) { return byte_at(e) < want; });
    high = std::partition_point(low, high, [&](const Entry& e) { return byte_at(e) <= want; });
    ++length;
    if (low == high || low->text.size() != length) continue;
    if (low->user_defined || pos + length <= control_end)
      best = {pos, length, low->id, low->strips};
  }
  return best;
}

}  // namespace shoal
