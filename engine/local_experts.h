#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/thread_pool.h"
#include "engine/expert_executor.h"
#include "engine/expert_rows.h"
#include "engine/expert_weights.h"
#include "engine/model_slice.h"
#include "kernels/packed_matrix.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

// Experts resident in this process, and the executor over them; a worker runs the same class. One
// thread at a time computes; meanwhile others may add and remove experts: a call holds what it
// computes with, so that nothing is taken from under it.
class LocalExperts final : public ExpertExecutor {
 public:
  struct Options {
    RowFormat format =
        RowFormat::kQuantized;     // As RowFormatOf says, or kF32 for --activations f32.
    bool activations_f32 = false;  // The slow reference path: no activation is rounded.
  };

  // Holds no expert yet. `kernels` and `pool` outlive this.
  static std::unique_ptr<LocalExperts> Create(const ModelConfig& config, const KernelTable& kernels,
                                              ThreadPool* pool, Options options);
  // Loads every expert of `slice` from `source`, with the threads of `pool`; n_parts 0 loads none.
  static absl::StatusOr<std::unique_ptr<LocalExperts>> Load(const ModelConfig& config,
                                                            const WeightSource& source,
                                                            const ExpertSlice& slice,
                                                            const KernelTable& kernels,
                                                            ThreadPool* pool, Options options);
  ~LocalExperts() override;

  ExpertCall Start(int layer, MatView<const float> x, const Routing& routing,
                   const StepContext& step) override;
  RowStatuses Finish(ExpertCall call, MatView<float> out) override;

  // Computes one row per (expert, row) of `assignment` into buffers of this object, valid until the
  // next call. NotFound when an expert is not resident here; the input's shape and format are
  // checked by the caller (worker/ops/run_experts).
  absl::StatusOr<ExpertOutput> Compute(int layer, const ExpertInput& input,
                                       const ExpertAssignment& assignment);
  // The same, but asks `give_up` before every block of rows; once that says true the call ends
  // soon, with Cancelled. `give_up` is called by several threads.
  absl::StatusOr<ExpertOutput> Compute(int layer, const ExpertInput& input,
                                       const ExpertAssignment& assignment,
                                       absl::FunctionRef<bool()> give_up);

  // --- Any thread, also while a call is computed.
  // From the next call on (layer, expert), which are in range, is resident; in place of what was.
  void Insert(int layer, int expert, std::shared_ptr<const ExpertWeights> weights);
  // From the next call on it is not. The memory is free once no call computes with it.
  void Remove(int layer, int expert);
  bool Resident(int layer, int expert) const;
  size_t resident_bytes() const;
  const KernelTable& kernels() const;

  uint64_t rows_computed() const;  // Result rows since the start.
  RowFormat format() const;

 private:
  struct Impl;
  explicit LocalExperts(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The format that the experts' weight types call for: kF32 when any is a float type.
absl::StatusOr<RowFormat> RowFormatOf(const ModelConfig& config, const WeightSource& source);

}  // namespace shoal
