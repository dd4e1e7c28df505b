#include "model/import/sentencepiece_model.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/hf_json.h"
#include "model/import/tokenizer_config.h"
#include "model/utf8.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

absl::Status Refuse(const std::string& what) {
  return absl::InvalidArgumentError("tokenizer.model: " + what + "; download the model again");
}

absl::Status Unknown(const std::string& what) {
  return absl::UnimplementedError("tokenizer.model: " + what + " is not known");
}

// One field of a Protobuf message: a number, or bytes.
struct Field {
  enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  uint32_t number = 0;
  uint32_t wire = kVarint;
  uint64_t value = 0;
  std::string_view bytes;

  bool Is(uint32_t wanted, Wire as) const { return number == wanted && wire == as; }
};

// Walks over the fields of one message.
class MessageReader {
 public:
  explicit MessageReader(std::string_view message) : rest_(message) {}

  bool done() const { return rest_.empty(); }

  absl::StatusOr<Field> Next() {
    Field field;
    SHOAL_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
    if (tag >> 3 == 0 || tag >> 3 > (1 << 29) - 1) return Refuse("a field without a number");
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<uint32_t>(tag & 7);
    if (field.wire == Field::kVarint) {
      SHOAL_ASSIGN_OR_RETURN(field.value, Varint());
    } else if (field.wire == Field::kBytes) {
      SHOAL_ASSIGN_OR_RETURN(const uint64_t size, Varint());
      SHOAL_ASSIGN_OR_RETURN(field.bytes, Take(size));
    } else if (field.wire == Field::kFixed32 || field.wire == Field::kFixed64) {
      SHOAL_ASSIGN_OR_RETURN(const auto bytes, Take(field.wire == Field::kFixed32 ? 4 : 8));
      for (size_t i = 0; i < bytes.size(); ++i) {
        field.value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << 8 * i;
      }
    } else {
      return Refuse(absl::StrCat("a field of wire type ", field.wire));
    }
    return field;
  }

 private:
  absl::StatusOr<std::string_view> Take(uint64_t n) {
    if (n > rest_.size()) return Refuse(absl::StrCat("ends ", n - rest_.size(), " bytes too soon"));
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      SHOAL_ASSIGN_OR_RETURN(const auto byte, Take(1));
      value |= static_cast<uint64_t>(byte[0] & 0x7F) << shift;
      if ((byte[0] & 0x80) == 0) return value;
    }
    return Refuse("a number of more than ten bytes");
  }

  std::string_view rest_;
};

