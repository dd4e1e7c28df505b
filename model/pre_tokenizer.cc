#include "model/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/ascii_splitter.h"
#include "model/unicode_classes.h"

namespace shoal {
namespace {

// The patterns are written as tokenizer.json has them, and translated when compiled.
using Patterns = std::vector<std::string>;

constexpr char kGpt2[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Contractions, a word with one character before it, numbers, symbols and spaces.
std::string Cl100k(const std::string& word, const std::string& number, const std::string& symbol) {
  return absl::StrCat(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?)", word, "|", number,
                      "| ?", symbol, R"(+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
}

// Words are cut where case changes; `contraction` may end them, `line_end` symbols.
std::string O200k(const std::string& filter, const std::string& contraction,
                  const std::string& number, const std::string& line_end) {
  const std::string upper = absl::StrCat(R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M})", filter, "]");
  const std::string lower = absl::StrCat(R"([\p{Ll}\p{Lm}\p{Lo}\p{M})", filter, "]");
  const std::string before = R"([^\r\n\p{L}\p{N}]?)";
  return absl::StrCat(before, upper, "*", lower, "+", contraction, "|", before, upper, "+", lower,
                      "*", contraction, "|", number, R"(| ?[^\s\p{L}\p{N}]+)", line_end,
                      R"(*|\s*[\r\n]+|\s+(?!\S)|\s+)");
}

// One kind of pre-tokenizer, by the names GGUF files give it. Patterns apply one after the other,
// each to the pieces the one before left; what no pattern matches is a piece too.
struct Kind {
  std::vector<std::string_view> names;
  bool nfc;
  bool ignore_merges;
  Patterns patterns;
  std::vector<AsciiRule> rules;  // One for each pattern; or empty: none is known.
};

constexpr AsciiRule kGpt2Rule = {.shape = AsciiRule::Shape::kGpt2};
constexpr AsciiRule kWideRule = {.shape = AsciiRule::Shape::kWide};
constexpr AsciiRule kDeepSeekRule = {.shape = AsciiRule::Shape::kDeepSeek};

constexpr AsciiRule Cl100kRule(int max_digits) {
  return {.shape = AsciiRule::Shape::kCl100k, .max_digits = max_digits};
}

constexpr AsciiRule DigitsRule(int max_digits) {
  return {.shape = AsciiRule::Shape::kDigits, .max_digits = max_digits};
}

constexpr AsciiRule O200kRule(int max_digits, bool contractions, bool slashes) {
  return {.shape = AsciiRule::Shape::kO200k,
          .max_digits = max_digits,
          .contractions = contractions,
          .slashes = slashes};
}

const std::vector<Kind>& Kinds() {
  const std::string symbol = R"([^\s\p{L}\p{N}])";
  const std::string contraction = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)";
  const std::string cjk = "[一-龥ࠀ-一가-퟿]+";
  static const auto& kinds = *new std::vector<Kind>{
      {{"gpt-2", "default", "phi-2", "mpt", "olmo", "exaone4", "trillion", "granite-docling"},
       false,
       false,
       {kGpt2},
       {kGpt2Rule}},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"},
       true,
       false,
       {Cl100k(R"(\p{L}+)", R"(\p{N})", symbol)},
       {Cl100kRule(1)}},
      {{"grok-2", "solar-open"},
       false,
       false,
       {Cl100k(R"(\p{L}+)", R"(\p{N})", symbol)},
       {Cl100kRule(1)}},
      {{"qwen35"},
       true,
       false,
       {Cl100k(R"([\p{L}\p{M}]+)", R"(\p{N})", R"([^\s\p{L}\p{M}\p{N}])")},
       {Cl100kRule(1)}},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2"},
       false,
       true,
       {Cl100k(R"(\p{L}+)", R"(\p{N}{1,3})", symbol)},
       {Cl100kRule(3)}},
      {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"},
       false,
       false,
       {Cl100k(R"(\p{L}+)", R"(\p{N}{1,3})", symbol)},
       {Cl100kRule(3)}},
      {{"gpt-4o", "llama4", "kanana2", "minimax-m2"},
       false,
       true,
       {O200k("", contraction, R"(\p{N}{1,3})", R"([\r\n/])")},
       {O200kRule(3, true, true)}},
      {{"tekken"},
       false,
       true,
       {O200k("", "", R"(\p{N})", R"([\r\n/])")},
       {O200kRule(1, false, true)}},
      {{"kimi-k2"},
       false,
       false,
       {absl::StrCat(R"([\p{Han}]+|)",
                     O200k(R"(&&[^\p{Han}])", contraction, R"(\p{N}{1,3})", R"([\r\n])"))},
       {O200kRule(3, true, false)}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm"},
       false,
       false,
       {R"(\p{N}{1,3})", "[一-龥\u3040-ゟ゠-ヿ]+",
        R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
        R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
       {DigitsRule(3), kWideRule, kDeepSeekRule}},
      {{"deepseek-coder"},
       false,
       false,
       {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", cjk, R"(\p{N})"},
       {}},
      {{"deepseek-llm"},
       false,
       false,
       {R"([\r\n])",
        R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ)"
        "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-"
        "\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-"
        "\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-"
        "\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-"
        "\u2149\u214e\u2183\u2184"
        R"(Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)",
        R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"(\s+$)", cjk, R"(\p{N})"},
       {}},
      {{"smollm", "starcoder", "refact", "codeshell", "minerva-7b"},
       false,
       false,
       {R"(\p{N})", kGpt2},
       {DigitsRule(1), kGpt2Rule}},
      {{"command-r", "exaone"}, true, false, {R"(\p{N})", kGpt2}, {DigitsRule(1), kGpt2Rule}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"},
       false,
       false,
       {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
        R"(|\s*[\r\n]|\s+(?!\S)|\s+)"},
       {}},
  };
  return kinds;
}

