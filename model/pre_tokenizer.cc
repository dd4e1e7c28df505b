#include "model/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

// Inside a class: white space as the reference has it. PCRE2's own \s would add U+180E.
constexpr char kSpace[] =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Inside a class: letters and numbers. The library's tables are Unicode 14; the ranges are what
// Unicode 15 and 16 added.
constexpr char kLetter[] =
    R"(\p{L}\x{1c89}\x{1c8a}\x{a7cb}-\x{a7cd}\x{a7da}-\x{a7dc}\x{105c0}-\x{105f3}\x{10d4a}-\x{10d65})"
    R"(\x{10d6f}-\x{10d85}\x{10ec2}-\x{10ec4}\x{1123f}\x{11240}\x{11380}-\x{11389}\x{1138b}\x{1138e})"
    R"(\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10})"
    R"(\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa}\x{16100}-\x{1611d})"
    R"(\x{16d40}-\x{16d6c}\x{18cff}\x{1b132}\x{1b155}\x{1df25}-\x{1df2a}\x{1e030}-\x{1e06d})"
    R"(\x{1e4d0}-\x{1e4eb}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";
constexpr char kNumber[] =
    R"(\p{N}\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59})"
    R"(\x{16130}-\x{16139}\x{16d70}-\x{16d79}\x{1ccf0}-\x{1ccf9}\x{1d2c0}-\x{1d2d3}\x{1e4f0}-\x{1e4f9})"
    R"(\x{1e5f1}-\x{1e5fa})";

// One kind of pre-tokenizer. Patterns apply one after the other, each to the pieces the one before
// left; what no pattern matches is a piece too. <S>, <L> and <N> stand for the classes above.
struct Kind {
  const char* name;
  bool nfc;
  std::vector<const char*> patterns;
};

const std::vector<Kind>& Kinds() {
  static const char kGpt2[] =
      "'s|'t|'re|'ve|'m|'ll|'d| ?[<L>]+| ?[<N>]+| ?[^<S><L><N>]+|[<S>]+(?![^<S>])|[<S>]+";
  static const char kQwen2[] =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n<L><N>]?[<L>]+|[<N>]| ?[^<S><L><N>]+[\\r\\n]*"
      "|[<S>]*[\\r\\n]+|[<S>]+(?![^<S>])|[<S>]+";
  static const auto& kinds = *new std::vector<Kind>{
      {"gpt-2", false, {kGpt2}},
      {"default", false, {kGpt2}},
      {"qwen2", true, {kQwen2}},
  };
  return kinds;
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

absl::StatusOr<Code> Compile(const char* pattern) {
  const std::string full =
      absl::StrReplaceAll(pattern, {{"<S>", kSpace}, {"<L>", kLetter}, {"<N>", kNumber}});
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

}  // namespace

struct PreTokenizer::Impl {
  bool nfc = false;
  std::vector<Code> codes;

  absl::Status Split(size_t level, std::string_view text,
                     absl::FunctionRef<void(std::string_view)> emit) const {
    if (text.empty()) return absl::OkStatus();
    if (level == codes.size()) {
      emit(text);
      return absl::OkStatus();
    }
    const pcre2_code* code = codes[level].get();
    const MatchData match(pcre2_match_data_create_from_pattern(code, nullptr));
    if (match == nullptr) return absl::ResourceExhaustedError("no memory to match a pattern");
    const size_t* span = pcre2_get_ovector_pointer(match.get());
    size_t pos = 0;
    while (pos < text.size()) {
      const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), pos,
                                 PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
      if (rc == PCRE2_ERROR_NOMATCH) break;
      if (rc < 0) {
        return absl::ResourceExhaustedError(
            absl::StrCat("pre-tokenizer gave up at byte ", pos, ": ", ErrorText(rc)));
      }
      SHOAL_RETURN_IF_ERROR(Split(level + 1, text.substr(pos, span[0] - pos), emit));
      SHOAL_RETURN_IF_ERROR(Split(level + 1, text.substr(span[0], span[1] - span[0]), emit));
      pos = span[1];
    }
    return Split(level + 1, text.substr(pos), emit);
  }
};

PreTokenizer::PreTokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreTokenizer::~PreTokenizer() = default;

absl::StatusOr<std::unique_ptr<PreTokenizer>> PreTokenizer::Create(std::string_view name) {
  std::string known;
  for (const Kind& kind : Kinds()) {
    if (name != kind.name) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", kind.name);
      continue;
    }
    auto impl = std::make_unique<Impl>();
    impl->nfc = kind.nfc;
    for (const char* pattern : kind.patterns) {
      SHOAL_ASSIGN_OR_RETURN(Code code, Compile(pattern));
      impl->codes.push_back(std::move(code));
    }
    return std::unique_ptr<PreTokenizer>(new PreTokenizer(std::move(impl)));
  }
  return absl::UnimplementedError(absl::StrCat("tokenizer.ggml.pre=\"", std::string(name),
                                               "\" is not a known pre-tokenizer; known: ", known));
}

bool PreTokenizer::normalizes() const { return impl_->nfc; }

absl::StatusOr<std::string> PreTokenizer::Normalize(std::string_view text) {
  uint8_t* composed = nullptr;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const auto size = utf8proc_map(reinterpret_cast<const uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &composed, options);
  if (size < 0) return absl::InvalidArgumentError(std::string("NFC: ") + utf8proc_errmsg(size));
  std::string out(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
  std::free(composed);
  return out;
}

absl::Status PreTokenizer::Split(std::string_view text,
                                 absl::FunctionRef<void(std::string_view)> emit) const {
  return impl_->Split(0, text, emit);
}

}  // namespace shoal
