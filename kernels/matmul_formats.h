#pragma once

// The block formats as kernels/matmul_blocks.h multiplies them, each once for all instruction sets.
// A format reads from its Group (kernels/row_groups.h), for S::kLanes rows from `row` on:
//   Words(group, b, row, w)        w[8], the weights of block b plus kOffset as unsigned bytes
//   Scale(group, b, row, half)     their factor; one for both halves unless kHalves
//   Min(group, b, row, half)       what is taken off each value, if kMins
// S is an instruction set's registers and what is done with them. Included by the files of those
// only, after row_groups.h; private to each.
namespace shoal {
namespace {

struct FormatTraits {
  static constexpr int kGroupBlocks = 2;  // Blocks of 32 columns in a Group.
  static constexpr int kLargest = 15;     // No unsigned weight is larger.
  static constexpr int kOffset = 0;
  static constexpr bool kHalves = false;  // A factor for each 16 elements.
  static constexpr bool kMins = false;
};

template <typename S>
inline void UnpackNibbles(const Nibbles& q, int row, typename S::Bytes* w) {
  for (int k = 0; k < 4; ++k) {
    const typename S::Bytes both = S::LoadBytes(q.word[k][row]);
    w[k] = S::template Field<0, 0x0F>(both);
    w[k + 4] = S::template Field<4, 0x0F>(both);
  }
}

template <typename S>
inline void UnpackFiveBits(const FiveBits& q, int row, typename S::Bytes* w) {
  UnpackNibbles<S>(q.lower, row, w);
  const typename S::Bytes upper = S::LoadBytes(q.upper[row]);
  w[0] = S::Or(w[0], S::template Field<-4, 0x10>(upper));
  w[1] = S::Or(w[1], S::template Field<-3, 0x10>(upper));
  w[2] = S::Or(w[2], S::template Field<-2, 0x10>(upper));
  w[3] = S::Or(w[3], S::template Field<-1, 0x10>(upper));
  w[4] = S::Or(w[4], S::template Field<0, 0x10>(upper));
  w[5] = S::Or(w[5], S::template Field<1, 0x10>(upper));
  w[6] = S::Or(w[6], S::template Field<2, 0x10>(upper));
  w[7] = S::Or(w[7], S::template Field<3, 0x10>(upper));
}

template <typename S>
inline void UnpackTwoBits(const TwoBits& q, int row, typename S::Bytes* w) {
  for (int h = 0; h < 2; ++h) {
    const typename S::Bytes four = S::LoadBytes(q[h][row]);
    w[4 * h] = S::template Field<0, 3>(four);
    w[4 * h + 1] = S::template Field<2, 3>(four);
    w[4 * h + 2] = S::template Field<4, 3>(four);
    w[4 * h + 3] = S::template Field<6, 3>(four);
  }
}

// Nibbles are indices of a table of unsigned bytes.
template <typename S>
inline void LookUpNibbles(const Nibbles& q, const uint8_t* table, int row, typename S::Bytes* w) {
  UnpackNibbles<S>(q, row, w);
  for (int k = 0; k < 8; ++k) w[k] = S::Lookup(table, w[k]);
}

// An f16 for each block of 32.
template <typename S, typename GroupD>
struct FormatWithF16Scales : FormatTraits {
  using Group = GroupD;

  static typename S::Floats Scale(const Group& group, int64_t b, int row, int /*half*/) {
    return S::FromF16(group.d[b] + row);
  }
};

template <typename S>
struct FormatQ4_0 : FormatWithF16Scales<S, GroupQ4> {
  static constexpr int kOffset = 8;

