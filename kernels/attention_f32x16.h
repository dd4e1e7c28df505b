#pragma once

// The body of attention.h over 16 lanes. Included by attention_avx2.cc and its like after their
// f32x16 header; private to each. Up to kQueryTile queries share each load of a key or a value;
// the sums of each are its own.
namespace shoal {
namespace {

// A tile of one query: largest score, sum of exponentials; the output lies in scratch.
struct TilePart {
  float max;
  float sum;
};

// acc[i][j] += the products of 16 elements of q[i] and of key j, `stride` after the one before.
template <int kQueries, typename T>
inline void AddScores(const float* const* q, const T* keys, int stride, int d, F32x16 (*acc)[4]) {
  F32x16 key[4];
  for (int j = 0; j < 4; ++j) key[j] = Load(keys + j * stride + d);
  for (int i = 0; i < kQueries; ++i) {
    const F32x16 query = Load(q[i] + d);
    for (int j = 0; j < 4; ++j) acc[i][j] = Fma(query, key[j], acc[i][j]);
  }
}

// s[i][k] = (q[i] . key k) * scale for keys [begin, end) of a tile, both rounded out to fours.
template <int kQueries, typename T>
inline void Scores(const float* const* q, const T* keys, int64_t begin, int64_t end, int head_dim,
                   float scale, float (*s)[kKeyTile]) {
  for (int64_t k = begin / 4 * 4; k < end; k += 4) {
    const T* rows = keys + k * head_dim;
    F32x16 acc[kQueries][4];
    for (auto& query : acc) {
      for (F32x16& a : query) a = Broadcast(0.0F);
    }
    const int whole = head_dim / 16 * 16;
    for (int d = 0; d < whole; d += 16) AddScores<kQueries>(q, rows, head_dim, d, acc);
    if (whole < head_dim) {  // Copies filled up with zeros: acc stays in registers.
      float query_tail[kQueries][16] = {};
      T key_tail[4][16] = {};
      const float* query_tails[kQueries];
      const auto n_tail = static_cast<size_t>(head_dim - whole);
      for (int i = 0; i < kQueries; ++i) {
        __builtin_memcpy(query_tail[i], q[i] + whole, n_tail * sizeof(float));
        query_tails[i] = query_tail[i];
      }
      for (int j = 0; j < 4; ++j) {
        __builtin_memcpy(key_tail[j], rows + j * head_dim + whole, n_tail * sizeof(T));
      }
      AddScores<kQueries>(query_tails, key_tail[0], 16, 0, acc);
    }
    for (int i = 0; i < kQueries; ++i) StoreFourSums(acc[i], scale, &s[i][k]);
  }
}

// Keys [begin, end) of a tile: what a query sees of it.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

// Lanes of keys k and on that lie outside the range become `other`'s.
inline F32x16 KeepInside(F32x16 v, int64_t k, KeyRange range, F32x16 other) {
  v = KeepFirst(v, range.end - k < 16 ? range.end - k : 16, other);
  return range.begin <= k ? v : KeepFirst(other, range.begin - k, v);
}

// Scores of the range become exponentials, in place.
inline TilePart Exponentials(float* s, KeyRange range) {
  const int64_t first = range.begin / 16 * 16;
  const F32x16 lowest = Broadcast(-__builtin_inff());
  F32x16 largest = lowest;
  for (int64_t k = first; k < range.end; k += 16) {
    largest = Max(KeepInside(Load(s + k), k, range, lowest), largest);
  }
  const float max = LargestLane(largest);
  F32x16 sums = Broadcast(0.0F);
  for (int64_t k = first; k < range.end; k += 16) {
    const F32x16 e = Exp(Sub(Load(s + k), Broadcast(max)));
    const F32x16 p = KeepInside(e, k, range, Broadcast(0.0F));
    sums = Add(sums, p);
    Store(s + k, p);
  }
  return {max, Sum(sums)};
}

// out[i][d..] += sum over keys [begin, end) of p[i][key] * value, keys ascending; kVectors * 16
// elements from d on, or fewer than 16 when `partial` is not 0.
template <int kQueries, int kVectors, typename T>
inline void AddValuesAt(const float (*p)[kKeyTile], const T* values, int64_t begin, int64_t end,
                        int head_dim, int d, int partial, float* const* out) {
  F32x16 acc[kQueries][kVectors];
  for (int i = 0; i < kQueries; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      const float* from = out[i] + d + 16 * j;
      acc[i][j] = partial != 0 ? LoadFirst(from, partial) : Load(from);
    }
  }
  for (int64_t k = begin; k < end; ++k) {
    F32x16 value[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      const T* from = values + k * head_dim + d + 16 * j;
      value[j] = partial != 0 ? LoadFirst(from, partial) : Load(from);
    }
    for (int i = 0; i < kQueries; ++i) {
      const F32x16 weight = Broadcast(p[i][k]);
      for (int j = 0; j < kVectors; ++j) acc[i][j] = Fma(weight, value[j], acc[i][j]);
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      float* to = out[i] + d + 16 * j;
      if (partial != 0) {
        StoreFirst(to, partial, acc[i][j]);
      } else {
        Store(to, acc[i][j]);
      }
    }
  }
}

template <int kQueries, typename T>
inline void AddValues(const float (*p)[kKeyTile], const T* values, int64_t begin, int64_t end,
                      int head_dim, float* const* out) {
  if (begin >= end) return;
  int d = 0;
  for (; d + 64 <= head_dim; d += 64) {
    AddValuesAt<kQueries, 4>(p, values, begin, end, head_dim, d, 0, out);
  }
  for (; d + 16 <= head_dim; d += 16) {
    AddValuesAt<kQueries, 1>(p, values, begin, end, head_dim, d, 0, out);
  }
  if (d < head_dim) {
    AddValuesAt<kQueries, 1>(p, values, begin, end, head_dim, d, head_dim - d, out);
  }
}

// out = fma(part, b, out * a), element by element.
inline void MergeOutput(const float* part, float a, float b, int head_dim, float* out) {
  int d = 0;
  for (; d + 16 <= head_dim; d += 16) {
    Store(out + d, Fma(Load(part + d), Broadcast(b), Mul(Load(out + d), Broadcast(a))));
  }
  if (d == head_dim) return;
  const int left = head_dim - d;
  const F32x16 scaled = Mul(LoadFirst(out + d, left), Broadcast(a));
  StoreFirst(out + d, left, Fma(LoadFirst(part + d, left), Broadcast(b), scaled));
}

inline void DivideBy(float sum, int head_dim, float* out) {
  int d = 0;
  for (; d + 16 <= head_dim; d += 16) Store(out + d, Div(Load(out + d), Broadcast(sum)));
  if (d < head_dim) {
    StoreFirst(out + d, head_dim - d, Div(LoadFirst(out + d, head_dim - d), Broadcast(sum)));
  }
}

inline float ExpOf(float x) {
  float lanes[16];
  Store(lanes, Exp(Broadcast(x)));
  return lanes[0];
}

// What a query has gathered over the tiles so far; its output lies in `out`.
struct Gathered {
  const float* q;
  float* out;
  int64_t first_key;
  int64_t n_keys;
  TilePart total;

