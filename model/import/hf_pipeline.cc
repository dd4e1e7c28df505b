#include "model/import/hf_pipeline.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/hf_json.h"
#include "model/piece_spelling.h"
#include "model/pre_tokenizer.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool IsReplace(const Json& part, const char* kind, std::string_view from) {
  return Text(part, "type") == "Replace" && Text(Member(part, "pattern"), kind) == from;
}

// Reads the three lists of one file, each in order.
class PipelineReader {
 public:
  PipelineReader(bool unigram, Vocabulary* vocabulary) : unigram_(unigram), vocab_(*vocabulary) {}

  absl::Status Read(const Json& file) {
    for (const Json* part : Parts(Member(file, "normalizer"), "normalizers")) {
      SHOAL_RETURN_IF_ERROR(ReadNormalizer(*part));
    }
    for (const Json* part : Parts(Member(file, "pre_tokenizer"), "pretokenizers")) {
      SHOAL_RETURN_IF_ERROR(ReadPreTokenizer(*part));
    }
    SHOAL_RETURN_IF_ERROR(Settle());
    const auto decoders = Parts(Member(file, "decoder"), "decoders");
    if (!decoders.empty()) vocab_.decode_strip = DecodeStrip::kNothing;
    for (const Json* part : decoders) SHOAL_RETURN_IF_ERROR(ReadDecoder(*part));
    return absl::OkStatus();
  }