// `pattern` in PCRE2's syntax: categories and white space as UnicodeClass has them, and no
// intersection of classes, of which only the one without Han occurs.
std::string Translate(std::string_view pattern) {
  constexpr std::string_view kNotHan = R"(&&[^\p{Han}])";
  std::string out;
  bool in_class = false;
  bool without_han = false;
  const auto put = [&](std::string_view open, std::string_view body) {
    if (!in_class) out += open;
    out += body;
    if (!in_class) out += "]";
  };
  for (size_t pos = 0; pos < pattern.size();) {
    const std::string_view rest = pattern.substr(pos);
    if (rest.starts_with(R"(\p{)")) {
      const std::string_view name = rest.substr(3, rest.find('}') - 3);
      put("[", without_han ? UnicodeClassWithoutHan(name) : UnicodeClass(name));
      pos += name.size() + 4;
    } else if (in_class && rest.starts_with(kNotHan)) {
      pos += kNotHan.size();
    } else if (rest[0] == '\\') {
      if (rest[1] == 's') {
        put("[", kUnicodeSpace);
      } else if (rest[1] == 'S') {
        put("[^", kUnicodeSpace);
      } else {
        out += rest.substr(0, 2);
      }
      pos += 2;
    } else {
      if (rest[0] == '[' && !in_class) {
        in_class = true;
        const size_t not_han = rest.find(kNotHan);
        without_han = not_han != rest.npos && not_han < rest.find(']');
      } else if (rest[0] == ']') {
        in_class = false;
      }
      out += rest[0];
      ++pos;
    }
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatch>;

std::string ErrorText(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

absl::StatusOr<Code> Compile(std::string_view pattern) {
  const std::string full = Translate(pattern);
  int error = 0;
  size_t offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(full.data()), full.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (code == nullptr) {
    return absl::InternalError(
        absl::StrCat("pre-tokenizer pattern does not compile at ", offset, ": ", ErrorText(error)));
  }
  // Without a just-in-time compiler the same matches come out, only slower.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

absl::StatusOr<const Kind*> FindKind(std::string_view name) {
  std::string known;
  for (const Kind& kind : Kinds()) {
    for (const std::string_view each : kind.names) {
      if (each == name) return &kind;
      if (!known.empty()) known += ", ";
      known += each;
    }
  }
  return absl::UnimplementedError(absl::StrCat("tokenizer.ggml.pre=\"", std::string(name),
                                               "\" is not a known pre-tokenizer; known: ", known));
}

}  // namespace

struct PreTokenizer::Impl {
  std::vector<Code> codes;
  std::vector<AsciiRule> rules;  // One for each.

  // matches: one for each of `codes`.
  absl::Status Split(size_t level, std::string_view text, const std::vector<MatchData>& matches,
                     absl::FunctionRef<void(std::string_view)> emit) const {
    if (text.empty()) return absl::OkStatus();
    if (level == codes.size()) {
      emit(text);
      return absl::OkStatus();
    }
    const pcre2_code* code = codes[level].get();
    const MatchData& match = matches[level];
    const size_t* span = pcre2_get_ovector_pointer(match.get());
    const AsciiRule& rule = rules[level];
    const bool sparse =
        rule.shape == AsciiRule::Shape::kDigits || rule.shape == AsciiRule::Shape::kWide;
    size_t pos = 0;
    while (pos < text.size()) {
      size_t begin = sparse ? FirstCandidate(rule, text, pos) : pos;
      if (begin == text.size()) break;
      size_t end = MatchAscii(rule, text, begin);
      if (end == begin) {
        const int rc =
            pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                        PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
          return absl::ResourceExhaustedError(
              absl::StrCat("pre-tokenizer gave up at byte ", pos, ": ", ErrorText(rc)));
        }
        begin = span[0];
        end = span[1];
      }
      SHOAL_RETURN_IF_ERROR(Split(level + 1, text.substr(pos, begin - pos), matches, emit));
      SHOAL_RETURN_IF_ERROR(Split(level + 1, text.substr(begin, end - begin), matches, emit));
      pos = end;
    }
    return Split(level + 1, text.substr(pos), matches, emit);
  }
};

PreTokenizer::PreTokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreTokenizer::~PreTokenizer() = default;

absl::StatusOr<std::unique_ptr<PreTokenizer>> PreTokenizer::Create(std::string_view name,
                                                                   bool ascii_rules) {
  SHOAL_ASSIGN_OR_RETURN(const Kind* kind, FindKind(name));
  auto impl = std::make_unique<Impl>();
  for (const std::string& pattern : kind->patterns) {
    SHOAL_ASSIGN_OR_RETURN(Code code, Compile(pattern));
    impl->codes.push_back(std::move(code));
  }
  if (ascii_rules) impl->rules = kind->rules;
  impl->rules.resize(impl->codes.size());
  return std::unique_ptr<PreTokenizer>(new PreTokenizer(std::move(impl)));
}

std::vector<std::string_view> PreTokenizer::KnownNames() {
  std::vector<std::string_view> names;
  for (const Kind& kind : Kinds()) names.insert(names.end(), kind.names.begin(), kind.names.end());
  return names;
}

absl::Status PreTokenizer::Select(std::string_view name, Vocabulary* vocabulary) {
  if (vocabulary->model != "gpt2") {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.ggml.model=\"", vocabulary->model,
                     "\" has no pre-tokenizer; only byte-level BPE (gpt2) has one"));
  }
  SHOAL_ASSIGN_OR_RETURN(const Kind* kind, FindKind(name));
  vocabulary->pre = std::string(name);
  vocabulary->nfc = kind->nfc;
  vocabulary->ignore_merges = kind->ignore_merges;
  return absl::OkStatus();
}

