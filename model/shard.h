#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/sha256.h"

namespace shoal {

// A shard is a file of a fixed header and data, named by the SHA-256 of all of it
// (docs/shard_format.md). What the data means stands in the manifest only.
//
//   offset 0   8 bytes  magic "SHOALSHD"
//          8   u32      format version, 1
//         12   u32      zero
//         16   u64      data_bytes
//         24            zeros
//         64            data: data_bytes; matrices begin at multiples of 64
inline constexpr size_t kShardHeaderBytes = 64;
inline constexpr uint32_t kShardVersion = 1;
inline constexpr size_t kShardAlignment = 64;
// Files travel and are checked in chunks of this size.
inline constexpr size_t kShardChunkBytes = size_t{4} << 20;

std::array<std::byte, kShardHeaderBytes> EncodeShardHeader(uint64_t data_bytes);
// The data's length. InvalidArgument unless `header` is exactly such a header.
absl::StatusOr<uint64_t> DecodeShardHeader(std::span<const std::byte> header);

// "ab/abcdef...": where a shard lies under its store's folder.
std::string ShardPath(const Sha256Digest& hash);

}  // namespace shoal
