#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace shoal {

struct SamplingParams {
  float temperature = 1.0F;  // 0 is greedy.
  float top_p = 1.0F;        // Nucleus (Holtzman et al. 2019, arXiv:1904.09751).
  uint64_t seed = 0;
};

// Chooses the next id from one row of logits. The draw is a counter-based generator's value at
// (seed, position), so replaying a position replays its choice. Ties go to the lower id.
// Thread-compatible: holds scratch for sorting.
class Sampler {
 public:
  // `position` is the sequence position that the id will take.
  int32_t Sample(std::span<const float> logits, const SamplingParams& params, int64_t position);

 private:
  std::vector<int32_t> order_;
  std::vector<float> probs_;
};

}  // namespace shoal