  bool Sees(int64_t tile) const {
    return n_keys > tile * kKeyTile && first_key < (tile + 1) * kKeyTile;
  }
  bool BeginsIn(int64_t tile) const { return first_key / kKeyTile == tile; }
  KeyRange RangeIn(int64_t tile) const {
    const int64_t begin = first_key - tile * kKeyTile;
    const int64_t end = n_keys - tile * kKeyTile;
    return {begin > 0 ? begin : 0, end < kKeyTile ? end : kKeyTile};
  }
};

// The tile of one key without a value that is merged last.
inline void JoinSink(float sink, int head_dim, Gathered* query) {
  const float max = sink > query->total.max ? sink : query->total.max;
  const float a = ExpOf(query->total.max - max);
  query->total = {max, query->total.sum * a + ExpOf(sink - max)};
  for (int d = 0; d < head_dim; ++d) query->out[d] = query->out[d] * a;
}

// Keys and values of a tile.
template <typename T>
struct Tile {
  const T* keys;
  const T* values;
};

// The first n_keys rows of a q8_0 tile as f32, dense.
inline const float* DecodeRows(const void* tile, int64_t n_keys, int head_dim, float* out) {
  const auto* block = static_cast<const BlockQ8_0*>(tile);
  for (float* row = out; row < out + n_keys * head_dim; row += head_dim) {
    for (int d = 0; d < head_dim; d += 32, ++block) {
      float scale[16];
      Store(scale, LoadFirst(&block->d, 1));
      const int n = head_dim - d < 32 ? head_dim - d : 32;
      for (int i = 0; i < n; ++i) row[d + i] = scale[0] * static_cast<float>(block->q[i]);
    }
  }
  return out;
}

// Of tile `tile` what the first n_keys keys need; q8_0 rows are decoded once for all queries.
template <typename T>
inline Tile<T> TileOf(const AttendArgs& args, int64_t tile, int64_t n_keys) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (args.kv_type == KvType::kQ8_0) {
      float* keys = args.scratch + kQueryTile * args.head_dim;
      float* values = keys + kKeyTile * args.head_dim;
      return {DecodeRows(args.k_tiles[tile], n_keys, args.head_dim, keys),
              DecodeRows(args.v_tiles[tile], n_keys, args.head_dim, values)};
    }
  }
  return {static_cast<const T*>(args.k_tiles[tile]), static_cast<const T*>(args.v_tiles[tile])};
}

