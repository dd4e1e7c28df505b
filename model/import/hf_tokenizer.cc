#include "model/import/hf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/byte_pairs.h"
#include "model/import/hf_json.h"
#include "model/import/hf_pipeline.h"
#include "model/import/hf_post_processor.h"
#include "model/import/tokenizer_config.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

// Reads one tokenizer.json.
class HfReader {
 public:
  HfReader(const Json& file, const Json& config) : file_(file), config_(config) {}

  absl::StatusOr<TokenizerShard> Read(int n_tokens) {
    const Json& model = Member(file_, "model");
    const std::string type = Text(model, "type");
    const bool unigram = type == "Unigram";
    if (type != "BPE" && !type.empty() && !unigram) {
      return UnknownInTokenizer("a model of type " + Quoted(type));
    }
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!Text(model, name).empty()) return UnknownInTokenizer(absl::StrCat("model.", name));
    }
    vocab_.ignore_merges = Flag(model, "ignore_merges");
    vocab_.fuse_unk = unigram || Flag(model, "fuse_unk");
    byte_fallback_ = Flag(model, "byte_fallback");
    SHOAL_RETURN_IF_ERROR(ReadHfPipeline(file_, unigram, &vocab_));
    SHOAL_RETURN_IF_ERROR(SetSize(n_tokens == 0 ? CountIds(Member(model, "vocab")) : n_tokens));
    if (unigram) {
      SHOAL_RETURN_IF_ERROR(ReadScores(Member(model, "vocab")));
    } else {
      SHOAL_RETURN_IF_ERROR(ReadVocab(Member(model, "vocab")));
      SHOAL_RETURN_IF_ERROR(ReadMerges(Member(model, "merges")));
    }
    SHOAL_RETURN_IF_ERROR(ReadUnknown(model, unigram));
    SHOAL_RETURN_IF_ERROR(ReadAdded());
    NameUnused();
    ReadTokenizerConfig(config_, ids_, &shard_);
    SHOAL_RETURN_IF_ERROR(ReadHfPostProcessor(file_, &vocab_));
    return std::move(shard_);
  }

 private:
  // One more than the highest id. Ids that cannot be are left to Put().
  int CountIds(const Json& vocab) const {
    int n = vocab.is_array() ? static_cast<int>(std::min<size_t>(vocab.size(), kMaxVocab)) : 0;
    const auto count = [&n](const Json& id) {
      const bool fits = id.is_number_unsigned() && id.get<uint64_t>() < kMaxVocab;
      if (fits) n = std::max(n, id.get<int>() + 1);
    };
    if (vocab.is_object()) std::for_each(vocab.begin(), vocab.end(), count);
    for (const Json& token : Member(file_, "added_tokens")) count(Member(token, "id"));
    return n;
  }

  absl::Status SetSize(int n_tokens) {
    if (n_tokens < 1 || n_tokens > kMaxVocab) {
      return RefuseTokenizer(
          absl::StrCat("the model's ", n_tokens, " tokens are not in [1, ", kMaxVocab, "]"));
    }
    vocab_.tokens.resize(static_cast<size_t>(n_tokens));
    vocab_.types.assign(vocab_.tokens.size(), TokenType::kUnused);
    vocab_.strips.assign(vocab_.tokens.size(), 0);
    return absl::OkStatus();
  }

  absl::Status ReadVocab(const Json& vocab) {
    if (!vocab.is_object()) return RefuseTokenizer("model.vocab is no object");
    for (const auto& [text, id] : vocab.items()) SHOAL_RETURN_IF_ERROR(Put(text, id));
    return absl::OkStatus();
  }

  // A unigram's vocab: [text, score] by id.
  absl::Status ReadScores(const Json& vocab) {
    if (!vocab.is_array()) return RefuseTokenizer("model.vocab is no array");
    vocab_.scores.assign(vocab_.tokens.size(), 0);
    for (size_t id = 0; id < vocab.size(); ++id) {
      const Json& entry = vocab[id];
      const bool pair = entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
                        entry[1].is_number() && std::isfinite(entry[1].get<double>());
      if (!pair) {
        return RefuseTokenizer(absl::StrCat("model.vocab[", id, "] is no text with its score"));
      }
      SHOAL_RETURN_IF_ERROR(Put(entry[0].get<std::string>(), id));
      vocab_.scores[id] = entry[1].get<double>();
    }
    return absl::OkStatus();
  }

  // The model's own unknown token: an id, or a text.
  absl::Status ReadUnknown(const Json& model, bool unigram) {
    if (const auto found = ids_.find(Text(model, "unk_token")); found != ids_.end()) {
      vocab_.unk_id = found->second;
    }
    if (!unigram) return absl::OkStatus();
    const Json& id = Member(model, "unk_id");
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= Member(model, "vocab").size()) {
      return RefuseTokenizer("model.unk_id " + Quoted(id.dump()) + " is no token");
    }
    vocab_.unk_id = id.get<int32_t>();
    vocab_.types[id.get<size_t>()] = TokenType::kUnknown;
    return absl::OkStatus();
  }

  absl::Status Put(const std::string& text, const Json& id) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_.tokens.size()) {
      return RefuseTokenizer("token " + Quoted(text) + " has the id " + Quoted(id.dump()) +
                             absl::StrCat(", not in [0, ", vocab_.tokens.size(), ")"));
    }
    const auto at = id.get<size_t>();
    if (vocab_.types[at] != TokenType::kUnused && vocab_.tokens[at] != text) {
      return RefuseTokenizer(absl::StrCat("two tokens have the id ", at));
    }
    const bool byte = byte_fallback_ && vocab_.model != "gpt2" && ByteOfPiece(text) >= 0;
    vocab_.tokens[at] = text;
    vocab_.types[at] = byte ? TokenType::kByte : TokenType::kNormal;
    ids_[text] = static_cast<int32_t>(at);
    return absl::OkStatus();
  }

  absl::Status ReadMerges(const Json& merges) {
    if (!merges.is_array() || merges.size() > kMaxMerges) {
      return RefuseTokenizer(absl::StrCat("model.merges is no array of at most ", kMaxMerges));
    }
    for (const Json& merge : merges) {
      std::string line;
      if (merge.is_string()) {
        line = merge.get<std::string>();
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        line = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
      }
      const size_t space = line.find(' ');
      if (space == 0 || space == std::string::npos || space + 1 == line.size() ||
          line.find(' ', space + 1) != std::string::npos) {
        return RefuseTokenizer("the merge " + Quoted(merge.dump()) +
                               " is not two tokens without spaces");
      }
      vocab_.merges.push_back(std::move(line));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAdded() {
    for (const Json& token : Member(file_, "added_tokens")) {
      const std::string text = Text(token, "content");
      if (text.empty()) return RefuseTokenizer("an added token without content");
      if (Flag(token, "single_word")) return UnknownInTokenizer("single_word of " + Quoted(text));
      SHOAL_RETURN_IF_ERROR(Put(text, Member(token, "id")));
      const auto id = static_cast<size_t>(ids_[text]);
      vocab_.types[id] = TypeOfAdded(token);
      vocab_.strips[id] = StripsOfAdded(token);
    }
    return absl::OkStatus();
  }

  void NameUnused() {
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      if (vocab_.types[id] == TokenType::kUnused) vocab_.tokens[id] = absl::StrCat("[PAD", id, "]");
    }
  }

  const Json& file_;
  const Json& config_;
  TokenizerShard shard_;
  Vocabulary& vocab_ = shard_.vocabulary;
  TokenIds ids_;
  bool byte_fallback_ = false;
};

}  // namespace

absl::StatusOr<TokenizerShard> ReadHfTokenizer(std::string_view tokenizer_json,
                                               std::string_view config_json, int n_tokens) {
  SHOAL_ASSIGN_OR_RETURN(const Json file, ParseObject(tokenizer_json, "tokenizer.json"));
  Json config = Json::object();
  if (!config_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(config, ParseObject(config_json, "tokenizer_config.json"));
  }
  return HfReader(file, config).Read(n_tokens);
}

}  // namespace shoal