 private:
  absl::Status ReadNormalizer(const Json& part) {
    const std::string type = Text(part, "type");
    const bool to_mark = Text(part, "content") == kSpaceMark;
    if (type == "NFC" && vocab_.charsmap.empty()) {
      vocab_.nfc = true;
    } else if (type == "Prepend" && Text(part, "prepend") == kSpaceMark && !marks_) {
      vocab_.space_prefix = SpacePrefix::kAlways;
    } else if (IsReplace(part, "String", " ") && to_mark) {
      marks_ = true;
    } else if (IsReplace(part, "Regex", " {2,}") && (to_mark || Text(part, "content") == " ")) {
      vocab_.space_runs = SpaceRuns::kOne;
    } else if (type == "Strip" && Flag(part, "strip_right") && !Flag(part, "strip_left")) {
      strips_end_ = true;
    } else if (type == "Precompiled" && vocab_.space_runs == SpaceRuns::kKept && !strips_end_) {
      if (!absl::Base64Unescape(Text(part, "precompiled_charsmap"), &vocab_.charsmap)) {
        return RefuseTokenizer("precompiled_charsmap is not in Base64");
      }
    } else {
      return UnknownInTokenizer("the normalizer " + Quoted(part.dump()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPreTokenizer(const Json& part) {
    const std::string type = Text(part, "type");
    if (type == "ByteLevel" && !Flag(part, "add_prefix_space")) {
      bytes_ = true;
      if (Flag(part, "use_regex", true)) patterns_.push_back(kGpt2Pattern);
    } else if (type == "Digits") {
      patterns_.push_back(Flag(part, "individual_digits") ? R"(\p{N})" : R"(\p{N}+)");
    } else if (type == "Split") {
      return ReadSplit(part);
    } else if (type == "WhitespaceSplit" && !metaspace_) {
      white_split_ = true;
    } else if (type == "Metaspace" && Text(part, "replacement") == kSpaceMark && !metaspace_) {
      return ReadMetaspace(part);
    } else {
      return UnknownInTokenizer("the pre-tokenizer " + Quoted(part.dump()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSplit(const Json& part) {
    const std::string behavior = Text(part, "behavior");
    const bool keeps = behavior == "Isolated" || (behavior == "Removed" && Flag(part, "invert"));
    const std::string regex = Text(Member(part, "pattern"), "Regex");
    // Gemma's: of spaces, of which the normalizer has left none.
    if (marks_ && Text(Member(part, "pattern"), "String") == " ") return absl::OkStatus();
    if (!keeps || regex.empty()) {
      return UnknownInTokenizer("the pre-tokenizer " + Quoted(part.dump()));
    }
    std::string pattern;  // Line ends escaped, as the table has them.
    for (const char c : regex) {
      c == '\r' ? pattern += "\\r" : c == '\n' ? pattern += "\\n" : pattern += c;
    }
    patterns_.push_back(pattern);
    return absl::OkStatus();
  }

  // Older files have add_prefix_space for prepend_scheme.
  absl::Status ReadMetaspace(const Json& part) {
    std::string scheme = Text(part, "prepend_scheme");
    if (scheme.empty()) scheme = Flag(part, "add_prefix_space", true) ? "always" : "never";
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      return UnknownInTokenizer("prepend_scheme " + Quoted(scheme));
    }
    metaspace_ = true;
    marks_ = true;
    vocab_.cut_words = Flag(part, "split", true);
    vocab_.space_prefix = scheme == "always"  ? SpacePrefix::kUnlessSpace
                          : scheme == "first" ? SpacePrefix::kFirstUnlessSpace
                                              : SpacePrefix::kNone;
    return absl::OkStatus();
  }

  // What the parts mean together.
  absl::Status Settle() {
    if (bytes_ == marks_) {
      return UnknownInTokenizer("a pipeline that is neither byte-level nor SentencePiece's");
    }
    if (strips_end_ != (vocab_.space_runs == SpaceRuns::kOne)) {
      return UnknownInTokenizer("Strip without a Replace of several spaces, or that without it");
    }
    if (white_split_) {
      // Every word gets its mark, so runs of white space vanish.
      if (vocab_.space_prefix != SpacePrefix::kUnlessSpace || !vocab_.cut_words) {
        return UnknownInTokenizer("WhitespaceSplit without a Metaspace that begins every word");
      }
      vocab_.space_runs = SpaceRuns::kWhiteOne;
    }
    vocab_.pre = "default";
    vocab_.model = unigram_ ? "t5" : bytes_ ? "gpt2" : "llama";
    if (marks_ != (vocab_.model != "gpt2")) return UnknownInTokenizer("a byte-level Unigram");
    if (marks_) return SettleMarks();
    if (vocab_.space_runs != SpaceRuns::kKept || !vocab_.charsmap.empty() ||
        vocab_.space_prefix != SpacePrefix::kNone) {
      return UnknownInTokenizer("SentencePiece's normalizer with ByteLevel");
    }
    const auto name = PreTokenizer::NameOf(patterns_);
    if (!name.has_value()) {
      std::string all;
      for (const std::string& pattern : patterns_) absl::StrAppend(&all, " ", Quoted(pattern));
      return UnknownInTokenizer("the pre-tokenizer of the expressions" + all);
    }
    vocab_.pre = *name;
    return absl::OkStatus();
  }

  absl::Status SettleMarks() {
    if (!patterns_.empty()) return UnknownInTokenizer("a Split with SentencePiece's pieces");
    vocab_.hf_rules = true;
    if (vocab_.space_prefix != SpacePrefix::kNone) vocab_.decode_strip = DecodeStrip::kSpace;
    return absl::OkStatus();
  }

  absl::Status ReadDecoder(const Json& part) {
    const std::string type = Text(part, "type");
    if (type == "ByteLevel" && bytes_) return absl::OkStatus();
    if (marks_ && IsReplace(part, "String", kSpaceMark) && Text(part, "content") == " ") {
      return absl::OkStatus();
    }
    if (type == "ByteFallback" && marks_) return absl::OkStatus();
    if (type == "Fuse") {
      fused_ = true;
      return absl::OkStatus();
    }
    if (type == "Strip" && fused_ && marks_ && Text(part, "content") == " " &&
        Member(part, "start") == 1 && Member(part, "stop") == 0) {
      vocab_.decode_strip = DecodeStrip::kSpace;
      return absl::OkStatus();
    }
    if (type == "Metaspace" && marks_ && Text(part, "replacement") == kSpaceMark) {
      const std::string scheme = Text(part, "prepend_scheme");
      const bool never = scheme.empty() ? !Flag(part, "add_prefix_space", true) : scheme == "never";
      vocab_.decode_strip = never ? DecodeStrip::kNothing : DecodeStrip::kFirstToken;
      return absl::OkStatus();
    }
    return UnknownInTokenizer("the decoder " + Quoted(part.dump()));
  }

  const bool unigram_;
  Vocabulary& vocab_;
  bool bytes_ = false;
  bool marks_ = false;  // Spaces become U+2581.
  bool metaspace_ = false;
  bool strips_end_ = false;
  bool white_split_ = false;
  bool fused_ = false;
  std::vector<std::string> patterns_;
};

}  // namespace

absl::Status ReadHfPipeline(const Json& file, bool unigram, Vocabulary* vocabulary) {
  return PipelineReader(unigram, vocabulary).Read(file);
}

}  // namespace shoal
