#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal {

// A set of (layer, expert) pairs of one model. Copies are cheap enough: a bit a pair.
class ExpertSet {
 public:
  ExpertSet() = default;
  ExpertSet(int n_layers, int n_experts)
      : n_layers_(n_layers),
        n_experts_(n_experts),
        bits_((static_cast<size_t>(n_layers) * n_experts + 7) / 8) {}

  int n_layers() const { return n_layers_; }
  int n_experts() const { return n_experts_; }
  // False for pairs out of range.
  bool Contains(int layer, int expert) const;
  void Insert(int layer, int expert);
  void Erase(int layer, int expert);
  int size() const;
  bool empty() const { return size() == 0; }
  friend bool operator==(const ExpertSet&, const ExpertSet&) = default;

  // Bit layer * n_experts + expert, lowest bit of the first byte first; what is left of the last
  // byte is 0. As they stand in messages.
  std::string Bytes() const { return {bits_.begin(), bits_.end()}; }
  // InvalidArgument unless `bytes` is such a set. Empty bytes are the empty set.
  static absl::StatusOr<ExpertSet> FromBytes(std::string_view bytes, int n_layers, int n_experts);

 private:
  int n_layers_ = 0;
  int n_experts_ = 0;
  std::vector<unsigned char> bits_;
};

}  // namespace shoal
