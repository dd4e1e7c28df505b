#include "model/manifest.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/config_options.h"
#include "model/manifest_check.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALMAN";
// The second is the first with options behind the config; written only where there are any.
constexpr uint32_t kManifestVersion = 2;
constexpr uint32_t kManifestVersionWithOptions = 3;
constexpr std::string_view kSignPurpose = "shoal manifest 1";

constexpr size_t kMaxNameBytes = 256;
constexpr uint32_t kMaxShards = 3 + kMaxLayers * (1 + kMaxExperts);
constexpr uint32_t kMaxTensors = 1024;  // Of one shard; a layer's trunk has about a dozen.
constexpr uint8_t kMaxRank = 4;
constexpr size_t kMinShardBytes = 1 + 4 + 4 + 8 + 32 + 4 + 4;
constexpr size_t kMinTensorBytes = 4 + 1 + 1 + 8 + 8;

void EncodeFloats(const std::vector<float>& values, ByteWriter& writer) {
  writer.U32(static_cast<uint32_t>(values.size()));
  for (const float value : values) writer.U32(std::bit_cast<uint32_t>(value));
}

void EncodeConfig(const ModelConfig& c, ByteWriter& writer) {
  writer.String(c.architecture);
  writer.String(c.name);
  for (const int number : {c.n_layers, c.hidden_dim, c.n_heads, c.n_kv_heads, c.head_dim,
                           c.n_experts, c.top_k, c.ffn_dim, c.vocab_size}) {
    writer.U32(static_cast<uint32_t>(number));
  }
  writer.U64(static_cast<uint64_t>(c.context_length));
  writer.F64(c.rope_theta);
  writer.F64(c.rms_norm_eps);
  writer.U8(static_cast<uint8_t>(c.rope_pairing));
  writer.U8(static_cast<uint8_t>(c.qk_norm));
  for (const bool flag : {c.norm_topk_prob, c.tied_embeddings, c.shared_gate}) writer.U8(flag);
  for (const int number : {c.dense_ffn_dim, c.shared_ffn_dim, c.rope_dim}) {
    writer.U32(static_cast<uint32_t>(number));
  }
  EncodeFloats(c.rope_divisors, writer);
  for (const float scale :
       {c.attention_scale, c.embedding_scale, c.residual_scale, c.logit_divisor}) {
    writer.U32(std::bit_cast<uint32_t>(scale));
  }
  writer.U32(static_cast<uint32_t>(c.layers.size()));
  for (const LayerConfig& layer : c.layers) writer.U8(layer.dense);
}

// A number that an int holds; ValidateConfig and the checks of shards know its range.
absl::Status ReadInt(ByteReader& reader, int& out) {
  const size_t offset = reader.offset();
  SHOAL_ASSIGN_OR_RETURN(const uint32_t value, reader.U32());
  if (value > INT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset, ": ", value, " is above ", INT32_MAX));
  }
  out = static_cast<int>(value);
  return absl::OkStatus();
}

absl::StatusOr<uint8_t> ReadEnum(ByteReader& reader, std::string_view what, uint8_t n) {
  const size_t offset = reader.offset();
  SHOAL_ASSIGN_OR_RETURN(const uint8_t value, reader.U8());
  if (value < n) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("offset ", offset, ": ", std::string(what), " is ", value, ", not below ", n));
}

absl::StatusOr<std::string> ReadString(ByteReader& reader) {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view text, reader.String(kMaxNameBytes));
  return std::string(text);
}

absl::Status ReadFloat(ByteReader& reader, float& out) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t bits, reader.U32());
  out = std::bit_cast<float>(bits);
  return absl::OkStatus();
}

absl::Status ReadFlag(ByteReader& reader, bool& out) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t value, ReadEnum(reader, "a flag", 2));
  out = value != 0;
  return absl::OkStatus();
}

absl::Status ReadFloats(ByteReader& reader, std::vector<float>& out) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n, reader.Count(kMaxDim, sizeof(float)));
  out.resize(n);
  for (float& value : out) SHOAL_RETURN_IF_ERROR(ReadFloat(reader, value));
  return absl::OkStatus();
}

