#include "model/shard.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALSHD";

}  // namespace

std::array<std::byte, kShardHeaderBytes> EncodeShardHeader(uint64_t data_bytes) {
  ByteWriter writer;
  writer.Bytes(kMagic);
  writer.U32(kShardVersion);
  writer.U32(0);
  writer.U64(data_bytes);
  std::array<std::byte, kShardHeaderBytes> header = {};
  const auto bytes = std::as_bytes(std::span(writer.bytes()));
  std::copy(bytes.begin(), bytes.end(), header.begin());
  return header;
}

absl::StatusOr<uint64_t> DecodeShardHeader(std::span<const std::byte> header) {
  if (header.size() != kShardHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a shard's header has ", kShardHeaderBytes,
                                                   " bytes, these are ", header.size()));
  }
  ByteReader reader({reinterpret_cast<const char*>(header.data()), header.size()});
  SHOAL_ASSIGN_OR_RETURN(const std::string_view magic, reader.Bytes(kMagic.size()));
  if (magic != kMagic) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shard's magic is ", Quoted(magic), ", not ", Quoted(kMagic)));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t version, reader.U32());
  if (version != kShardVersion) {
    return absl::InvalidArgumentError(absl::StrCat("a shard's format version is ", version,
                                                   ", this release reads ", kShardVersion));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t zero, reader.U32());
  SHOAL_ASSIGN_OR_RETURN(const uint64_t data_bytes, reader.U64());
  const std::span<const std::byte> rest = header.subspan(reader.offset());
  if (zero != 0 ||
      std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; })) {
    return absl::InvalidArgumentError(
        "a shard's header has bytes that are not zero after its fields");
  }
  return data_bytes;
}

std::string ShardPath(const Sha256Digest& hash) {
  const std::string hex = ToHex(hash);
  return absl::StrCat(hex.substr(0, 2), "/", hex);
}

}  // namespace shoal
