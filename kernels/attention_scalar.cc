#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention.h"
#include "kernels/scalar_math.h"

namespace shoal::scalar {
namespace {

// Row `key` of a tile as f32; `buffer` holds it when it has to be converted.
const float* TileRow(const AttendArgs& args, const void* tile, int64_t key, float* buffer) {
  const auto* row =
      static_cast<const std::byte*>(tile) + key * KvRowBytes(args.kv_type, args.head_dim);
  if (args.kv_type == KvType::kF32) return reinterpret_cast<const float*>(row);
  for (int d = 0; d < args.head_dim; ++d) {
    if (args.kv_type == KvType::kF16) {
      buffer[d] = F32FromF16(reinterpret_cast<const uint16_t*>(row)[d]);
    } else {
      const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row)[d / 32];
      buffer[d] = F32FromF16(block.d) * static_cast<float>(block.q[d % 32]);
    }
  }
  return buffer;
}

int64_t FirstKey(const AttendArgs& args, int query) {
  return args.first_keys == nullptr ? 0 : args.first_keys[query];
}

struct TileResult {
  float max;
  float sum;
};

// What query `query` sees of a tile; its output goes to `out` [head_dim].
TileResult AttendTile(const AttendArgs& args, int query, int64_t tile, float* row, float* out) {
  const int64_t first_key = tile * kKeyTile;
  const int64_t begin = std::max<int64_t>(FirstKey(args, query) - first_key, 0);
  const int64_t end = std::min<int64_t>(args.n_keys[query] - first_key, kKeyTile);
  const float* q = args.q[query];
  float s[kKeyTile] = {};
  TileResult result{-std::numeric_limits<float>::infinity(), 0.0F};
  for (int64_t k = begin; k < end; ++k) {
    s[k] = Dot16(q, TileRow(args, args.k_tiles[tile], k, row), args.head_dim) * args.scale;
  }
  for (int64_t k = begin; k < end; ++k) result.max = std::max(result.max, s[k]);
  for (int64_t k = begin; k < end; ++k) s[k] = Exp(s[k] - result.max);
  Lanes16 lanes;
  lanes.Add(s, end);
  result.sum = lanes.Sum();
  std::fill(out, out + args.head_dim, 0.0F);
  for (int64_t k = begin; k < end; ++k) {
    const float* v = TileRow(args, args.v_tiles[tile], k, row);
    for (int d = 0; d < args.head_dim; ++d) out[d] = std::fma(s[k], v[d], out[d]);
  }
  return result;
}

void AttendQuery(const AttendArgs& args, int query) {
  float* row = args.scratch;
  float* tile_out = row + args.head_dim;
  float* out = args.out[query];
  const int64_t first_tile = FirstKey(args, query) / kKeyTile;
  TileResult total = AttendTile(args, query, first_tile, row, out);
  for (int64_t tile = first_tile + 1; tile * kKeyTile < args.n_keys[query]; ++tile) {
    const TileResult part = AttendTile(args, query, tile, row, tile_out);
    const float max = std::max(total.max, part.max);
    const float a = Exp(total.max - max);
    const float b = Exp(part.max - max);
    total = {max, std::fma(part.sum, b, total.sum * a)};
    for (int d = 0; d < args.head_dim; ++d) out[d] = std::fma(tile_out[d], b, out[d] * a);
  }
  if (args.sinks != nullptr) {
    const float max = std::max(total.max, args.sinks[query]);
    const float a = Exp(total.max - max);
    total.sum = total.sum * a + Exp(args.sinks[query] - max);
    for (int d = 0; d < args.head_dim; ++d) out[d] = out[d] * a;
  }
  for (int d = 0; d < args.head_dim; ++d) out[d] = out[d] / total.sum;
}

}  // namespace

void Attend(const AttendArgs& args) {
  for (int query = 0; query < args.n_queries; ++query) AttendQuery(args, query);
}

}  // namespace shoal::scalar