absl::Status DecodeConfig(ByteReader& reader, bool has_options, ModelConfig& c) {
  SHOAL_ASSIGN_OR_RETURN(c.architecture, ReadString(reader));
  SHOAL_ASSIGN_OR_RETURN(c.name, ReadString(reader));
  for (int* const number : {&c.n_layers, &c.hidden_dim, &c.n_heads, &c.n_kv_heads, &c.head_dim,
                            &c.n_experts, &c.top_k, &c.ffn_dim, &c.vocab_size}) {
    SHOAL_RETURN_IF_ERROR(ReadInt(reader, *number));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint64_t context, reader.U64());
  c.context_length = static_cast<int64_t>(std::min<uint64_t>(context, INT64_MAX));
  SHOAL_ASSIGN_OR_RETURN(c.rope_theta, reader.F64());
  SHOAL_ASSIGN_OR_RETURN(const double eps, reader.F64());
  // A double that no float holds would change by being read; converting one out of range is
  // undefined.
  if (!(eps > 0 && eps < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("rms_norm_eps is ", eps, ", not in (0, 1)"));
  }
  c.rms_norm_eps = static_cast<float>(eps);
  SHOAL_ASSIGN_OR_RETURN(const uint8_t pairing, ReadEnum(reader, "rope_pairing", 2));
  c.rope_pairing = static_cast<RopePairing>(pairing);
  SHOAL_ASSIGN_OR_RETURN(const uint8_t qk_norm, ReadEnum(reader, "qk_norm", 5));
  c.qk_norm = static_cast<QkNorm>(qk_norm);
  for (bool* const flag : {&c.norm_topk_prob, &c.tied_embeddings, &c.shared_gate}) {
    SHOAL_RETURN_IF_ERROR(ReadFlag(reader, *flag));
  }
  for (int* const number : {&c.dense_ffn_dim, &c.shared_ffn_dim, &c.rope_dim}) {
    SHOAL_RETURN_IF_ERROR(ReadInt(reader, *number));
  }
  SHOAL_RETURN_IF_ERROR(ReadFloats(reader, c.rope_divisors));
  for (float* const scale :
       {&c.attention_scale, &c.embedding_scale, &c.residual_scale, &c.logit_divisor}) {
    SHOAL_RETURN_IF_ERROR(ReadFloat(reader, *scale));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_layers, reader.Count(kMaxLayers, 1));
  c.layers.resize(n_layers);
  for (LayerConfig& layer : c.layers) SHOAL_RETURN_IF_ERROR(ReadFlag(reader, layer.dense));
  if (has_options) SHOAL_RETURN_IF_ERROR(DecodeOptions(reader, c));
  return ValidateConfig(c);
}

// Tensors' names, each once, in order of first use. Experts of a layer share theirs.
class NameTable {
 public:
  explicit NameTable(const Manifest& manifest) {
    for (const ShardInfo& shard : manifest.shards) {
      for (const ShardTensor& tensor : shard.tensors) Add(tensor.name);
    }
  }
  uint32_t IndexOf(const std::string& name) const { return index_.at(name); }
  void Encode(ByteWriter& writer) const {
    writer.U32(static_cast<uint32_t>(names_.size()));
    for (const std::string& name : names_) writer.String(name);
  }

 private:
  void Add(const std::string& name) {
    if (index_.emplace(name, static_cast<uint32_t>(names_.size())).second) names_.push_back(name);
  }
  std::map<std::string, uint32_t> index_;
  std::vector<std::string> names_;
};

void EncodeTensor(const ShardTensor& tensor, const NameTable& names, ByteWriter& writer) {
  writer.U32(names.IndexOf(tensor.name));
  writer.U8(static_cast<uint8_t>(tensor.dtype));
  SHOAL_CHECK_LE(tensor.shape.size(), size_t{kMaxRank});
  writer.U8(static_cast<uint8_t>(tensor.shape.size()));
  for (const int64_t dim : tensor.shape) {
    SHOAL_CHECK(dim >= 0 && dim <= int64_t{UINT32_MAX});
    writer.U32(static_cast<uint32_t>(dim));
  }
  writer.U64(tensor.offset);
  writer.U64(tensor.n_bytes);
}