  static void Words(const GroupQ4& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackNibbles<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ8_0 : FormatWithF16Scales<S, GroupQ8> {
  static constexpr int kLargest = 255;
  static constexpr int kOffset = 128;

  static void Words(const GroupQ8& group, int64_t b, int row, typename S::Bytes* w) {
    for (int k = 0; k < 8; ++k) w[k] = S::LoadBytes(group.q[b].word[k][row]);
  }
};

// Q4_K and Q5_K: groups alike but for the weights.
template <typename S, typename GroupK>
struct FormatWithMins : FormatTraits {
  using Group = GroupK;
  static constexpr int kGroupBlocks = 8;
  static constexpr bool kMins = true;

  static typename S::Floats Scale(const Group& group, int64_t b, int row, int /*half*/) {
    return S::Mul(S::FromF16(group.d + row), S::FromU8(group.scale[b] + row));
  }
  static typename S::Floats Min(const Group& group, int64_t b, int row, int /*half*/) {
    return S::Mul(S::FromF16(group.dmin + row), S::FromU8(group.min[b] + row));
  }
};

template <typename S>
struct FormatQ4_K : FormatWithMins<S, GroupQ4K> {
  static void Words(const GroupQ4K& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackNibbles<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ5_K : FormatWithMins<S, GroupQ5K> {
  static constexpr int kLargest = 31;

  static void Words(const GroupQ5K& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackFiveBits<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ6_K : FormatTraits {
  using Group = GroupQ6K;
  static constexpr int kGroupBlocks = 8;
  static constexpr int kLargest = 63;
  static constexpr int kOffset = 32;
  static constexpr bool kHalves = true;

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackNibbles<S>(group.q[b].lower, row, w);
    for (int h = 0; h < 2; ++h) {
      const typename S::Bytes upper = S::LoadBytes(group.q[b].upper[h][row]);
      w[4 * h] = S::Or(w[4 * h], S::template Field<-4, 0x30>(upper));
      w[4 * h + 1] = S::Or(w[4 * h + 1], S::template Field<-2, 0x30>(upper));
      w[4 * h + 2] = S::Or(w[4 * h + 2], S::template Field<0, 0x30>(upper));
      w[4 * h + 3] = S::Or(w[4 * h + 3], S::template Field<2, 0x30>(upper));
    }
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int half) {
    return S::Mul(S::FromF16(group.d + row), S::FromI8(group.scale[2 * b + half] + row));
  }
};

// A nibble is an index of a table, here of unsigned bytes: values + offset.
template <int kOffset>
struct UnsignedTable {
  constexpr explicit UnsignedTable(const int8_t (&values)[16]) : bytes() {
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(values[i] + kOffset);
  }
  alignas(16) uint8_t bytes[16];
};

template <typename S>
struct FormatIQ4_XS : FormatTraits {
  using Group = GroupIQ4XS;
  static constexpr int kGroupBlocks = 8;
  static constexpr int kLargest = 113 + 128;
  static constexpr int kOffset = 128;
  static constexpr UnsignedTable<kOffset> kTable{kIQ4Values};

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    LookUpNibbles<S>(group.q[b], kTable.bytes, row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int /*half*/) {
    return S::Mul(S::FromF16(group.d + row), S::FromI8(group.scale[b] + row));
  }
};

template <typename S>
struct FormatMXFP4 : FormatTraits {
  using Group = GroupMXFP4;
  static constexpr int kGroupBlocks = 4;
  static constexpr int kLargest = 24;
  static constexpr int kOffset = 12;
  static constexpr UnsignedTable<kOffset> kTable{kMXFP4Values};

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    LookUpNibbles<S>(group.q[b], kTable.bytes, row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int /*half*/) {
    return S::FromE8M0Halved(group.e[b] + row);
  }
};

template <typename S>
struct FormatTQ2_0 : FormatTraits {
  using Group = GroupTQ2;
  static constexpr int kGroupBlocks = 8;
  static constexpr int kLargest = 3;
  static constexpr int kOffset = 1;

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackTwoBits<S>(group.q[b], row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t /*b*/, int row, int /*half*/) {
    return S::FromF16(group.d + row);
  }
};

template <typename S>
struct FormatQ2_0 : FormatWithF16Scales<S, GroupQ2> {
  static constexpr int kLargest = 3;
  static constexpr int kOffset = 1;

  static void Words(const GroupQ2& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackTwoBits<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ5_0 : FormatWithF16Scales<S, GroupQ5> {
  static constexpr int kLargest = 31;
  static constexpr int kOffset = 16;

  static void Words(const GroupQ5& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackFiveBits<S>(group.q[b], row, w);
  }
};

// Q4_1 and Q5_1: groups alike but for the weights.
template <typename S, typename GroupMin>
struct FormatWithF16Mins : FormatWithF16Scales<S, GroupMin> {
  static constexpr bool kMins = true;

  static typename S::Floats Min(const GroupMin& group, int64_t b, int row, int /*half*/) {
    return S::FromF16(group.dmin[b] + row);
  }
};

template <typename S>
struct FormatQ4_1 : FormatWithF16Mins<S, GroupQ4Min> {
  static void Words(const GroupQ4Min& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackNibbles<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ5_1 : FormatWithF16Mins<S, GroupQ5Min> {
  static constexpr int kLargest = 31;

  static void Words(const GroupQ5Min& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackFiveBits<S>(group.q[b], row, w);
  }
};

template <typename S>
struct FormatQ2_K : FormatTraits {
  using Group = GroupQ2K;
  static constexpr int kGroupBlocks = 8;
  static constexpr int kLargest = 3;
  static constexpr bool kHalves = true;
  static constexpr bool kMins = true;

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    UnpackTwoBits<S>(group.q[b], row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int half) {
    return S::Mul(S::FromF16(group.d + row), S::FromI8(group.scale[2 * b + half] + row));
  }
  static typename S::Floats Min(const Group& group, int64_t b, int row, int half) {
    return S::Mul(S::FromF16(group.dmin + row), S::FromU8(group.min[2 * b + half] + row));
  }
};

template <typename S>
struct FormatIQ4_NL : FormatWithF16Scales<S, GroupQ4> {
  static constexpr int kLargest = 113 + 128;
  static constexpr int kOffset = 128;
  static constexpr UnsignedTable<kOffset> kTable{kIQ4Values};

  static void Words(const GroupQ4& group, int64_t b, int row, typename S::Bytes* w) {
    LookUpNibbles<S>(group.q[b], kTable.bytes, row, w);
  }
};

template <typename S>
struct FormatNVFP4 : FormatTraits {
  using Group = GroupNVFP4;
  static constexpr int kLargest = 24;
  static constexpr int kOffset = 12;
  static constexpr bool kHalves = true;
  static constexpr UnsignedTable<kOffset> kTable{kMXFP4Values};

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    LookUpNibbles<S>(group.q[b], kTable.bytes, row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int half) {
    return S::FromF16(group.d[2 * b + half] + row);
  }
};

template <typename S, int kScales>
struct FormatCoded : FormatTraits {
  using Group = GroupCoded<kScales>;
  static constexpr int kGroupBlocks = 8;
  static constexpr int kLargest = 127;
  static constexpr int kOffset = Group::kOffset;
  static constexpr bool kHalves = kScales == 16;

  static void Words(const Group& group, int64_t b, int row, typename S::Bytes* w) {
    LookUpNibbles<S>(group.q[b], group.table, row, w);
  }
  static typename S::Floats Scale(const Group& group, int64_t b, int row, int half) {
    const int8_t* scale = group.scale[kHalves ? 2 * b + half : b] + row;
    return S::Mul(S::Mul(S::FromF16(group.d + row), S::FromI8(scale)), S::SetFloats(group.factor));
  }
};

}  // namespace
}  // namespace shoal
