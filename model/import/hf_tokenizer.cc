#include "model/import/hf_tokenizer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/pre_tokenizer.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr int kMaxDepth = 64;

absl::Status Refuse(const std::string& what) {
  return absl::InvalidArgumentError("tokenizer.json: " + what + "; download the model again");
}

absl::Status Unknown(const std::string& what) {
  return absl::UnimplementedError("tokenizer.json: " + what + " is not known");
}

absl::StatusOr<Json> ParseObject(std::string_view text, const char* file) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep || !json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": is no JSON object, or nests deeper than ", kMaxDepth));
  }
  return json;
}

const Json& Member(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

bool Flag(const Json& object, const char* name, bool otherwise = false) {
  const Json& value = Member(object, name);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::string Text(const Json& object, const char* name) {
  const Json& value = Member(object, name);
  return value.is_string() ? value.get<std::string>() : "";
}

// The parts of a normalizer, pre-tokenizer or decoder, sequences opened.
std::vector<const Json*> Parts(const Json& part, const char* members) {
  std::vector<const Json*> out;
  if (part.is_null()) return out;
  if (Text(part, "type") != "Sequence") return {&part};
  for (const Json& each : Member(part, members)) {
    const auto inner = Parts(each, members);
    out.insert(out.end(), inner.begin(), inner.end());
  }
  return out;
}

// Reads one tokenizer.json.
class HfReader {
 public:
  HfReader(const Json& file, const Json& config) : file_(file), config_(config) {}

  absl::StatusOr<TokenizerShard> Read(int n_tokens) {
    const Json& model = Member(file_, "model");
    if (const std::string type = Text(model, "type"); type != "BPE" && !type.empty()) {
      return Unknown("a model of type " + Quoted(type));
    }
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!Text(model, name).empty()) return Unknown(absl::StrCat("model.", name));
    }
    vocab_.ignore_merges = Flag(model, "ignore_merges");
    SHOAL_RETURN_IF_ERROR(ReadPipeline());
    SHOAL_RETURN_IF_ERROR(ReadVocab(Member(model, "vocab"), n_tokens));
    SHOAL_RETURN_IF_ERROR(ReadMerges(Member(model, "merges")));
    SHOAL_RETURN_IF_ERROR(ReadAdded());
    NameUnused();
    ReadConfig(Text(model, "unk_token"));
    return std::move(shard_);
  }

 private:
  absl::Status ReadPipeline() {
    bool marks = false;
    for (const Json* part : Parts(Member(file_, "normalizer"), "normalizers")) {
      const std::string type = Text(*part, "type");
      if (type == "NFC") {
        vocab_.nfc = true;
      } else if (type == "Prepend" && Text(*part, "prepend") == "\u2581") {
        vocab_.space_prefix = SpacePrefix::kAlways;
      } else if (type == "Replace" && Text(Member(*part, "pattern"), "String") == " " &&
                 Text(*part, "content") == "\u2581") {
        marks = true;
      } else {
        return Unknown("the normalizer " + Quoted(part->dump()));
      }
    }
    std::vector<std::string> patterns;
    bool bytes = false;
    for (const Json* part : Parts(Member(file_, "pre_tokenizer"), "pretokenizers")) {
      SHOAL_RETURN_IF_ERROR(ReadPreTokenizer(*part, &patterns, &bytes, &marks));
    }
    if (bytes == marks) {
      return Unknown("a pipeline that is neither byte-level nor SentencePiece's");
    }
    vocab_.model = bytes ? "gpt2" : "llama";
    if (marks && !patterns.empty()) return Unknown("a Split with SentencePiece's pieces");
    vocab_.pre = "default";
    if (marks) return absl::OkStatus();
    const auto name = PreTokenizer::NameOf(patterns);
    if (!name.has_value()) {
      std::string all;
      for (const std::string& pattern : patterns) all += " " + Quoted(pattern);
      return Unknown("the pre-tokenizer of the expressions" + all);
    }
    vocab_.pre = *name;
    return absl::OkStatus();
  }

  absl::Status ReadPreTokenizer(const Json& part, std::vector<std::string>* patterns, bool* bytes,
                                bool* marks) {
    const std::string type = Text(part, "type");
    if (type == "ByteLevel" && !Flag(part, "add_prefix_space")) {
      *bytes = true;
      if (Flag(part, "use_regex", true)) patterns->push_back(kGpt2Pattern);
      return absl::OkStatus();
    }
    if (type == "Digits") {
      patterns->push_back(Flag(part, "individual_digits") ? R"(\p{N})" : R"(\p{N}+)");
      return absl::OkStatus();
    }
    const std::string behavior = Text(part, "behavior");
    const bool keeps = behavior == "Isolated" || (behavior == "Removed" && Flag(part, "invert"));
    const std::string regex = Text(Member(part, "pattern"), "Regex");
    if (type == "Split" && keeps && !regex.empty()) {
      std::string pattern;  // Line ends escaped, as the table has them.
      for (const char c : regex) {
        c == '\r' ? pattern += "\\r" : c == '\n' ? pattern += "\\n" : pattern += c;
      }
      patterns->push_back(pattern);
      return absl::OkStatus();
    }
    const std::string scheme = Text(part, "prepend_scheme");
    if (type == "Metaspace" && Text(part, "replacement") == "\u2581" &&
        !Flag(part, "split", true) && !scheme.empty()) {
      *marks = true;
      vocab_.space_prefix = scheme == "always"  ? SpacePrefix::kUnlessSpace
                            : scheme == "first" ? SpacePrefix::kFirstUnlessSpace
                                                : SpacePrefix::kNone;
      return absl::OkStatus();
    }
    return Unknown("the pre-tokenizer " + Quoted(part.dump()));
  }

  absl::Status ReadVocab(const Json& vocab, int n_tokens) {
    if (!vocab.is_object() || n_tokens < 1 || n_tokens > kMaxVocab) {
      return Refuse(absl::StrCat("model.vocab is no object, or the model's ", n_tokens,
                                 " tokens are not in [1, ", kMaxVocab, "]"));
    }
    vocab_.tokens.resize(static_cast<size_t>(n_tokens));
    vocab_.types.assign(vocab_.tokens.size(), TokenType::kUnused);
    vocab_.strips.assign(vocab_.tokens.size(), 0);
    for (const auto& [text, id] : vocab.items()) SHOAL_RETURN_IF_ERROR(Put(text, id));
    return absl::OkStatus();
  }

  absl::Status Put(const std::string& text, const Json& id) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_.tokens.size()) {
      return Refuse("token " + Quoted(text) + " has the id " + Quoted(id.dump()) +
                    absl::StrCat(", not in [0, ", vocab_.tokens.size(), ")"));
    }
    const auto at = id.get<size_t>();
    if (vocab_.types[at] != TokenType::kUnused && vocab_.tokens[at] != text) {
      return Refuse(absl::StrCat("two tokens have the id ", at));
    }
    const bool byte = vocab_.model == "llama" && text.size() == 6 && text.starts_with("<0x");
    vocab_.tokens[at] = text;
    vocab_.types[at] = byte ? TokenType::kByte : TokenType::kNormal;
    ids_[text] = static_cast<int32_t>(at);
    return absl::OkStatus();
  }

  absl::Status ReadMerges(const Json& merges) {
    if (!merges.is_array() || merges.size() > kMaxMerges) {
      return Refuse(absl::StrCat("model.merges is no array of at most ", kMaxMerges));
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
        return Refuse("the merge " + Quoted(merge.dump()) + " is not two tokens without spaces");
      }
      vocab_.merges.push_back(std::move(line));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAdded() {
    for (const Json& token : Member(file_, "added_tokens")) {
      const std::string text = Text(token, "content");
      if (text.empty()) return Refuse("an added token without content");
      if (Flag(token, "single_word")) return Unknown("single_word of " + Quoted(text));
      SHOAL_RETURN_IF_ERROR(Put(text, Member(token, "id")));
      const auto id = static_cast<size_t>(ids_[text]);
      vocab_.types[id] = Flag(token, "special") ? TokenType::kControl : TokenType::kUserDefined;
      vocab_.strips[id] = static_cast<uint8_t>((Flag(token, "lstrip") ? kStripLeft : 0) |
                                               (Flag(token, "rstrip") ? kStripRight : 0));
    }
    return absl::OkStatus();
  }

  void NameUnused() {
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      if (vocab_.types[id] == TokenType::kUnused) vocab_.tokens[id] = absl::StrCat("[PAD", id, "]");
    }
  }

  // A special token is its text, or an object with it.
  int32_t IdOf(const char* name) const {
    const Json& value = Member(config_, name);
    const std::string text = value.is_object() ? Text(value, "content") : Text(config_, name);
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }

  void ReadConfig(const std::string& unk) {
    vocab_.bos_id = IdOf("bos_token");
    vocab_.eos_id = IdOf("eos_token");
    vocab_.pad_id = IdOf("pad_token");
    vocab_.unk_id = IdOf("unk_token");
    if (const auto found = ids_.find(unk); vocab_.unk_id < 0 && found != ids_.end()) {
      vocab_.unk_id = found->second;
    }
    vocab_.add_bos = Flag(config_, "add_bos_token") && vocab_.bos_id >= 0;
    const Json& chat = Member(config_, "chat_template");
    if (chat.is_string()) shard_.chat_template = chat.get<std::string>();
    if (!chat.is_array()) return;
    for (const Json& each : chat) {
      if (Text(each, "name") == "default") shard_.chat_template = Text(each, "template");
    }
  }

  const Json& file_;
  const Json& config_;
  TokenizerShard shard_;
  Vocabulary& vocab_ = shard_.vocabulary;
  absl::flat_hash_map<std::string, int32_t> ids_;
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
