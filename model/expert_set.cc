#include "model/expert_set.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace shoal {

bool ExpertSet::Contains(int layer, int expert) const {
  if (layer < 0 || layer >= n_layers_ || expert < 0 || expert >= n_experts_) return false;
  const size_t i = static_cast<size_t>(layer) * n_experts_ + expert;
  return (bits_[i / 8] >> (i % 8) & 1) != 0;
}

void ExpertSet::Insert(int layer, int expert) {
  SHOAL_CHECK(layer >= 0 && layer < n_layers_ && expert >= 0 && expert < n_experts_);
  const size_t i = static_cast<size_t>(layer) * n_experts_ + expert;
  bits_[i / 8] = static_cast<unsigned char>(bits_[i / 8] | 1u << (i % 8));
}

void ExpertSet::Erase(int layer, int expert) {
  if (!Contains(layer, expert)) return;
  const size_t i = static_cast<size_t>(layer) * n_experts_ + expert;
  bits_[i / 8] = static_cast<unsigned char>(bits_[i / 8] & ~(1u << (i % 8)));
}

int ExpertSet::size() const {
  int n = 0;
  for (const unsigned char byte : bits_) n += std::popcount(byte);
  return n;
}

absl::StatusOr<ExpertSet> ExpertSet::FromBytes(std::string_view bytes, int n_layers,
                                               int n_experts) {
  ExpertSet set(n_layers, n_experts);
  if (bytes.empty()) return set;
  if (bytes.size() != set.bits_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("expert set has ", bytes.size(), " bytes, ",
                                                   n_layers, " layers of ", n_experts,
                                                   " experts take ", set.bits_.size()));
  }
  set.bits_.assign(bytes.begin(), bytes.end());
  const size_t n_bits = static_cast<size_t>(n_layers) * n_experts;
  if (n_bits % 8 != 0 && set.bits_.back() >> (n_bits % 8) != 0) {
    return absl::InvalidArgumentError("expert set has members past its end");
  }
  return set;
}

}  // namespace shoal
