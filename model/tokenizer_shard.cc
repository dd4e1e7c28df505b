#include "model/tokenizer_shard.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALTOK";
constexpr uint32_t kVersion = 3;

constexpr int32_t Vocabulary::*kSpecialIds[] = {&Vocabulary::bos_id, &Vocabulary::eos_id,
                                                &Vocabulary::eot_id, &Vocabulary::unk_id,
                                                &Vocabulary::pad_id};

void EncodeTexts(const std::vector<std::string>& texts, ByteWriter& writer) {
  writer.U32(static_cast<uint32_t>(texts.size()));
  for (const std::string& text : texts) writer.String(text);
}

// Reads one tokenizer shard's data.
class Decoder {
 public:
  explicit Decoder(std::string_view data) : reader_(data) {}

  absl::StatusOr<TokenizerShard> Decode() {
    SHOAL_RETURN_IF_ERROR(ReadHead());
    SHOAL_ASSIGN_OR_RETURN(vocab().model, ReadText());
    SHOAL_ASSIGN_OR_RETURN(vocab().pre, ReadText());
    SHOAL_ASSIGN_OR_RETURN(vocab().tokens, ReadTexts(kMaxVocab));
    SHOAL_RETURN_IF_ERROR(ReadTypes());
    SHOAL_RETURN_IF_ERROR(ReadMerges());
    for (int32_t Vocabulary::*id : kSpecialIds) SHOAL_RETURN_IF_ERROR(ReadSpecialId(id));
    SHOAL_RETURN_IF_ERROR(ReadAddBos());
    SHOAL_ASSIGN_OR_RETURN(vocab().nfc, ReadFlag("nfc"));
    SHOAL_ASSIGN_OR_RETURN(vocab().ignore_merges, ReadFlag("ignore_merges"));
    SHOAL_ASSIGN_OR_RETURN(vocab().fuse_unk, ReadFlag("fuse_unk"));
    SHOAL_ASSIGN_OR_RETURN(vocab().cut_words, ReadFlag("cut_words"));
    SHOAL_ASSIGN_OR_RETURN(vocab().hf_rules, ReadFlag("hf_rules"));
    SHOAL_RETURN_IF_ERROR(ReadChoice("space_prefix", 3, &vocab().space_prefix));
    SHOAL_RETURN_IF_ERROR(ReadChoice("space_runs", 2, &vocab().space_runs));
    SHOAL_RETURN_IF_ERROR(ReadChoice("decode_strip", 2, &vocab().decode_strip));
    SHOAL_ASSIGN_OR_RETURN(vocab().charsmap, ReadText());
    SHOAL_RETURN_IF_ERROR(ReadScores());
    SHOAL_RETURN_IF_ERROR(ReadStrips());
    SHOAL_ASSIGN_OR_RETURN(shard_.chat_template, ReadText());
    SHOAL_RETURN_IF_ERROR(reader_.ExpectEnd());
    return std::move(shard_);
  }

 private:
  Vocabulary& vocab() { return shard_.vocabulary; }