absl::Status DecodeTensor(ByteReader& reader, const std::vector<std::string_view>& names,
                          ShardTensor& tensor) {
  const size_t offset = reader.offset();
  SHOAL_ASSIGN_OR_RETURN(const uint32_t name, reader.U32());
  if (name >= names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset, ": tensor name ", name, " of a table of ", names.size()));
  }
  tensor.name = std::string(names[name]);
  SHOAL_ASSIGN_OR_RETURN(const uint8_t dtype,
                         ReadEnum(reader, "a dtype", static_cast<uint8_t>(kLastDType) + 1));
  tensor.dtype = static_cast<DType>(dtype);
  SHOAL_ASSIGN_OR_RETURN(const uint8_t rank, ReadEnum(reader, "a rank", kMaxRank + 1));
  tensor.shape.resize(rank);
  for (int64_t& dim : tensor.shape) {
    SHOAL_ASSIGN_OR_RETURN(dim, reader.U32());
  }
  SHOAL_ASSIGN_OR_RETURN(tensor.offset, reader.U64());
  SHOAL_ASSIGN_OR_RETURN(tensor.n_bytes, reader.U64());
  return absl::OkStatus();
}

absl::StatusOr<Sha256Digest> ReadDigest(ByteReader& reader) {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view raw, reader.Bytes(sizeof(Sha256Digest)));
  return *DigestFromBytes(raw);
}

// Layer and expert count from 1; 0 is none.
void EncodeShard(const ShardInfo& shard, const NameTable& names, ByteWriter& writer) {
  writer.U8(static_cast<uint8_t>(shard.kind));
  writer.U32(static_cast<uint32_t>(shard.layer + 1));
  writer.U32(static_cast<uint32_t>(shard.expert + 1));
  writer.U64(shard.file_bytes);
  writer.Bytes(DigestBytes(shard.hash));
  writer.U32(static_cast<uint32_t>(shard.chunks.size()));
  for (const Sha256Digest& chunk : shard.chunks) writer.Bytes(DigestBytes(chunk));
  writer.U32(static_cast<uint32_t>(shard.tensors.size()));
  for (const ShardTensor& tensor : shard.tensors) EncodeTensor(tensor, names, writer);
}

absl::Status DecodeShard(ByteReader& reader, const std::vector<std::string_view>& names,
                         ShardInfo& shard) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t kind, ReadEnum(reader, "a shard's kind", kShardKinds));
  shard.kind = static_cast<ShardKind>(kind);
  SHOAL_RETURN_IF_ERROR(ReadInt(reader, shard.layer));
  SHOAL_RETURN_IF_ERROR(ReadInt(reader, shard.expert));
  --shard.layer;
  --shard.expert;
  SHOAL_ASSIGN_OR_RETURN(shard.file_bytes, reader.U64());
  SHOAL_ASSIGN_OR_RETURN(shard.hash, ReadDigest(reader));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_chunks, reader.Count(UINT32_MAX, sizeof(Sha256Digest)));
  shard.chunks.resize(n_chunks);
  for (Sha256Digest& chunk : shard.chunks) {
    SHOAL_ASSIGN_OR_RETURN(chunk, ReadDigest(reader));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_tensors, reader.Count(kMaxTensors, kMinTensorBytes));
  shard.tensors.resize(n_tensors);
  for (ShardTensor& tensor : shard.tensors) {
    SHOAL_RETURN_IF_ERROR(DecodeTensor(reader, names, tensor));
  }
  return absl::OkStatus();
}

// Whether the manifest has options.
absl::StatusOr<bool> DecodeHead(ByteReader& reader) {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view magic, reader.Bytes(kMagic.size()));
  if (magic != kMagic) {
    return absl::InvalidArgumentError(
        absl::StrCat("its magic is ", Quoted(magic), ", not ", Quoted(kMagic)));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t version, reader.U32());
  if (version != kManifestVersion && version != kManifestVersionWithOptions) {
    return absl::InvalidArgumentError(absl::StrCat("its format version is ", version,
                                                   ", this release reads ", kManifestVersion,
                                                   " and ", kManifestVersionWithOptions));
  }
  return version == kManifestVersionWithOptions;
}

absl::StatusOr<std::vector<std::string_view>> DecodeNames(ByteReader& reader) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n, reader.Count(UINT32_MAX, 4));
  std::vector<std::string_view> names(n);
  for (std::string_view& name : names) {
    SHOAL_ASSIGN_OR_RETURN(name, reader.String(kMaxNameBytes));
  }
  return names;
}

