#pragma once

#include <cstdint>

namespace shoal {

// What one rank of a group holds of a model. A group of one holds everything.

struct IndexRange {  // [begin, end)
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
};

// Experts e of layer l with (l + e) % n_parts == part, so that layers of one expert spread too, and
// those of the n_replicas - 1 parts before: each expert is in n_replicas parts. n_parts 0 holds
// none.
struct ExpertSlice {
  int part = 0;
  int n_parts = 1;
  int n_replicas = 1;
  bool Contains(int layer, int expert) const {
    return n_parts > 0 && (part - (layer + expert) % n_parts + n_parts) % n_parts < n_replicas;
  }
};

struct ModelSlice {
  IndexRange layers = {};
  IndexRange kv_heads = {};
  ExpertSlice experts = {};
  IndexRange vocab = {};
};

}  // namespace shoal
