#include "engine/causal_convolution.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;

TEST(CausalConvolutionTest, SeesThePastOldestFirst) {
  const std::vector<float> weights = {1, 10, 100, 2, 20, 200};  // Of two channels.
  const CausalConvolution convolution(weights, 2);
  const std::vector<float> state = {7, 8, 9, 10};  // Two positions before.
  std::vector<float> next(4);
  std::vector<float> rows = {1, 2, 3, 4};
  convolution.Apply(state.data(), next.data(), rows.data(), 2, 2, 0, 2);
  EXPECT_THAT(rows, ElementsAre(7 + 90 + 100, 16 + 200 + 400, 9 + 10 + 300, 20 + 40 + 800));
  EXPECT_THAT(next, ElementsAre(1, 2, 3, 4));
}

// Goal: a state stands for what came before, however the positions are cut.
TEST(CausalConvolutionTest, ChunksAndChannelsMayBeCutAnywhere) {
  constexpr int kChannels = 70;
  constexpr int kRows = 9;
  std::vector<float> weights(kChannels * 4);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.1F * static_cast<float>(i % 13) - 0.5F;
  const CausalConvolution convolution(weights, kChannels);
  std::vector<float> input(kRows * kChannels);
  for (size_t i = 0; i < input.size(); ++i) input[i] = 0.3F * static_cast<float>(i % 17) - 2;
  const std::vector<float> zeros(convolution.state_floats());
  std::vector<float> whole = input;
  std::vector<float> whole_state(zeros.size());
  convolution.Apply(zeros.data(), whole_state.data(), whole.data(), kChannels, kRows, 0, kChannels);
  for (const int chunk : {1, 2, 5}) {
    std::vector<float> cut = input;
    std::vector<float> state = zeros;
    std::vector<float> next = zeros;
    for (int begin = 0; begin < kRows; begin += chunk) {
      const int n = std::min(chunk, kRows - begin);
      for (int c = 0; c < kChannels; c += 33) {
        convolution.Apply(state.data(), next.data(), cut.data() + begin * kChannels, kChannels, n,
                          c, std::min(c + 33, kChannels));
      }
      state.swap(next);
    }
    EXPECT_EQ(cut, whole) << chunk;
    EXPECT_EQ(state, whole_state) << chunk;
  }
}

}  // namespace
}  // namespace shoal
