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

struct TileResult {
  float max;
  float sum;
};

// One tile of one query; its output goes to `out` [head_dim].
TileResult AttendTile(const AttendArgs& args, const float* q, int64_t tile, int64_t n_keys,
                      float* row, float* out) {
  float s[kKeyTile] = {};
  TileResult result{-std::numeric_limits<float>::infinity(), 0.0F};
  for (int64_t k = 0; k < n_keys; ++k) {
    s[k] = Dot16(q, TileRow(args, args.k_tiles[tile], k, row), args.head_dim) * args.scale;
  }
  for (int64_t k = 0; k < n_keys; ++k) result.max = std::max(result.max, s[k]);
  for (int64_t k = 0; k < n_keys; ++k) s[k] = Exp(s[k] - result.max);
  Lanes16 lanes;
  lanes.Add(s, n_keys);
  result.sum = lanes.Sum();
  std::fill(out, out + args.head_dim, 0.0F);
  for (int64_t k = 0; k < n_keys; ++k) {
    const float* v = TileRow(args, args.v_tiles[tile], k, row);
    for (int d = 0; d < args.head_dim; ++d) out[d] = std::fma(s[k], v[d], out[d]);
  }
  return result;
}

void AttendQuery(const AttendArgs& args, int query) {
  float* row = args.scratch;
  float* tile_out = row + args.head_dim;
  float* out = args.out[query];
  const int64_t n_keys = args.n_keys[query];
  TileResult total =
      AttendTile(args, args.q[query], 0, std::min<int64_t>(n_keys, kKeyTile), row, out);
  for (int64_t tile = 1; tile * kKeyTile < n_keys; ++tile) {
    const int64_t visible = std::min<int64_t>(n_keys - tile * kKeyTile, kKeyTile);
    const TileResult part = AttendTile(args, args.q[query], tile, visible, row, tile_out);
    const float max = std::max(total.max, part.max);
    const float a = Exp(total.max - max);
    const float b = Exp(part.max - max);
    total = {max, std::fma(part.sum, b, total.sum * a)};
    for (int d = 0; d < args.head_dim; ++d) out[d] = std::fma(tile_out[d], b, out[d] * a);
  }
  for (int d = 0; d < args.head_dim; ++d) out[d] = out[d] / total.sum;
}

}  // namespace

void Attend(const AttendArgs& args) {
  for (int query = 0; query < args.n_queries; ++query) AttendQuery(args, query);
}

}  // namespace shoal::scalar