std::optional<std::string_view> PreTokenizer::NameOf(const std::vector<std::string>& patterns) {
  for (const Kind& kind : Kinds()) {
    if (kind.patterns == patterns) return kind.names.front();
  }
  return std::nullopt;
}

absl::StatusOr<std::string> PreTokenizer::Normalize(std::string_view text) {
  // Composes with nothing, but utf8proc 2.8 takes it for a final consonant and loses it.
  constexpr std::string_view kNoFinal = "\u11A7";
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  std::string out;
  for (;;) {
    const size_t end = std::min(text.find(kNoFinal), text.size());
    uint8_t* composed = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(end), &composed, options);
    if (size < 0) return absl::InvalidArgumentError(std::string("NFC: ") + utf8proc_errmsg(size));
    out.append(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
    std::free(composed);
    if (end == text.size()) return out;
    out += kNoFinal;
    text.remove_prefix(end + kNoFinal.size());
  }
}

absl::Status PreTokenizer::Split(std::string_view text,
                                 absl::FunctionRef<void(std::string_view)> emit) const {
  std::vector<MatchData> matches;
  for (const Code& code : impl_->codes) {
    matches.emplace_back(pcre2_match_data_create_from_pattern(code.get(), nullptr));
    if (matches.back() == nullptr) {
      return absl::ResourceExhaustedError("no memory to match a pattern");
    }
  }
  return impl_->Split(0, text, matches, emit);
}

}  // namespace shoal
