#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/gguf_model.h"
#include "model/pre_tokenizer.h"
#include "model/tokenizer_shard.h"

namespace shoal {
namespace {

struct SpecialId {
  std::string_view key;
  int32_t Vocabulary::*field;
};
constexpr SpecialId kSpecialIds[] = {
    {"tokenizer.ggml.bos_token_id", &Vocabulary::bos_id},
    {"tokenizer.ggml.eos_token_id", &Vocabulary::eos_id},
    {"tokenizer.ggml.eot_token_id", &Vocabulary::eot_id},
    {"tokenizer.ggml.unknown_token_id", &Vocabulary::unk_id},
    {"tokenizer.ggml.padding_token_id", &Vocabulary::pad_id},
};

// Reads tokenizer.ggml.* of one file.
class VocabularyReader {
 public:
  explicit VocabularyReader(const GgufReader& file) : file_(file) {}

  absl::StatusOr<Vocabulary> Read() {
    SHOAL_ASSIGN_OR_RETURN(vocab_.model, file_.GetString("tokenizer.ggml.model"));
    if (file_.Has("tokenizer.ggml.pre")) {
      SHOAL_ASSIGN_OR_RETURN(vocab_.pre, file_.GetString("tokenizer.ggml.pre"));
    }
    SHOAL_RETURN_IF_ERROR(ReadTokens());
    SHOAL_RETURN_IF_ERROR(ReadTypes());
    SHOAL_RETURN_IF_ERROR(ReadScores());
    SHOAL_RETURN_IF_ERROR(ReadMerges());
    for (const SpecialId& id : kSpecialIds) SHOAL_RETURN_IF_ERROR(ReadSpecialId(id));
    SHOAL_ASSIGN_OR_RETURN(vocab_.add_bos,
                           ReadFlag("tokenizer.ggml.add_bos_token", /*otherwise=*/false));
    if (vocab_.add_bos && vocab_.bos_id < 0) {
      return Refuse("tokenizer.ggml.add_bos_token", "is true, but there is no bos_token_id");
    }
    SHOAL_RETURN_IF_ERROR(ReadTraits());
    return std::move(vocab_);
  }

