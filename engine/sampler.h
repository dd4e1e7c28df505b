#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_table.h"

namespace shoal {

struct SamplingParams {
  float temperature = 1.0F;  // 0 is greedy, and so is less than 1e-5.
  float top_p = 1.0F;        // Nucleus (Holtzman et al. 2019, arXiv:1904.09751).
  uint64_t seed = 0;
};

// A number in [0, 1) that depends on (seed, counter) alone: Philox 4x32 with 10 rounds (Salmon et
// al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the upper 53 of its first 64 bits.
double CounterUniform(uint64_t seed, uint64_t counter);

// Chooses the next id from one row of logits. The draw is the counter-based generator's value at
// (seed, position), so replaying a position replays its choice. Ties go to the lower id.
// Thread-compatible: holds scratch.
class Sampler {
 public:
  explicit Sampler(const KernelTable& kernels = SelectedKernels()) : kernels_(kernels) {}

  // `position` is the sequence position that the id will take.
  int32_t Sample(std::span<const float> logits, const SamplingParams& params, int64_t position);

 private:
  const KernelTable& kernels_;
  std::vector<float> probs_;
  std::vector<int32_t> order_;  // Ids as a heap by probability, for top-p.
};

}  // namespace shoal
