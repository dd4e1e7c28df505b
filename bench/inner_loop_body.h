#pragma once

#include <stdint.h>

// Private to the inner_loop_*.cc files, which include it after an instruction set of
// kernels/matmul_blocks.h.
namespace shoal {
namespace {

template <typename S, bool kMins>
double RunInnerLoop(int n) {
  constexpr int kRows = S::kMaxTile;
  constexpr int kBlocks = 8;
  alignas(64) uint8_t words[8][64];
  alignas(64) int8_t q[kRows][kBlocks * 32];
  float dx[kRows][kBlocks];  // As in products, every block has its own.
  float block_sums[kRows][kBlocks];
  for (auto& word : words) {
    for (uint8_t& byte : word) byte = static_cast<uint8_t>(&byte - &words[0][0]) & 15U;
  }
  for (int t = 0; t < kRows; ++t) {
    for (int b = 0; b < kBlocks; ++b) {
      dx[t][b] = 0.5F + static_cast<float>(t + b);
      block_sums[t][b] = dx[t][b];
    }
    for (int8_t& byte : q[t]) byte = static_cast<int8_t>(&byte - &q[0][0]);
  }
  typename S::Bytes w[8];
  for (int k = 0; k < 8; ++k) w[k] = S::LoadBytes(words[k]);
  const typename S::Floats scale = S::SetFloats(0.25F);
  const typename S::Floats negated_min = S::SetFloats(-0.125F);
  typename S::Floats acc[kRows];
  for (typename S::Floats& a : acc) a = S::SetFloats(0.0F);
  for (int i = 0; i < n; ++i) {
    for (int b = 0; b < kBlocks; ++b) {
      typename S::Ints sums[kRows];
      const int8_t* rows[kRows];
      for (int t = 0; t < kRows; ++t) {
        sums[t] = S::SetInts(kMins ? 0 : -t);
        rows[t] = q[t] + b * 32;
      }
      S::template Dot<15, 0, 8, kRows>(w, rows, sums);
      for (int t = 0; t < kRows; ++t) {
        acc[t] = S::MulAdd(S::Mul(scale, S::SetFloats(dx[t][b])), S::ToFloats(sums[t]), acc[t]);
      }
      for (int t = 0; kMins && t < kRows; ++t) {
        acc[t] = S::MulAdd(S::Mul(negated_min, S::SetFloats(dx[t][b])),
                           S::SetFloats(block_sums[t][b]), acc[t]);
      }
    }
    // Nothing is known before, nor thrown away after: every round is computed.
    asm volatile("" : : "r"(q), "r"(dx), "r"(block_sums) : "memory");
  }
  for (int t = 0; t < kRows; ++t) {
    alignas(64) float out[16];
    S::StoreFirst(out, S::kLanes, acc[t]);
    asm volatile("" : : "r"(out) : "memory");
  }
  return 2.0 * n * kBlocks * 32 * S::kLanes * kRows;
}

}  // namespace
}  // namespace shoal
