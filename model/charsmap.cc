#include "model/charsmap.h"

#include <utf8proc.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/utf8.h"

namespace shoal {
namespace {

constexpr size_t kMaxReplacement = 256;  // Unicode's longest has 33 bytes.
constexpr size_t kMaxMappedCluster = 6;  // Longer ones are mapped character by character.

// Parts of a trie's unit, as the darts-clone library packs them.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t Label(uint32_t unit) { return unit & (uint32_t{1} << 31 | 0xFF); }
uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t Offset(uint32_t unit) { return unit >> 10 << ((unit & 1 << 9) >> 6); }

absl::Status Refuse(const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("precompiled_charsmap: ", what, "; download the model again"));
}

}  // namespace

absl::StatusOr<Charsmap> Charsmap::Parse(std::string_view blob) {
  Charsmap map;
  if (blob.empty()) return map;
  uint32_t n_bytes = 0;
  if (blob.size() < sizeof n_bytes) return Refuse("is too short");
  std::memcpy(&n_bytes, blob.data(), sizeof n_bytes);
  blob.remove_prefix(sizeof n_bytes);
  if (n_bytes == 0 || n_bytes % 4 != 0 || n_bytes > blob.size()) {
    return Refuse(absl::StrCat("its trie of ", n_bytes, " bytes is not whole"));
  }
  map.units_.resize(n_bytes / 4);
  std::memcpy(map.units_.data(), blob.data(), n_bytes);
  map.texts_ = std::string(blob.substr(n_bytes));
  if (map.texts_.empty() || map.texts_.back() != '\0') return Refuse("its texts do not end");
  if (FindInvalidUtf8(map.texts_) != std::string::npos) return Refuse("its texts are not UTF-8");
  for (size_t pos = 0; pos < map.texts_.size();) {
    const size_t end = map.texts_.find('\0', pos);
    if (end - pos > kMaxReplacement) {
      return Refuse(
          absl::StrCat("a text of ", end - pos, " bytes; at most ", kMaxReplacement, " are known"));
    }
    pos = end + 1;
  }
  return map;
}

Charsmap::Match Charsmap::Find(std::string_view text, bool longest) const {
  Match match;
  uint32_t node = Offset(units_[0]);
  for (size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size() || Label(units_[node]) != byte) break;
    const bool leaf = HasLeaf(units_[node]);
    node ^= Offset(units_[node]);
    if (!leaf) continue;
    if (node >= units_.size()) break;
    const uint32_t at = Value(units_[node]);
    // Not inside a character of the texts.
    if (at >= texts_.size() || (static_cast<uint8_t>(texts_[at]) & 0xC0) == 0x80) break;
    match = {std::string_view(texts_.data() + at), i + 1};
    if (!longest) break;
  }
  return match;
}

// Takes Hugging Face's tokenizers at their word: what an entry maps stands for all of `cluster`.
void Charsmap::MapCluster(std::string_view cluster, std::string* out) const {
  if (cluster.size() < kMaxMappedCluster) {
    const Match match = Find(cluster, /*longest=*/false);
    if (match.length > 0) {
      out->append(match.replacement);
      return;
    }
  }
  for (size_t pos = 0; pos < cluster.size();) {
    const size_t length = ReadUtf8(cluster, pos).length;
    const std::string_view character = cluster.substr(pos, length);
    const Match match = Find(character, /*longest=*/false);
    out->append(match.length > 0 ? match.replacement : character);
    pos += length;
  }
}

std::string Charsmap::Map(std::string_view text, bool clusters) const {
  std::string out;
  if (empty()) return std::string(text);
  out.reserve(text.size());
  size_t begin = 0;  // Of the cluster.
  utf8proc_int32_t state = 0;
  for (size_t pos = 0; pos < text.size();) {
    if (!clusters) {
      const Match match = Find(text.substr(pos), /*longest=*/true);
      const size_t length = match.length > 0 ? match.length : ReadUtf8(text, pos).length;
      out.append(match.length > 0 ? match.replacement : text.substr(pos, length));
      pos += length;
      continue;
    }
    const Utf8Step step = ReadUtf8(text, pos);
    pos += step.length;
    const bool end = pos == text.size() ||
                     utf8proc_grapheme_break_stateful(
                         static_cast<utf8proc_int32_t>(step.code_point),
                         static_cast<utf8proc_int32_t>(ReadUtf8(text, pos).code_point), &state);
    if (!end) continue;
    MapCluster(text.substr(begin, pos - begin), &out);
    begin = pos;
  }
  return out;
}

}  // namespace shoal
