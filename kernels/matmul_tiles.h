#pragma once

#include <immintrin.h>
#include <stdint.h>

// Jobs on AMX tiles: 16 rows of activations times 16 rows of weights, a block of 32 columns after
// the other. One instruction forms a block's sums; they go through memory to the float steps, which
// have a register for each activation row, a lane for each output. The tiles work on one job while
// the float steps of the job before are done, so that neither waits for the other. For *_amx.cc
// files alone, after matmul_blocks.h; private to each.
namespace shoal {
namespace {

constexpr int kTile = 16;      // Rows of activations, and outputs, of a tile.
constexpr int64_t kChunk = 4;  // Blocks of a job.

// LDTILECFG's operand.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 and 3 are sums, 1 and 4 activations, 2 and 5 weights, of n elements at once.
inline void ConfigureTiles(int n) {
  TileConfig config;
  for (int first = 0; first < 6; first += 3) {
    config.rows[first] = config.rows[first + 1] = kTile;
    config.rows[first + 2] = static_cast<uint8_t>(n / 4);
    config.row_bytes[first] = config.row_bytes[first + 2] = 64;
    config.row_bytes[first + 1] = static_cast<uint16_t>(n);
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}

using Sums = int32_t[kTile][kTile];  // [activation row][output]

// sums = a's 16 rows of n elements, 32 bytes apart, times w's [n / 4][16][4]. Compilers' own
// functions for these instructions do not all say which memory they read.
#define SHOAL_TILE_PRODUCT(SUMS, A, W)                                                     \
  asm volatile("tilezero %%tmm" #SUMS                                                      \
               "\n\t"                                                                      \
               "tileloadd (%[a],%[a_stride],1), %%tmm" #A                                  \
               "\n\t"                                                                      \
               "tileloadd (%[w],%[line],1), %%tmm" #W                                      \
               "\n\t"                                                                      \
               "tdpbssd %%tmm" #W ", %%tmm" #A ", %%tmm" #SUMS                             \
               "\n\t"                                                                      \
               "tilestored %%tmm" #SUMS ", (%[s],%[line],1)"                               \
               : "=m"(*sums)                                                               \
               : [a] "r"(a), [w] "r"(w), [s] "r"(sums), [a_stride] "r"(int64_t{32}),       \
                 [line] "r"(int64_t{64}), "m"(*reinterpret_cast<const int8_t(*)[512]>(a)), \
                 "m"(*reinterpret_cast<const int8_t(*)[512]>(w)))

inline void EvenProduct(const int8_t* a, const int8_t* w, Sums* sums) {
  SHOAL_TILE_PRODUCT(0, 1, 2);
}
inline void OddProduct(const int8_t* a, const int8_t* w, Sums* sums) {
  SHOAL_TILE_PRODUCT(3, 4, 5);
}
#undef SHOAL_TILE_PRODUCT

// A chunk of blocks of 16 rows of weights.
struct alignas(64) WeightChunk {
  int8_t w[kChunk][8][kTile][4];  // Signed.
  float scale[kChunk][2][kTile];
  float negated_min[kChunk][2][kTile];
};

struct Job {
  const int8_t (*q)[kTile][32];  // Activations of the job's first block.
  const float (*dx)[kTile];
  const float (*sum)[kTile];  // Two for a block where halves have factors.
  const WeightChunk* weights;
  float (*acc)[kTile];  // [16 activation rows][16 outputs]
  int64_t n_blocks;
};

using JobSums = Sums[2 * kChunk];  // Two for a block where halves have factors.

template <typename Format>
inline void TileStep(const Job& job, int64_t b, JobSums* sums) {
  const int8_t* q = job.q[b][0];
  const int8_t* w = job.weights->w[b][0][0];
  if constexpr (Format::kHalves) {
    EvenProduct(q, w, &(*sums)[2 * b]);
    OddProduct(q + 16, w + 256, &(*sums)[2 * b + 1]);
  } else if (b % 2 == 0) {
    EvenProduct(q, w, &(*sums)[b]);
  } else {
    OddProduct(q, w, &(*sums)[b]);
  }
}

template <typename Format>
inline void FloatStep(const Job& job, int64_t b, const JobSums& sums, __m512* acc) {
  constexpr int kParts = Format::kHalves ? 2 : 1;
  for (int part = 0; part < kParts; ++part) {
    const __m512 scale = _mm512_load_ps(job.weights->scale[b][part]);
#pragma GCC unroll 16
    for (int t = 0; t < kTile; ++t) {
      const __m512 dx = _mm512_set1_ps(job.dx[b][t]);
      const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums[kParts * b + part][t]));
      acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale, dx), sum, acc[t]);
    }
  }
  if constexpr (Format::kMins) {
    for (int part = 0; part < kParts; ++part) {
      const __m512 negated_min = _mm512_load_ps(job.weights->negated_min[b][part]);
#pragma GCC unroll 16
      for (int t = 0; t < kTile; ++t) {
        const __m512 dx = _mm512_set1_ps(job.dx[b][t]);
        const __m512 sum = _mm512_set1_ps(job.sum[kParts * b + part][t]);
        acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(negated_min, dx), sum, acc[t]);
      }
    }
  }
}

// The tiles' part of `next` beside the float part of `last`; either may have no blocks.
template <typename Format>
void RunJobs(const Job& next, JobSums* next_sums, const Job& last, const JobSums& last_sums) {
  int64_t b = 0;
  if (last.n_blocks > 0) {
    __m512 acc[kTile];
#pragma GCC unroll 16
    for (int t = 0; t < kTile; ++t) acc[t] = _mm512_load_ps(last.acc[t]);
    for (; b < last.n_blocks; ++b) {
      if (b < next.n_blocks) TileStep<Format>(next, b, next_sums);
      FloatStep<Format>(last, b, last_sums, acc);
    }
#pragma GCC unroll 16
    for (int t = 0; t < kTile; ++t) _mm512_store_ps(last.acc[t], acc[t]);
  }
  for (; b < next.n_blocks; ++b) TileStep<Format>(next, b, next_sums);
}

}  // namespace
}  // namespace shoal