 private:
  absl::Status Refuse(std::string_view key, const std::string& message) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": key ", Quoted(key), " ",
                                                   message, "; convert the model again"));
  }

  absl::Status ReadTokens() {
    constexpr std::string_view kKey = "tokenizer.ggml.tokens";
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n, file_.ArrayLength(kKey));
    if (n < 1 || n > kMaxVocab) {
      return Refuse(kKey, absl::StrCat("has ", n, " elements, not in [1, ", kMaxVocab, "]"));
    }
    SHOAL_ASSIGN_OR_RETURN(vocab_.tokens, file_.GetStrings(kKey));
    return absl::OkStatus();
  }

  absl::Status OnePerToken(std::string_view key) const {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n, file_.ArrayLength(key));
    if (n == vocab_.tokens.size()) return absl::OkStatus();
    return Refuse(key, absl::StrCat("has ", n, " elements for ", vocab_.tokens.size(), " tokens"));
  }

  absl::Status ReadTypes() {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    vocab_.types.assign(vocab_.tokens.size(), TokenType::kNormal);
    if (!file_.Has(kKey)) return absl::OkStatus();
    SHOAL_RETURN_IF_ERROR(OnePerToken(kKey));
    SHOAL_ASSIGN_OR_RETURN(const std::vector<int64_t> types, file_.GetInts(kKey));
    for (size_t id = 0; id < types.size(); ++id) {
      if (types[id] < 1 || types[id] > 6) {
        return Refuse(kKey,
                      absl::StrCat("gives token ", id, " type ", types[id], ", not in [1, 6]"));
      }
      vocab_.types[id] = static_cast<TokenType>(types[id]);
    }
    return absl::OkStatus();
  }

  // Byte-level BPE does not use them; a file that has them must still be consistent.
  absl::Status ReadScores() {
    constexpr std::string_view kKey = "tokenizer.ggml.scores";
    if (!file_.Has(kKey)) return absl::OkStatus();
    SHOAL_RETURN_IF_ERROR(OnePerToken(kKey));
    SHOAL_ASSIGN_OR_RETURN(const std::vector<float> scores, file_.GetFloats(kKey));
    if (vocab_.model == "gpt2") return absl::OkStatus();
    for (size_t id = 0; id < scores.size(); ++id) {
      if (!std::isfinite(scores[id]))
        return Refuse(kKey, absl::StrCat("of token ", id, " is no number"));
      vocab_.scores.push_back(scores[id]);
    }
    return absl::OkStatus();
  }

  // What a tokenizer does that the file does not say, but its pre-tokenizer or its name tells.
  absl::Status ReadTraits() {
    if (vocab_.model != "gpt2") {
      const bool unigram = vocab_.model == "t5";
      SHOAL_ASSIGN_OR_RETURN(const bool prefix,
                             ReadFlag("tokenizer.ggml.add_space_prefix", /*otherwise=*/true));
      vocab_.space_prefix = prefix ? SpacePrefix::kAlways : SpacePrefix::kNone;
      vocab_.decode_strip = prefix ? DecodeStrip::kSpace : DecodeStrip::kNothing;
      SHOAL_ASSIGN_OR_RETURN(
          const bool one, ReadFlag("tokenizer.ggml.remove_extra_whitespaces", /*otherwise=*/false));
      vocab_.space_runs = unigram && one ? SpaceRuns::kOne : SpaceRuns::kKept;
      if (unigram) SHOAL_RETURN_IF_ERROR(ReadCharsmap());
      return ReadStrips();
    }
    // A name that is not known is refused where the tokenizer is used.
    PreTokenizer::Select(std::string(vocab_.pre), &vocab_).IgnoreError();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> ReadFlag(std::string_view key, bool otherwise) const {
    if (!file_.Has(key)) return otherwise;
    return file_.GetBool(key);
  }

  absl::Status ReadCharsmap() {
    constexpr std::string_view kKey = "tokenizer.ggml.precompiled_charsmap";
    if (!file_.Has(kKey)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n, file_.ArrayLength(kKey));
    if (n > kMaxTokenizerText) {
      return Refuse(kKey, absl::StrCat("has ", n, " bytes, at most ", kMaxTokenizerText));
    }
    SHOAL_ASSIGN_OR_RETURN(const std::vector<int64_t> bytes, file_.GetInts(kKey));
    for (const int64_t byte : bytes) {
      if (byte < -128 || byte > 255) return Refuse(kKey, absl::StrCat("has the byte ", byte));
      vocab_.charsmap.push_back(static_cast<char>(byte));
    }
    return absl::OkStatus();
  }

  // Phi-3's special tokens take the white space behind them, but for these.
  absl::Status ReadStrips() {
    constexpr std::string_view kKey = "general.name";
    if (!file_.Has(kKey)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const std::string name, file_.GetString(kKey));
    const std::string lower = absl::AsciiStrToLower(name);
    if (!absl::StrContains(lower, "phi-3") && !absl::StrContains(lower, "phi3")) {
      return absl::OkStatus();
    }
    vocab_.strips.assign(vocab_.tokens.size(), 0);
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      const std::string& token = vocab_.tokens[id];
      const bool special =
          vocab_.types[id] == TokenType::kControl || vocab_.types[id] == TokenType::kUserDefined;
      if (special && token != "<unk>" && token != "<s>" && token != "<|endoftext|>") {
        vocab_.strips[id] = kStripRight;
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadMerges() {
    constexpr std::string_view kKey = "tokenizer.ggml.merges";
    if (!file_.Has(kKey)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n, file_.ArrayLength(kKey));
    if (n > kMaxMerges) {
      return Refuse(kKey, absl::StrCat("has ", n, " elements, above the limit of ", kMaxMerges));
    }
    SHOAL_ASSIGN_OR_RETURN(vocab_.merges, file_.GetStrings(kKey));
    for (size_t i = 0; i < n; ++i) {
      // A space inside a token is spelled otherwise, so the first one parts the two halves.
      const std::string& merge = vocab_.merges[i];
      const size_t space = merge.find(' ');
      if (space == 0 || space == std::string::npos || space + 1 == merge.size()) {
        return Refuse(kKey, absl::StrCat("element ", i, " is ", Quoted(merge),
                                         ", not two tokens with a space between"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadSpecialId(const SpecialId& special) {
    if (!file_.Has(special.key)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t id, file_.GetUint(special.key));
    if (id >= vocab_.tokens.size()) {
      return Refuse(special.key,
                    absl::StrCat("is ", id, ", not in [0, ", vocab_.tokens.size() - 1, "]"));
    }
    vocab_.*special.field = static_cast<int32_t>(id);
    return absl::OkStatus();
  }

  const GgufReader& file_;
  Vocabulary vocab_;
};

}  // namespace

absl::StatusOr<Vocabulary> ReadVocabulary(const GgufReader& file) {
  return VocabularyReader(file).Read();
}

}  // namespace shoal
