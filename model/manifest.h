#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ed25519.h"
#include "base/sha256.h"
#include "model/dtype.h"
#include "model/model_config.h"

namespace shoal {

enum class ShardKind : uint8_t {
  kEmbedding = 0,
  kTrunkLayer = 1,  // Everything of a layer but its experts.
  kExpert = 2,      // Gate, up and down of one expert of one layer.
  kOutput = 3,      // Final norm and output head.
  kTokenizer = 4,   // Vocabulary and chat template (model/tokenizer_shard.h); has no tensors.
};

// One matrix in a shard. An expert's have the name of the stack that they were cut from, and the
// shape of one slice: [rows, cols].
struct ShardTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // From the begin of the file; a multiple of kShardAlignment.
  uint64_t n_bytes = 0;
};

struct ShardInfo {
  Sha256Digest hash = {};
  ShardKind kind = ShardKind::kExpert;
  int layer = -1;           // -1: of no layer.
  int expert = -1;          // -1: no expert.
  uint64_t file_bytes = 0;  // Header and data.
  std::vector<Sha256Digest> chunks =
      {};  // Of each kShardChunkBytes of the file; empty if only one.
  std::vector<ShardTensor> tensors = {};
};

// What a model is: its numbers, and the shards that hold its bytes.
struct Manifest {
  std::string name;  // What clients call it.
  ModelConfig config;
  std::vector<ShardInfo> shards;  // Ascending by (kind, layer, expert); exactly one of each.

  // Null when there is none.
  const ShardInfo* Find(ShardKind kind, int layer = -1, int expert = -1) const;
  uint64_t n_bytes() const;  // Of all shards' files.
};

inline constexpr size_t kMaxManifestBytes = size_t{256} << 20;

// One canonical byte string: the same manifest gives the same bytes, and only those are accepted.
std::string EncodeManifest(const Manifest& manifest);
// Everything is checked: counts, ranges, ValidateConfig, one shard of each kind, tensors inside
// their file, ascending, aligned, without overlap, of the sizes that dtype and shape say.
absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes);

// SHA-256 of the canonical bytes; as hex it is the model's id.
Sha256Digest ModelId(std::string_view manifest_bytes);

// The file: canonical bytes, then the import key (32) and its signature over the model's id (64).
std::string SignManifest(std::string_view manifest_bytes, const Ed25519Key& import_key);

struct SignedManifest {
  Sha256Digest id = {};
  Ed25519PublicKey signer = {};
  Manifest manifest;
};
// Checks the signature (S20) and decodes. Whether the signer is to be trusted is the caller's.
absl::StatusOr<SignedManifest> ReadSignedManifest(std::string_view file);

}  // namespace shoal