// Tile `tile` of kQueries queries that all see some of it.
template <int kQueries, typename T>
inline void AttendTile(const AttendArgs& args, Tile<T> rows, int64_t tile, Gathered* queries) {
  alignas(64) float s[kQueries][kKeyTile];
  const float* q[kQueries];
  float* out[kQueries];
  KeyRange range[kQueries];
  KeyRange any = {kKeyTile, 0};  // Keys that some query sees,
  KeyRange all = {0, kKeyTile};  // and that all do.
  for (int i = 0; i < kQueries; ++i) {
    range[i] = queries[i].RangeIn(tile);
    any.begin = range[i].begin < any.begin ? range[i].begin : any.begin;
    any.end = range[i].end > any.end ? range[i].end : any.end;
    all.begin = range[i].begin > all.begin ? range[i].begin : all.begin;
    all.end = range[i].end < all.end ? range[i].end : all.end;
    q[i] = queries[i].q;
    out[i] = queries[i].BeginsIn(tile) ? queries[i].out : args.scratch + i * args.head_dim;
  }
  Scores<kQueries>(q, rows.keys, any.begin, any.end, args.head_dim, args.scale, s);
  TilePart parts[kQueries];
  if (all.end < all.begin) all.end = all.begin;
  for (int i = 0; i < kQueries; ++i) {
    parts[i] = Exponentials(s[i], range[i]);
    __builtin_memset(out[i], 0, static_cast<size_t>(args.head_dim) * sizeof(float));
    const int64_t end = range[i].end < all.begin ? range[i].end : all.begin;
    AddValues<1>(s + i, rows.values, range[i].begin, end, args.head_dim, out + i);
  }
  AddValues<kQueries>(s, rows.values, all.begin, all.end, args.head_dim, out);
  for (int i = 0; i < kQueries; ++i) {
    AddValues<1>(s + i, rows.values, all.end, range[i].end, args.head_dim, out + i);
    if (queries[i].BeginsIn(tile)) {
      queries[i].total = parts[i];
      continue;
    }
    TilePart& total = queries[i].total;
    const float max = parts[i].max > total.max ? parts[i].max : total.max;
    const float a = ExpOf(total.max - max);
    const float b = ExpOf(parts[i].max - max);
    total = {max, __builtin_fmaf(parts[i].sum, b, total.sum * a)};
    MergeOutput(out[i], a, b, args.head_dim, queries[i].out);
  }
}

// Queries that go through the tiles together, so that a tile is decoded once for them and stays
// near.
constexpr int kQueriesAtOnce = 16 * kQueryTile;

// All tiles of up to kQueriesAtOnce queries.
template <typename T>
inline void AttendQueries(const AttendArgs& args, int first, int n) {
  Gathered queries[kQueriesAtOnce];
  int64_t longest = 0;
  int64_t earliest = INT64_MAX;
  for (int i = 0; i < n; ++i) {
    const int query = first + i;
    const int64_t first_key = args.first_keys == nullptr ? 0 : args.first_keys[query];
    queries[i] = {args.q[query], args.out[query], first_key, args.n_keys[query], {}};
    longest = queries[i].n_keys > longest ? queries[i].n_keys : longest;
    earliest = first_key < earliest ? first_key : earliest;
  }
  for (int64_t tile = earliest / kKeyTile; tile * kKeyTile < longest; ++tile) {
    bool seen = false;
    for (int i = 0; i < n; ++i) seen = seen || queries[i].Sees(tile);
    if (!seen) continue;
    const int64_t left = longest - tile * kKeyTile;
    const Tile<T> rows = TileOf<T>(args, tile, left < kKeyTile ? left : kKeyTile);
    for (int at = 0; at < n; at += kQueryTile) {
      const int n_here = n - at < kQueryTile ? n - at : kQueryTile;
      bool all = n_here == kQueryTile;
      for (int i = at; i < at + n_here; ++i) all = all && queries[i].Sees(tile);
      if (all) {
        AttendTile<kQueryTile, T>(args, rows, tile, queries + at);
        continue;
      }
      for (int i = at; i < at + n_here; ++i) {
        if (queries[i].Sees(tile)) AttendTile<1, T>(args, rows, tile, queries + i);
      }
    }
  }
  for (int i = 0; i < n; ++i) {
    if (args.sinks != nullptr) JoinSink(args.sinks[first + i], args.head_dim, &queries[i]);
    DivideBy(queries[i].total.sum, args.head_dim, queries[i].out);
  }
}

inline void AttendLanes(const AttendArgs& args) {
  for (int first = 0; first < args.n_queries; first += kQueriesAtOnce) {
    const int left = args.n_queries - first;
    const int n = left < kQueriesAtOnce ? left : kQueriesAtOnce;
    if (args.kv_type == KvType::kF16) {
      AttendQueries<uint16_t>(args, first, n);
    } else {
      AttendQueries<float>(args, first, n);
    }
  }
}

}  // namespace
}  // namespace shoal
