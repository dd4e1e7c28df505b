// Any bytes, as a manifest, as one signed here by the right key, or as the header of a shard: the
// first byte says which (S34). What is accepted is canonical, and as the code after it relies on.
// Seeds: tests/data/fuzz/manifest.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/random.h"
#include "model/manifest.h"
#include "model/shard.h"

namespace shoal {
namespace {

void CheckShard(const Manifest& manifest, const ShardInfo& shard) {
  SHOAL_CHECK(manifest.Find(shard.kind, shard.layer, shard.expert) == &shard);
  SHOAL_CHECK_LT(shard.layer, manifest.config.n_layers);
  SHOAL_CHECK_LT(shard.expert, manifest.config.n_experts);
  SHOAL_CHECK_GE(shard.file_bytes, kShardHeaderBytes);
  uint64_t end = kShardHeaderBytes;
  for (const ShardTensor& tensor : shard.tensors) {
    SHOAL_CHECK_EQ(tensor.offset % kShardAlignment, 0U);
    SHOAL_CHECK_GE(tensor.offset, end);
    SHOAL_CHECK_LE(tensor.n_bytes, shard.file_bytes - tensor.offset);
    end = tensor.offset + tensor.n_bytes;
  }
}

void DecodeAny(std::string_view bytes) {
  const auto manifest = DecodeManifest(bytes);
  if (!manifest.ok()) return;
  SHOAL_CHECK(EncodeManifest(*manifest) == bytes);
  for (const ShardInfo& shard : manifest->shards) CheckShard(*manifest, shard);
}

void ReadSigned(std::string_view bytes) {
  static const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  SHOAL_CHECK(!ReadSignedManifest(bytes).ok());  // Nobody has signed it.
  const auto manifest = ReadSignedManifest(SignManifest(bytes, key));
  if (!manifest.ok()) return;
  SHOAL_CHECK(manifest->id == ModelId(bytes));
  SHOAL_CHECK(manifest->signer == key.public_key());
}

void DecodeHeader(std::string_view bytes) {
  const auto header = std::as_bytes(std::span(bytes));
  const auto data_bytes = DecodeShardHeader(header);
  if (!data_bytes.ok()) return;
  const auto again = EncodeShardHeader(*data_bytes);
  SHOAL_CHECK(std::equal(again.begin(), again.end(), header.begin(), header.end()));
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      shoal::DecodeAny(bytes);
      break;
    case 1:
      shoal::ReadSigned(bytes);
      break;
    default:
      shoal::DecodeHeader(bytes);
  }
  return 0;
}
