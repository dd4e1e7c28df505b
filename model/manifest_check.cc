#include "model/manifest_check.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

// Who a shard is: "expert 3 of layer 2".
struct Identity {
  ShardKind kind;
  int layer = -1;
  int expert = -1;
  friend bool operator==(const Identity&, const Identity&) = default;
};

std::string Describe(const Identity& shard) {
  static constexpr const char* kNames[kShardKinds] = {"embedding", "trunk", "expert", "output",
                                                      "tokenizer"};
  std::string text = kNames[static_cast<size_t>(shard.kind)];
  if (shard.expert >= 0) absl::StrAppend(&text, " ", shard.expert);
  if (shard.layer >= 0) absl::StrAppend(&text, " of layer ", shard.layer);
  return text;
}

Identity IdentityOf(const ShardInfo& shard) { return {shard.kind, shard.layer, shard.expert}; }

absl::Status Bad(const ShardInfo& shard, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("shard ", Describe(IdentityOf(shard)), ": ", std::string(what)));
}

// The config says which shards there are; they lie ascending by kind, layer, expert.
std::vector<Identity> ExpectedShards(const ModelConfig& config) {
  std::vector<Identity> shards = {{ShardKind::kEmbedding}};
  for (int layer = 0; layer < config.n_layers; ++layer) {
    shards.push_back({ShardKind::kTrunkLayer, layer});
  }
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int expert = 0; expert < config.NumExperts(layer); ++expert) {
      shards.push_back({ShardKind::kExpert, layer, expert});
    }
  }
  shards.push_back({ShardKind::kOutput});
  shards.push_back({ShardKind::kTokenizer});
  return shards;
}

absl::Status CheckChunks(const ShardInfo& shard) {
  if (shard.file_bytes < kShardHeaderBytes) {
    return Bad(shard, absl::StrCat("file_bytes is ", shard.file_bytes, ", below the header's ",
                                   kShardHeaderBytes));
  }
  const uint64_t n = (shard.file_bytes - 1) / kShardChunkBytes + 1;
  const uint64_t expected = n == 1 ? 0 : n;
  if (shard.chunks.size() == expected) return absl::OkStatus();
  return Bad(shard, absl::StrCat("has ", shard.chunks.size(), " chunk hashes, ", expected,
                                 " expected for ", shard.file_bytes, " bytes"));
}

// Bytes of a tensor by dtype and shape; nothing if its shape is impossible.
std::optional<uint64_t> TensorBytes(const ShardTensor& tensor) {
  if (tensor.shape.empty()) return std::nullopt;
  const DTypeTraits traits = Traits(tensor.dtype);
  if (tensor.shape.back() % traits.block_elems != 0) return std::nullopt;
  Checked<int64_t> n = tensor.shape.back() / traits.block_elems;
  n = n * int64_t{traits.block_bytes};
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) n = n * tensor.shape[i];
  const bool some =
      std::all_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t dim) { return dim > 0; });
  if (!some || !n.value()) return std::nullopt;
  return static_cast<uint64_t>(*n.value());
}

absl::Status CheckTensor(const ShardInfo& shard, const ShardTensor& tensor, uint64_t free_from) {
  const std::string who = "tensor " + Quoted(tensor.name);
  if (tensor.name.empty()) return Bad(shard, "a tensor has no name");
  const std::optional<uint64_t> n_bytes = TensorBytes(tensor);
  if (!n_bytes) return Bad(shard, absl::StrCat(who, ": impossible shape for its dtype"));
  if (*n_bytes != tensor.n_bytes) {
    return Bad(shard, absl::StrCat(who, ": n_bytes is ", tensor.n_bytes, ", dtype and shape say ",
                                   *n_bytes));
  }
  if (tensor.offset % kShardAlignment != 0) {
    return Bad(shard, absl::StrCat(who, ": offset ", tensor.offset, " is not a multiple of ",
                                   kShardAlignment));
  }
  if (tensor.offset < free_from) {
    return Bad(shard, absl::StrCat(who, ": offset ", tensor.offset, " is below ", free_from,
                                   ", where the one before it ends"));
  }
  if (tensor.offset > shard.file_bytes || tensor.n_bytes > shard.file_bytes - tensor.offset) {
    return Bad(shard, absl::StrCat(who, ": ", tensor.n_bytes, " bytes at ", tensor.offset,
                                   " are past the file's ", shard.file_bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckTensors(const ShardInfo& shard) {
  if (shard.kind == ShardKind::kTokenizer && !shard.tensors.empty()) {
    return Bad(shard, absl::StrCat("has ", shard.tensors.size(), " tensors, none expected"));
  }
  std::set<std::string_view> names;
  uint64_t free_from = kShardHeaderBytes;
  for (const ShardTensor& tensor : shard.tensors) {
    SHOAL_RETURN_IF_ERROR(CheckTensor(shard, tensor, free_from));
    free_from = tensor.offset + tensor.n_bytes;
    if (!names.insert(tensor.name).second) {
      return Bad(shard, absl::StrCat("tensor ", Quoted(tensor.name), " stands there twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckName(std::string_view name) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F;
  });
  if (!name.empty() && printable) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "name is ", Quoted(name), ", not one or more characters without control characters"));
}

}  // namespace

absl::Status CheckManifest(const Manifest& manifest) {
  SHOAL_RETURN_IF_ERROR(CheckName(manifest.name));
  const std::vector<Identity> wanted = ExpectedShards(manifest.config);
  const size_t n = wanted.size();
  if (manifest.shards.size() != n) {
    return absl::InvalidArgumentError(absl::StrCat("has ", manifest.shards.size(), " shards, ", n,
                                                   " expected for its layers and experts"));
  }
  for (size_t i = 0; i < n; ++i) {
    const ShardInfo& shard = manifest.shards[i];
    const Identity& expected = wanted[i];
    if (IdentityOf(shard) != expected) {
      return Bad(shard,
                 absl::StrCat("lies at place ", i, ", where ", Describe(expected), " is expected"));
    }
    SHOAL_RETURN_IF_ERROR(CheckChunks(shard));
    SHOAL_RETURN_IF_ERROR(CheckTensors(shard));
  }
  return absl::OkStatus();
}

}  // namespace shoal
