#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/expert_executor.h"
#include "kernels/kernel_table.h"
#include "model/mat.h"

namespace shoal {

// What goes to experts and what comes back, in the form that a link carries. When nothing crosses a
// link the rows are rounded the same way, so results never depend on who computed them
// (docs/arithmetic.md).

// Whether experts take int8 blocks and give f16 rows (quantized weights), or f32 both ways (float
// weights, and the reference path --activations f32).
enum class RowFormat : uint8_t { kQuantized, kF32 };

// Rows for experts. kQuantized: q8 [n_rows, hidden_dim rounded up to 32] and scales
// [n_rows, blocks]; kF32: f32 [n_rows, hidden_dim].
struct ExpertInput {
  RowFormat format = RowFormat::kQuantized;
  int n_rows = 0;
  int hidden_dim = 0;
  std::span<const int8_t> q8 = {};
  std::span<const float> scales = {};
  std::span<const float> f32 = {};
};

// Which rows each expert gets. Result rows come in this order: expert after expert, ascending.
struct ExpertAssignment {
  std::vector<int32_t> expert_ids;  // Ascending, distinct.
  std::vector<int32_t>
      row_begin;              // [n experts + 1]: expert e has rows[row_begin[e]..row_begin[e+1]).
  std::vector<int32_t> rows;  // Indices into ExpertInput's rows.

  int n_results() const { return static_cast<int>(rows.size()); }
};

// Groups the (token, expert) pairs of `routing` by expert. result_of: [n_tokens, top_k], the result
// row of each pair. Both keep their memory from call to call.
void AssignRows(const Routing& routing, int n_experts, ExpertAssignment* assignment,
                std::vector<int32_t>* result_of);

// One unweighted row per (expert, row). kQuantized: f16 bits and an exact power-of-two scale a row;
// kF32: f32.
struct ExpertOutput {
  RowFormat format = RowFormat::kQuantized;
  int n_rows = 0;
  int hidden_dim = 0;
  std::span<const uint16_t> f16 = {};     // [n_rows, hidden_dim]
  std::span<const float> row_scale = {};  // [n_rows]
  std::span<const float> f32 = {};        // [n_rows, hidden_dim]
};

// Blocks of int8 that hold one row of `cols` activations.
constexpr int64_t ActivationBlocks(int64_t cols) {
  return (cols + kActivationBlock - 1) / kActivationBlock;
}

// The rows of `input` as products read them.
RowsView ViewOf(const ExpertInput& input);

// Buffers for the above, reused from call to call.
class ExpertBuffers {
 public:
  // Rounds x as it travels, on the threads of `pool` or, if it is null, on the caller's; the result
  // points into this object.
  ExpertInput Encode(const KernelTable& kernels, ThreadPool* pool, RowFormat format,
                     MatView<const float> x);

 private:
  std::vector<int8_t> q8_;
  std::vector<float> scales_;
  std::vector<float> f32_;
};

// out += weight * row `i` of `rows`, as fma per element. scratch: [hidden_dim].
void AddWeightedRow(const KernelTable& kernels, const ExpertOutput& rows, int i, float weight,
                    float* scratch, float* out);

}  // namespace shoal
