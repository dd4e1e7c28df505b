#include "kernels/f32x16_avx512.h"
#include "kernels/matmul.h"
#include "kernels/matmul_zmm.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"
#include "kernels/matmul_tiles.h"

// Products of many rows: activations are arranged as tiles read them, weights unpacked a chunk at a
// time, and every pair of them is a job of matmul_tiles.h.
namespace shoal::amx {
namespace {

struct Signed : Zmm {  // Tiles multiply signed bytes by signed bytes.
  static constexpr bool kSigned = true;
};

constexpr int kFewestRows = 9;        // What is left below this goes without tiles.
constexpr int kMaxTiles = 4;          // Tiles of activations per pass over the weights.
constexpr int kGroups = 2;            // Groups of 16 outputs that share a pass over activations.
constexpr int64_t kPanelBlocks = 64;  // Columns whose activations are arranged at once.

template <typename Format>
constexpr int kParts = Format::kHalves ? 2 : 1;  // Sums of a block.

// Activations of a panel, in the order that tiles read.
struct alignas(64) Panel {
  int8_t q[kMaxTiles][kPanelBlocks][kTile][32];
  float scale[kMaxTiles][kPanelBlocks][kTile];
  float sum[kMaxTiles][2 * kPanelBlocks][kTile];  // For formats with minima.
};

// Takes jobs one after another; Finish does what is left of the last.
template <typename Format>
class JobRunner {
 public:
  void Run(const Job& job) {
    RunJobs<Format>(job, &sums_[turn_ ^ 1], last_, sums_[turn_]);
    turn_ ^= 1;
    last_ = job;
  }
  void Finish() {
    RunJobs<Format>({}, nullptr, last_, sums_[turn_]);
    last_ = {};
  }