absl::Status DecodeBody(ByteReader& reader, Manifest& manifest) {
  SHOAL_ASSIGN_OR_RETURN(const bool has_options, DecodeHead(reader));
  SHOAL_ASSIGN_OR_RETURN(manifest.name, ReadString(reader));
  SHOAL_RETURN_IF_ERROR(DecodeConfig(reader, has_options, manifest.config));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string_view> names, DecodeNames(reader));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_shards, reader.Count(kMaxShards, kMinShardBytes));
  manifest.shards.resize(n_shards);
  for (ShardInfo& shard : manifest.shards) {
    SHOAL_RETURN_IF_ERROR(DecodeShard(reader, names, shard));
  }
  SHOAL_RETURN_IF_ERROR(reader.ExpectEnd());
  return CheckManifest(manifest);
}

}  // namespace

const ShardInfo* Manifest::Find(ShardKind kind, int layer, int expert) const {
  const auto key = [](const ShardInfo& s) { return std::tuple(s.kind, s.layer, s.expert); };
  const std::tuple wanted(kind, layer, expert);
  const auto at = std::lower_bound(shards.begin(), shards.end(), wanted,
                                   [&](const ShardInfo& s, const auto& k) { return key(s) < k; });
  return at != shards.end() && key(*at) == wanted ? &*at : nullptr;
}

uint64_t Manifest::n_bytes() const {
  uint64_t n = 0;
  for (const ShardInfo& shard : shards) n += shard.file_bytes;
  return n;
}

std::string EncodeManifest(const Manifest& manifest) {
  ByteWriter writer;
  writer.Bytes(kMagic);
  const bool has_options = HasOptions(manifest.config);
  writer.U32(has_options ? kManifestVersionWithOptions : kManifestVersion);
  writer.String(manifest.name);
  EncodeConfig(manifest.config, writer);
  if (has_options) EncodeOptions(manifest.config, writer);
  const NameTable names(manifest);
  names.Encode(writer);
  writer.U32(static_cast<uint32_t>(manifest.shards.size()));
  for (const ShardInfo& shard : manifest.shards) EncodeShard(shard, names, writer);
  return writer.Take();
}

absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes) {
  if (bytes.size() > kMaxManifestBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a manifest of ", bytes.size(), " bytes, at most ", kMaxManifestBytes));
  }
  ByteReader reader(bytes);
  Manifest manifest;
  const absl::Status status = DecodeBody(reader, manifest);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("manifest: ", std::string(status.message())));
  }
  // Whatever has two spellings (the name table's order, an unused name, a double that no float
  // holds) is caught here once for all.
  if (EncodeManifest(manifest) != bytes) {
    return absl::InvalidArgumentError("manifest: is not in its canonical encoding; import anew");
  }
  return manifest;
}

Sha256Digest ModelId(std::string_view manifest_bytes) {
  return Sha256(std::as_bytes(std::span(manifest_bytes)));
}

std::string SignManifest(std::string_view manifest_bytes, const Ed25519Key& import_key) {
  const Ed25519Signature signature =
      import_key.Sign(kSignPurpose, DigestBytes(ModelId(manifest_bytes)));
  ByteWriter writer;
  writer.Bytes(manifest_bytes);
  writer.Bytes(DigestBytes(import_key.public_key()));
  writer.Bytes({reinterpret_cast<const char*>(signature.data()), signature.size()});
  return writer.Take();
}

absl::StatusOr<SignedManifest> ReadSignedManifest(std::string_view file) {
  constexpr size_t kTail = sizeof(Ed25519PublicKey) + sizeof(Ed25519Signature);
  if (file.size() < kTail || file.size() > kMaxManifestBytes + kTail) {
    return absl::InvalidArgumentError(absl::StrCat("a signed manifest has ", kTail, " to ",
                                                   kMaxManifestBytes + kTail, " bytes, this one ",
                                                   file.size()));
  }
  const std::string_view bytes = file.substr(0, file.size() - kTail);
  SignedManifest result;
  Ed25519Signature signature;
  std::memcpy(result.signer.data(), file.data() + bytes.size(), result.signer.size());
  std::memcpy(signature.data(), file.data() + bytes.size() + result.signer.size(),
              signature.size());
  result.id = ModelId(bytes);
  if (!VerifyEd25519(result.signer, kSignPurpose, DigestBytes(result.id), signature)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "manifest ", ToHex(result.id), ": its signature does not hold; fetch or import it anew"));
  }
  SHOAL_ASSIGN_OR_RETURN(result.manifest, DecodeManifest(bytes));
  return result;
}

}  // namespace shoal