  absl::Status Refuse(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("before offset ", reader_.offset(), ": ", what));
  }

  absl::Status ReadHead() {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view magic, reader_.Bytes(kMagic.size()));
    if (magic != kMagic) return Refuse("its magic is " + Quoted(magic));
    SHOAL_ASSIGN_OR_RETURN(const uint32_t version, reader_.U32());
    if (version == kVersion) return absl::OkStatus();
    return Refuse(
        absl::StrCat("its format version is ", version, ", this release reads ", kVersion));
  }

  absl::StatusOr<std::string> ReadText() {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view text, reader_.String(kMaxTokenizerText));
    return std::string(text);
  }

  absl::StatusOr<std::vector<std::string>> ReadTexts(uint32_t max_count) {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n, reader_.Count(max_count, sizeof(uint32_t)));
    std::vector<std::string> texts(n);
    for (std::string& text : texts) {
      SHOAL_ASSIGN_OR_RETURN(text, ReadText());
    }
    return texts;
  }

  absl::Status ReadTypes() {
    vocab().types.reserve(vocab().tokens.size());
    for (size_t id = 0; id < vocab().tokens.size(); ++id) {
      SHOAL_ASSIGN_OR_RETURN(const uint8_t type, reader_.U8());
      if (type < 1 || type > 6) {
        return Refuse(absl::StrCat("token ", id, " has type ", type, ", not in [1, 6]"));
      }
      vocab().types.push_back(static_cast<TokenType>(type));
    }
    return absl::OkStatus();
  }

  absl::Status ReadMerges() {
    SHOAL_ASSIGN_OR_RETURN(vocab().merges, ReadTexts(kMaxMerges));
    for (const std::string& merge : vocab().merges) {
      const size_t space = merge.find(' ');
      if (space == 0 || space == std::string::npos || space + 1 == merge.size()) {
        return Refuse(
            absl::StrCat("merge ", Quoted(merge), " is not two tokens with a space between"));
      }
    }
    return absl::OkStatus();
  }

  // Counts from 1; 0 is none.
  absl::Status ReadSpecialId(int32_t Vocabulary::*field) {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t next, reader_.U32());
    if (next > vocab().tokens.size()) {
      return Refuse(absl::StrCat("special token ", next - 1, " of ", vocab().tokens.size()));
    }
    vocab().*field = static_cast<int32_t>(next) - 1;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> ReadFlag(const char* name) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t flag, reader_.U8());
    if (flag > 1) return Refuse(absl::StrCat(name, " is ", flag, ", not 0 or 1"));
    return flag == 1;
  }

  template <typename Choice>
  absl::Status ReadChoice(const char* name, uint8_t last, Choice* choice) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t value, reader_.U8());
    if (value > last) return Refuse(absl::StrCat(name, " is ", value, ", not in [0, ", last, "]"));
    *choice = static_cast<Choice>(value);
    return absl::OkStatus();
  }

  // One for each token, or none.
  absl::StatusOr<uint32_t> CountPerToken(const char* what, size_t bytes_each) {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n, reader_.Count(kMaxVocab, bytes_each));
    if (n == 0 || n == vocab().tokens.size()) return n;
    return Refuse(absl::StrCat(n, " ", what, " for ", vocab().tokens.size(), " tokens"));
  }

  absl::Status ReadScores() {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n, CountPerToken("scores", sizeof(double)));
    vocab().scores.reserve(n);
    for (uint32_t id = 0; id < n; ++id) {
      SHOAL_ASSIGN_OR_RETURN(const double score, reader_.F64());
      vocab().scores.push_back(score);
      if (!std::isfinite(vocab().scores.back())) {
        return Refuse(absl::StrCat("the score of token ", id, " is no number"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadStrips() {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n, CountPerToken("strip flags", 1));
    vocab().strips.reserve(n);
    for (uint32_t id = 0; id < n; ++id) {
      SHOAL_ASSIGN_OR_RETURN(const uint8_t flags, reader_.U8());
      if (flags > (kStripLeft | kStripRight)) {
        return Refuse(absl::StrCat("token ", id, " has strip flags ", flags, ", not in [0, 3]"));
      }
      vocab().strips.push_back(flags);
    }
    return absl::OkStatus();
  }

  absl::Status ReadAddBos() {
    SHOAL_ASSIGN_OR_RETURN(vocab().add_bos, ReadFlag("add_bos"));
    if (vocab().add_bos && vocab().bos_id < 0) return Refuse("add_bos without a bos token");
    return absl::OkStatus();
  }

  ByteReader reader_;
  TokenizerShard shard_;
};

}  // namespace

std::string EncodeTokenizerShard(const TokenizerShard& shard) {
  const Vocabulary& vocab = shard.vocabulary;
  ByteWriter writer;
  writer.Bytes(kMagic);
  writer.U32(kVersion);
  writer.String(vocab.model);
  writer.String(vocab.pre);
  EncodeTexts(vocab.tokens, writer);
  for (const TokenType type : vocab.types) writer.U8(static_cast<uint8_t>(type));
  EncodeTexts(vocab.merges, writer);
  for (int32_t Vocabulary::*id : kSpecialIds) writer.U32(static_cast<uint32_t>(vocab.*id + 1));
  writer.U8(vocab.add_bos ? 1 : 0);
  writer.U8(vocab.nfc ? 1 : 0);
  writer.U8(vocab.ignore_merges ? 1 : 0);
  writer.U8(vocab.fuse_unk ? 1 : 0);
  writer.U8(vocab.cut_words ? 1 : 0);
  writer.U8(vocab.hf_rules ? 1 : 0);
  writer.U8(static_cast<uint8_t>(vocab.space_prefix));
  writer.U8(static_cast<uint8_t>(vocab.space_runs));
  writer.U8(static_cast<uint8_t>(vocab.decode_strip));
  writer.String(vocab.charsmap);
  writer.U32(static_cast<uint32_t>(vocab.scores.size()));
  for (const double score : vocab.scores) writer.F64(score);
  writer.U32(static_cast<uint32_t>(vocab.strips.size()));
  for (const uint8_t flags : vocab.strips) writer.U8(flags);
  writer.String(shard.chat_template);
  return writer.Take();
}

absl::StatusOr<TokenizerShard> DecodeTokenizerShard(std::string_view data) {
  absl::StatusOr<TokenizerShard> shard = Decoder(data).Decode();
  if (shard.ok()) return shard;
  return absl::InvalidArgumentError(absl::StrCat(
      "tokenizer shard: ", std::string(shard.status().message()), "; import the model again"));
}

absl::StatusOr<TokenizerShard> LoadTokenizerShard(ShardStore* store, const Manifest& manifest) {
  const ShardInfo* info = manifest.Find(ShardKind::kTokenizer);
  if (info == nullptr) {
    return absl::InvalidArgumentError(
        "the manifest has no tokenizer shard; import the model again");
  }
  SHOAL_ASSIGN_OR_RETURN(const AlignedBuffer file, store->Load(*info));
  const char* data = reinterpret_cast<const char*>(file.data()) + kShardHeaderBytes;
  SHOAL_ASSIGN_OR_RETURN(TokenizerShard shard,
                         DecodeTokenizerShard({data, file.size() - kShardHeaderBytes}));
  const size_t n_tokens = shard.vocabulary.tokens.size();
  if (n_tokens == 0 || n_tokens == static_cast<size_t>(manifest.config.vocab_size)) return shard;
  return absl::InvalidArgumentError(absl::StrCat("tokenizer shard: has ", n_tokens,
                                                 " tokens, the model ", manifest.config.vocab_size,
                                                 "; import the model again"));
}

}  // namespace shoal