 private:
  Job last_ = {};
  int turn_ = 0;
  alignas(64) JobSums sums_[2];
};

// Asks for the blocks after a chunk while the jobs of that chunk run.
template <typename Group>
inline void PrefetchChunk(const Group* groups, int64_t first_block, int group_blocks) {
  const auto bytes_a_block = static_cast<int64_t>(sizeof(Group)) / group_blocks;
  const char* p = reinterpret_cast<const char*>(groups) + first_block * bytes_a_block;
  for (int64_t i = 0; i < kChunk * bytes_a_block; i += 64) __builtin_prefetch(p + i);
}

template <typename Format>
void UnpackChunk(const typename Format::Group* groups, int64_t begin, int64_t n, WeightChunk* out) {
  for (int64_t i = 0; i < n; ++i) {
    const typename Format::Group& group = groups[(begin + i) / Format::kGroupBlocks];
    const int64_t b = (begin + i) % Format::kGroupBlocks;
    __m512i words[8];
    LoadWords<Signed, Format>(group, b, 0, words);
    for (int k = 0; k < 8; ++k) _mm512_store_si512(out->w[i][k], words[k]);
    for (int part = 0; part < kParts<Format>; ++part) {
      _mm512_store_ps(out->scale[i][part], Format::Scale(group, b, 0, part));
      if constexpr (Format::kMins) {
        _mm512_store_ps(out->negated_min[i][part], Signed::Negate(Format::Min(group, b, 0, part)));
      }
    }
  }
}

// Rows [first, first + n_rows) of x, blocks [begin, begin + n_blocks); rows that a tile lacks are
// zeros.
template <typename Format>
void ArrangeRows(const RowsView& x, int64_t first, int64_t n_rows, int64_t begin, int64_t n_blocks,
                 Panel* panel) {
  for (int64_t tile = 0; tile * kTile < n_rows; ++tile) {
    const int8_t* q[kTile];
    const float* scales[kTile];
    const int n_here =
        static_cast<int>(n_rows - tile * kTile < kTile ? n_rows - tile * kTile : kTile);
    for (int t = 0; t < n_here; ++t) {
      const int64_t i = first + tile * kTile + t;
      const int64_t r = x.row_map == nullptr ? i : x.row_map[i];
      q[t] = x.q8 + r * x.q8_stride + begin * 32;
      scales[t] = x.scales + r * x.scale_stride + begin;
    }
    if (n_here < kTile) {
      __builtin_memset(panel->q[tile], 0, sizeof(panel->q[tile]));
      __builtin_memset(panel->scale[tile], 0, sizeof(panel->scale[tile]));
      __builtin_memset(panel->sum[tile], 0, sizeof(panel->sum[tile]));
    }
    for (int64_t b = 0; b < n_blocks; ++b) {
      for (int t = 0; t < n_here; ++t) {
        __builtin_memcpy(panel->q[tile][b][t], q[t] + b * 32, 32);
        panel->scale[tile][b][t] = scales[t][b];
      }
    }
    if constexpr (Format::kMins) {
      for (int t = 0; t < n_here; ++t) {
        int32_t sums[2 * kPanelBlocks];
        SumBlocks<Signed, Format>(q[t], n_blocks, sums);
        for (int64_t b = 0; b < kParts<Format> * n_blocks; ++b) {
          __builtin_memcpy(&panel->sum[tile][b][t], &sums[b], sizeof(float));
        }
      }
    }
  }
}

// Copies the results of n_rows rows between y, whose column is the first of `n_out` outputs, and
// accumulators.
inline void LoadResults(const float* y, int64_t y_stride, int64_t n_rows, int64_t n_out,
                        float (*acc)[kTile]) {
  for (int64_t i = 0; i < n_rows; ++i) {
    _mm512_store_ps(acc[i], Zmm::LoadFirst(y + i * y_stride, n_out));
  }
}
inline void StoreResults(const float (*acc)[kTile], int64_t n_rows, int64_t n_out, float* y,
                         int64_t y_stride) {
  for (int64_t i = 0; i < n_rows; ++i) {
    Zmm::StoreFirst(y + i * y_stride, n_out, _mm512_load_ps(acc[i]));
  }
}

// Products of rows [first, first + n_rows), at most kMaxTiles tiles.
template <typename Format>
void MultiplyRows(const PackedView& w, const RowsView& x, int64_t first, int64_t n_rows,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride) {
  const int64_t n_tiles = (n_rows + kTile - 1) / kTile;
  const int64_t n_blocks = w.cols / 32;
  const int64_t n_groups = (n_blocks + Format::kGroupBlocks - 1) / Format::kGroupBlocks;
  const auto* groups = reinterpret_cast<const typename Format::Group*>(w.data);
  Panel panel;
  WeightChunk weights[2][kGroups];  // The last job's, and the next one's.
  alignas(64) float acc[kGroups][kMaxTiles * kTile][kTile];
  JobRunner<Format> runner;
  for (int64_t begin = 0; begin < n_blocks; begin += kPanelBlocks) {
    const int64_t end = begin + kPanelBlocks < n_blocks ? begin + kPanelBlocks : n_blocks;
    ArrangeRows<Format>(x, first, n_rows, begin, end - begin, &panel);
    for (int64_t n = row_begin; n < row_end; n += kGroups * kTile) {
      const int64_t left = (row_end - n + kTile - 1) / kTile;
      const int64_t n_here = left < kGroups ? left : kGroups;
      for (int64_t g = 0; g < n_here; ++g) {
        const int64_t at = n + g * kTile;
        // Results lie far apart, and are asked for while the jobs run.
        for (int64_t i = 0; i < n_rows; ++i) __builtin_prefetch(y + i * y_stride + at, 1);
        if (begin == 0) {
          __builtin_memset(acc[g], 0, static_cast<size_t>(n_tiles) * kTile * sizeof(acc[g][0]));
        } else {
          LoadResults(y + at, y_stride, n_rows, row_end - at, acc[g]);
        }
      }
      int turn = 0;
      for (int64_t chunk = begin; chunk < end; chunk += kChunk, turn ^= 1) {
        const int64_t n_chunk = chunk + kChunk < end ? kChunk : end - chunk;
        for (int64_t g = 0; g < n_here; ++g) {
          const auto* row_group = groups + (n / kTile + g) * n_groups;
          if (first == 0) PrefetchChunk(row_group, chunk + kChunk, Format::kGroupBlocks);
          UnpackChunk<Format>(row_group, chunk, n_chunk, &weights[turn][g]);
        }
        for (int64_t i = 0; i < n_tiles; ++i) {
          for (int64_t g = 0; g < n_here; ++g) {
            runner.Run({.q = panel.q[i] + (chunk - begin),
                        .dx = panel.scale[i] + (chunk - begin),
                        .sum = panel.sum[i] + kParts<Format> * (chunk - begin),
                        .weights = &weights[turn][g],
                        .acc = acc[g] + i * kTile,
                        .n_blocks = n_chunk});
          }
        }
      }
      runner.Finish();
      for (int64_t g = 0; g < n_here; ++g) {
        const int64_t at = n + g * kTile;
        StoreResults(acc[g], n_rows, row_end - at, y + at, y_stride);
      }
    }
  }
}

template <typename Format>
void MultiplyTiled(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                   float* y, int64_t y_stride) {
  ConfigureTiles(Format::kHalves ? 16 : 32);
  int64_t i = 0;
  while (x.n_rows - i >= kFewestRows) {
    const int64_t left = x.n_rows - i;
    int64_t n = left < kMaxTiles * kTile ? left : kMaxTiles * kTile;
    if (n % kTile < kFewestRows) n -= n % kTile;  // The rest without tiles.
    MultiplyRows<Format>(w, x, i, n, row_begin, row_end, y + i * y_stride, y_stride);
    i += n;
  }
  asm volatile("tilerelease");
  if (i == x.n_rows) return;
  RowsView rest = x;
  rest.n_rows -= i;
  if (rest.row_map != nullptr) {
    rest.row_map += i;
  } else {
    rest.q8 += i * x.q8_stride;
    rest.scales += i * x.scale_stride;
  }
  avx512::Matmul(w, rest, row_begin, row_end, y + i * y_stride, y_stride);
}

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  if (x.q8 == nullptr || x.n_rows < kFewestRows) {
    return avx512::Matmul(w, x, row_begin, row_end, y, y_stride);
  }
  WithFormat<Signed>(w.dtype, [&](auto format) {
    MultiplyTiled<decltype(format)>(w, x, row_begin, row_end, y, y_stride);
  });
}

}  // namespace shoal::amx
