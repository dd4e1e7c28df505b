#include "kernels/row_groups.h"

#include "kernels/matmul.h"
#include "kernels/row_group_types.h"
#include "kernels/scalar_math.h"
#include "kernels/weight_block.h"

namespace shoal::grouped {
namespace {

int Nibble(const Nibbles& q, int64_t r, int element) {
  const int in_half = element % 16;
  return (q.word[in_half / 4][r][in_half % 4] >> (4 * (element / 16))) & 0xF;
}

int TwoBitsOf(const TwoBits& q, int64_t r, int element) {
  return (q[element / 16][r][element % 4] >> (2 * (element % 16 / 4))) & 3;
}

int FiveBitsOf(const FiveBits& q, int64_t r, int element) {
  const int upper = (q.upper[r][element % 4] >> (element / 4)) & 1;
  return Nibble(q.lower, r, element) | upper << 4;
}

template <typename Value>
void SetWeights(WeightBlock* out, Value value) {
  for (int i = 0; i < 32; ++i) out->q[i] = static_cast<int8_t>(value(i));
}

// One for all 32.
void SetScale(WeightBlock* out, float scale) { out->scale[0] = out->scale[1] = scale; }
void SetMin(WeightBlock* out, float min) { out->min[0] = out->min[1] = min; }

// Read: block b of row r.
void Read(DType /*dtype*/, const GroupQ8& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return group.q[b].word[i / 4][r][i % 4] - 128; });
  SetScale(out, F32FromF16(group.d[b][r]));
}

void Read(DType dtype, const GroupQ4& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) {
    const int nibble = Nibble(group.q[b], r, i);
    return dtype == DType::kIQ4_NL ? kIQ4Values[nibble] : nibble - 8;
  });
  SetScale(out, F32FromF16(group.d[b][r]));
}

// What Q4_K and Q5_K have in common.
template <typename Group>
void ReadScaleAndMin(const Group& group, int64_t r, int64_t b, WeightBlock* out) {
  SetScale(out, F32FromF16(group.d[r]) * static_cast<float>(group.scale[b][r]));
  SetMin(out, F32FromF16(group.dmin[r]) * static_cast<float>(group.min[b][r]));
}

void Read(DType /*dtype*/, const GroupQ4K& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return Nibble(group.q[b], r, i); });
  ReadScaleAndMin(group, r, b, out);
}

void Read(DType /*dtype*/, const GroupQ5K& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return FiveBitsOf(group.q[b], r, i); });
  ReadScaleAndMin(group, r, b, out);
}

void Read(DType /*dtype*/, const GroupIQ4XS& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return kIQ4Values[Nibble(group.q[b], r, i)]; });
  SetScale(out, F32FromF16(group.d[r]) * static_cast<float>(group.scale[b][r]));
}

void Read(DType /*dtype*/, const GroupMXFP4& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return kMXFP4Values[Nibble(group.q[b], r, i)]; });
  SetScale(out, HalfOfE8M0(group.e[b][r]));
}

void Read(DType /*dtype*/, const GroupTQ2& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return TwoBitsOf(group.q[b], r, i) - 1; });
  SetScale(out, F32FromF16(group.d[r]));
}

void Read(DType /*dtype*/, const GroupQ6K& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) {
    return (Nibble(group.q[b].lower, r, i) | TwoBitsOf(group.q[b].upper, r, i) << 4) - 32;
  });
  const float d = F32FromF16(group.d[r]);
  for (int h = 0; h < 2; ++h) out->scale[h] = d * static_cast<float>(group.scale[2 * b + h][r]);
}

void Read(DType /*dtype*/, const GroupQ2& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return TwoBitsOf(group.q[b], r, i) - 1; });
  SetScale(out, F32FromF16(group.d[b][r]));
}

void Read(DType /*dtype*/, const GroupQ4Min& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return Nibble(group.q[b], r, i); });
  SetScale(out, F32FromF16(group.d[b][r]));
  SetMin(out, F32FromF16(group.dmin[b][r]));
}

void Read(DType /*dtype*/, const GroupQ5& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return FiveBitsOf(group.q[b], r, i) - 16; });
  SetScale(out, F32FromF16(group.d[b][r]));
}

void Read(DType /*dtype*/, const GroupQ5Min& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return FiveBitsOf(group.q[b], r, i); });
  SetScale(out, F32FromF16(group.d[b][r]));
  SetMin(out, F32FromF16(group.dmin[b][r]));
}

void Read(DType /*dtype*/, const GroupQ2K& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return TwoBitsOf(group.q[b], r, i); });
  for (int h = 0; h < 2; ++h) {
    out->scale[h] = F32FromF16(group.d[r]) * static_cast<float>(group.scale[2 * b + h][r]);
    out->min[h] = F32FromF16(group.dmin[r]) * static_cast<float>(group.min[2 * b + h][r]);
  }
}

void Read(DType /*dtype*/, const GroupNVFP4& group, int64_t r, int64_t b, WeightBlock* out) {
  SetWeights(out, [&](int i) { return kMXFP4Values[Nibble(group.q[b], r, i)]; });
  for (int h = 0; h < 2; ++h) out->scale[h] = F32FromF16(group.d[2 * b + h][r]);
}

template <int kScales>
void Read(DType /*dtype*/, const GroupCoded<kScales>& group, int64_t r, int64_t b,
          WeightBlock* out) {
  SetWeights(out, [&](int i) { return group.table[Nibble(group.q[b], r, i)] - group.kOffset; });
  constexpr int kPerBlock = kScales / 8;
  const float d = F32FromF16(group.d[r]) * group.factor;
  for (int h = 0; h < 2; ++h) {
    const int8_t scale = group.scale[kPerBlock * b + h * (kPerBlock - 1)][r];
    out->scale[h] = d * static_cast<float>(scale);
  }
}

WeightBlock ReadBlock(const PackedView& w, int64_t row, int64_t b) {
  const std::byte* packed = w.data + row / kPackRows * GroupBytes(w.dtype, w.cols);
  WeightBlock out{};
  WithGroup(w.dtype, [&]<typename Group>(Group*) {
    const int64_t n = kBlocksOf<Group>;
    Read(w.dtype, reinterpret_cast<const Group*>(packed)[b / n], row % kPackRows, b % n, &out);
  });
  return out;
}

}  // namespace

int64_t PackedBytes(DType dtype, int64_t rows, int64_t cols) {
  if (!Traits(dtype).quantized) return scalar::PackedBytes(dtype, rows, cols);
  return (rows + kPackRows - 1) / kPackRows * GroupBytes(dtype, cols);
}

void UnpackRow(const PackedView& w, int64_t row, float* out) {
  if (!Traits(w.dtype).quantized) return scalar::UnpackRow(w, row, out);
  for (int64_t b = 0; b < w.cols / 32; ++b) DequantizeBlock(ReadBlock(w, row, b), out + 32 * b);
}

}  // namespace shoal::grouped