// An id in decimal digits; nothing if `text` is none.
std::optional<uint64_t> ParseId(std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

class SentencePieceReader {
 public:
  absl::StatusOr<TokenizerShard> Read(std::string_view model, const Json& config, const Json& added,
                                      int n_tokens) {
    for (MessageReader reader(model); !reader.done();) {
      SHOAL_ASSIGN_OR_RETURN(const Field field, reader.Next());
      if (field.Is(1, Field::kBytes)) SHOAL_RETURN_IF_ERROR(ReadPiece(field.bytes));
      if (field.Is(2, Field::kBytes)) SHOAL_RETURN_IF_ERROR(ReadTrainer(field.bytes));
      if (field.Is(3, Field::kBytes)) SHOAL_RETURN_IF_ERROR(ReadNormalizer(field.bytes));
      if (field.Is(5, Field::kBytes)) SHOAL_RETURN_IF_ERROR(ReadDenormalizer(field.bytes));
    }
    SHOAL_RETURN_IF_ERROR(SetSize(n_tokens == 0 ? CountIds(config, added) : n_tokens));
    SHOAL_RETURN_IF_ERROR(Settle(config));
    SHOAL_RETURN_IF_ERROR(ReadAddedTexts(added));
    SHOAL_RETURN_IF_ERROR(ReadAddedIds(Member(config, "added_tokens_decoder")));
    ReadTokenizerConfig(config, ids_, &shard_);
    vocab_.add_bos = Flag(config, "add_bos_token", vocab_.add_bos) && vocab_.bos_id >= 0;
    return std::move(shard_);
  }

 private:
  absl::Status ReadPiece(std::string_view message) {
    std::string text;
    float score = 0;
    uint64_t type = 1;
    for (MessageReader reader(message); !reader.done();) {
      SHOAL_ASSIGN_OR_RETURN(const Field field, reader.Next());
      if (field.Is(1, Field::kBytes)) text = std::string(field.bytes);
      if (field.Is(2, Field::kFixed32)) {
        score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
      }
      if (field.Is(3, Field::kVarint)) type = field.value;
    }
    const size_t id = vocab_.tokens.size();
    if (id >= kMaxVocab) return Refuse(absl::StrCat("has more than ", kMaxVocab, " pieces"));
    if (text.empty() || FindInvalidUtf8(text) != std::string::npos) {
      return Refuse(absl::StrCat("piece ", id, " is empty or not UTF-8"));
    }
    if (!std::isfinite(score))
      return Refuse(absl::StrCat("the score of piece ", id, " is no number"));
    if (type < 1 || type > 6) {
      return Refuse(absl::StrCat("piece ", id, " has type ", type, ", not in [1, 6]"));
    }
    ids_.emplace(text, static_cast<int32_t>(id));
    vocab_.tokens.push_back(std::move(text));
    vocab_.types.push_back(static_cast<TokenType>(type));
    vocab_.scores.push_back(static_cast<double>(score));
    return absl::OkStatus();
  }

  absl::Status ReadTrainer(std::string_view message) {
    for (MessageReader reader(message); !reader.done();) {
      SHOAL_ASSIGN_OR_RETURN(const Field field, reader.Next());
      if (field.wire != Field::kVarint) continue;
      const auto id = static_cast<int32_t>(field.value);  // Negative: none.
      if (field.number == 3) model_type_ = field.value;
      if (field.number == 24 && field.value != 0) return Unknown("treat_whitespace_as_suffix");
      if (field.number == 35) byte_fallback_ = field.value != 0;
      if (field.number == 41) bos_id_ = id;
      if (field.number == 42) eos_id_ = id;
      if (field.number == 43) pad_id_ = id;
    }
    return absl::OkStatus();
  }

  absl::Status ReadNormalizer(std::string_view message) {
    for (MessageReader reader(message); !reader.done();) {
      SHOAL_ASSIGN_OR_RETURN(const Field field, reader.Next());
      if (field.Is(2, Field::kBytes)) vocab_.charsmap = std::string(field.bytes);
      if (field.Is(3, Field::kVarint)) prefix_ = field.value != 0;
      if (field.Is(4, Field::kVarint)) one_space_ = field.value != 0;
      if (field.Is(5, Field::kVarint) && field.value == 0) return Unknown("escape_whitespaces off");
    }
    return absl::OkStatus();
  }

  absl::Status ReadDenormalizer(std::string_view message) {
    for (MessageReader reader(message); !reader.done();) {
      SHOAL_ASSIGN_OR_RETURN(const Field field, reader.Next());
      if (field.Is(2, Field::kBytes) && !field.bytes.empty()) return Unknown("a denormalizer");
    }
    return absl::OkStatus();
  }

  // One more than the highest id. Ids that cannot be are left to Put().
  int CountIds(const Json& config, const Json& added) const {
    uint64_t n = vocab_.tokens.size();
    const auto count = [&n](uint64_t id) {
      if (id < kMaxVocab) n = std::max(n, id + 1);
    };
    for (const Json& id : added) {
      if (id.is_number_unsigned()) count(id.get<uint64_t>());
    }
    for (const auto& [key, token] : Member(config, "added_tokens_decoder").items()) {
      if (const auto id = ParseId(key)) count(*id);
    }
    return static_cast<int>(std::min<uint64_t>(n, kMaxVocab));
  }

  absl::Status SetSize(int n_tokens) {
    const size_t n = vocab_.tokens.size();
    if (n == 0 || n_tokens < 1 || n_tokens > kMaxVocab || n > static_cast<size_t>(n_tokens)) {
      return Refuse(absl::StrCat("has ", n, " pieces, the model ", n_tokens,
                                 " tokens; expected at least one, and not more than the model"));
    }
    for (size_t id = n; id < static_cast<size_t>(n_tokens); ++id) {
      vocab_.tokens.push_back(absl::StrCat("[PAD", id, "]"));
    }
    vocab_.types.resize(vocab_.tokens.size(), TokenType::kUnused);
    vocab_.scores.resize(vocab_.tokens.size(), 0);
    vocab_.strips.assign(vocab_.tokens.size(), 0);
    return absl::OkStatus();
  }

  absl::Status Settle(const Json& config) {
    if (model_type_ != 1 && model_type_ != 2) {
      return Unknown(absl::StrCat("model_type ", model_type_, " (1 is unigram, 2 BPE)"));
    }
    vocab_.model = model_type_ == 1 ? "t5" : "llama";
    vocab_.pre = "default";
    // Newer checkpoints put a space before the whole text only.
    const bool legacy = Flag(config, "legacy", true);
    vocab_.space_prefix = !prefix_ ? SpacePrefix::kNone
                          : legacy ? SpacePrefix::kAlways
                                   : SpacePrefix::kFirstUnlessSpace;
    vocab_.space_runs = one_space_ ? SpaceRuns::kOne : SpaceRuns::kKept;
    vocab_.decode_strip = prefix_ || one_space_ ? DecodeStrip::kSpace : DecodeStrip::kNothing;
    for (size_t id = 0; id < vocab_.types.size(); ++id) {
      if (vocab_.types[id] == TokenType::kUnknown) vocab_.unk_id = static_cast<int32_t>(id);
      if (!byte_fallback_ && vocab_.types[id] == TokenType::kByte) {
        vocab_.types[id] = TokenType::kUnused;
      }
    }
    vocab_.bos_id = Existing(bos_id_);
    vocab_.eos_id = Existing(eos_id_);
    vocab_.pad_id = Existing(pad_id_);
    vocab_.add_bos = vocab_.model == "llama";  // Unless tokenizer_config.json says otherwise.
    return absl::OkStatus();
  }

  int32_t Existing(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < vocab_.tokens.size() ? id : -1;
  }

  absl::Status Put(const std::string& text, uint64_t id, TokenType type, uint8_t strips) {
    if (text.empty() || FindInvalidUtf8(text) != std::string::npos || id >= vocab_.tokens.size()) {
      return Refuse(absl::StrCat("an added token has the id ", id, ", not below ",
                                 vocab_.tokens.size(), ", or no text"));
    }
    vocab_.tokens[id] = text;
    vocab_.types[id] = type;
    vocab_.strips[id] = strips;
    ids_[text] = static_cast<int32_t>(id);
    return absl::OkStatus();
  }

  // added_tokens.json: ids by text.
  absl::Status ReadAddedTexts(const Json& added) {
    for (const auto& [text, id] : added.items()) {
      if (!id.is_number_unsigned()) return Refuse("added_tokens.json has a token without an id");
      SHOAL_RETURN_IF_ERROR(Put(text, id.get<uint64_t>(), TokenType::kControl, 0));
    }
    return absl::OkStatus();
  }

  // tokenizer_config.json's: tokens with their flags by id.
  absl::Status ReadAddedIds(const Json& added) {
    if (!added.is_object()) return absl::OkStatus();
    for (const auto& [key, token] : added.items()) {
      const auto id = ParseId(key);
      if (!id) return Refuse("added_tokens_decoder has the id " + Quoted(key));
      if (Flag(token, "single_word")) return Unknown("single_word of token " + Quoted(key));
      SHOAL_RETURN_IF_ERROR(
          Put(Text(token, "content"), *id, TypeOfAdded(token), StripsOfAdded(token)));
    }
    return absl::OkStatus();
  }

  TokenizerShard shard_;
  Vocabulary& vocab_ = shard_.vocabulary;
  TokenIds ids_;
  // SentencePiece's defaults.
  uint64_t model_type_ = 1;
  bool byte_fallback_ = false;
  bool prefix_ = true;
  bool one_space_ = true;
  int32_t bos_id_ = 1;
  int32_t eos_id_ = 2;
  int32_t pad_id_ = -1;
};

absl::StatusOr<Json> ParseOptional(std::string_view text, const char* file) {
  if (text.empty()) return Json::object();
  return ParseObject(text, file);
}

}  // namespace

absl::StatusOr<TokenizerShard> ReadSentencePieceModel(std::string_view model,
                                                      std::string_view config_json,
                                                      std::string_view added_json, int n_tokens) {
  SHOAL_ASSIGN_OR_RETURN(const Json config, ParseOptional(config_json, "tokenizer_config.json"));
  SHOAL_ASSIGN_OR_RETURN(const Json added, ParseOptional(added_json, "added_tokens.json"));
  return SentencePieceReader().Read(model, config, added, n_tokens);
}

}  // namespace shoal
