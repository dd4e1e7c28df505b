#include "router/http/api_keys.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/limits.h"

namespace shoal {
namespace {

constexpr absl::string_view kScheme = "Bearer ";  // In any case (RFC 9110, section 11.1).
constexpr std::string_view kPrefix = "sk-";
constexpr size_t kIdDigits = 16;
constexpr size_t kSecretDigits = 64;
constexpr size_t kMaxNameLength = 64;
constexpr size_t kKeyLength = kPrefix.size() + kIdDigits + 1 + kSecretDigits;

bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsName(std::string_view text) {
  const auto allowed = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxNameLength &&
         std::all_of(text.begin(), text.end(), allowed);
}

Sha256Digest HashOf(std::string_view secret) {
  return Sha256(std::as_bytes(std::span<const char>(secret.data(), secret.size())));
}

}  // namespace

absl::StatusOr<ApiKeys> ApiKeys::Parse(std::string_view text) {
  ApiKeys keys;
  int number = 0;
  const auto wrong = [&number](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", std::string(why)));
  };
  const absl::string_view all(text.data(), text.size());
  for (const absl::string_view line : absl::StrSplit(all, '\n')) {
    ++number;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty() || words[0].front() == '#') continue;
    if (words.size() != 3 || words[0].size() != kIdDigits || !IsHex(words[0]) ||
        !IsName(words[2])) {
      return wrong("is not \"<id> <SHA-256> <name>\", as `shoal key create` writes it");
    }
    const std::optional<Sha256Digest> digest = DigestFromHex(words[1]);
    if (!digest.has_value()) return wrong("the SHA-256 is not 64 hex digits");
    if (!keys.secrets_.emplace(words[0], *digest).second) return wrong("the id stands twice");
    if (keys.secrets_.size() > kMaxApiKeys) {
      return wrong(absl::StrCat("more than ", kMaxApiKeys, " keys"));
    }
  }
  if (keys.secrets_.empty()) {
    return absl::InvalidArgumentError("holds no key; `shoal key create` makes one");
  }
  return keys;
}

bool ApiKeys::Admit(std::string_view authorization) const {
  const absl::string_view field(authorization.data(), authorization.size());
  if (!absl::StartsWithIgnoreCase(field, kScheme)) return false;
  const std::string_view key = authorization.substr(kScheme.size());
  if (key.size() != kKeyLength || !key.starts_with(kPrefix) ||
      key[kPrefix.size() + kIdDigits] != '-') {
    return false;
  }
  const auto found = secrets_.find(key.substr(kPrefix.size(), kIdDigits));
  const bool known = found != secrets_.end();
  const Sha256Digest expected = known ? found->second : Sha256Digest{};
  const bool equal = EqualInConstantTime(HashOf(key.substr(kKeyLength - kSecretDigits)), expected);
  return known && equal;
}

absl::StatusOr<ApiKeys::NewKey> ApiKeys::Make(std::string_view name, Random* random) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key's name is 1 to ", kMaxNameLength, " of A-Z, a-z, 0-9, '.', '_', '-'"));
  }
  const std::string id = absl::StrFormat("%016x", random->Next64());
  Sha256Digest bytes;
  random->Fill(bytes);
  const std::string secret = ToHex(bytes);
  return NewKey{absl::StrCat(std::string(kPrefix), id, "-", secret),
                absl::StrCat(id, " ", ToHex(HashOf(secret)), " ", std::string(name), "\n")};
}

}  // namespace shoal
