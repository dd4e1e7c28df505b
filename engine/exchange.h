#pragma once

#include "model/mat.h"

namespace shoal {

// Where the ranks of a group add up their partial sums.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual int n_ranks() const = 0;
  // Replaces rows [n_tokens, cols] by their sum over all ranks.
  virtual void AllReduce(MatView<float> rows) = 0;
};

// A group of one: there is nothing to add.
class SoloExchange final : public Exchange {
 public:
  int n_ranks() const override { return 1; }
  void AllReduce(MatView<float>) override {}
};

}  // namespace shoal
