#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace shoal {

// theta^(-2i / dim) for i in [0, dim / 2), in double with our own functions.
std::vector<double> RopeFrequencies(double theta, int dim);

// cos and sin of position * frequency for each frequency: computed in double with our own
// functions, times `magnitude`, rounded once to f32. out arrays: [frequencies.size()].
void RopeAngles(int64_t position, std::span<const double> frequencies, float* cos, float* sin,
                double magnitude = 1);

// 1 + scale * ln(1 + floor((position + 1) / floor)): what queries of layers without rope are
// multiplied by. In double with our own logarithm, rounded once to f32. floor >= 1.
float AttentionTemperature(int64_t position, int floor, float scale);

}  // namespace shoal
