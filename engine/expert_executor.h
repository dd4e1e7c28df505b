#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/mat.h"

namespace shoal {

// Which experts each row goes to, and with what weight. Both arrays are [n_tokens, top_k]; ids are
// ascending and distinct within a row.
struct Routing {
  int n_tokens = 0;
  int top_k = 0;
  std::span<const int32_t> topk_ids = {};
  std::span<const float> topk_weights = {};
};

// What a step carries along: its number, its deadline, and a flag that ends it early.
struct StepContext {
  uint64_t step_id = 0;
  absl::Time deadline = absl::InfiniteFuture();
  const std::atomic<bool>* cancelled = nullptr;  // May be null.
};

// A call under way; goes from Start to Finish of the same executor.
class ExpertCall {
 public:
  explicit ExpertCall(uint64_t id) : id_(id) {}
  ExpertCall(ExpertCall&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  ExpertCall& operator=(ExpertCall&&) = delete;
  uint64_t id() const { return id_; }

 private:
  uint64_t id_;
};

// How each row of a call ended. Usually all are OK and nothing is allocated.
class RowStatuses {
 public:
  bool ok() const { return failed_.empty(); }
  // The status of row t: OK, or why it has no result.
  absl::Status row(int t) const {
    for (const auto& [row, status] : failed_) {
      if (row == t) return status;
    }
    return absl::OkStatus();
  }
  void Fail(int t, absl::Status status) { failed_.emplace_back(t, std::move(status)); }

 private:
  std::vector<std::pair<int, absl::Status>> failed_;
};

// How the text of an Unavailable begins where nobody can compute an expert (FAILURE-MODEL F02).
inline constexpr char kExpertUnavailable[] = "expert_unavailable";

// The seam between the forward pass and whoever computes experts: this process, workers behind a
// network, later a GPU. One call at a time per executor.
class ExpertExecutor {
 public:
  virtual ~ExpertExecutor() = default;

  // Computes y[t][k] = Expert(layer, topk_ids[t][k])(x[t]) for every row t; unweighted.
  // x: [n_tokens, hidden_dim] f32; it and the routing's arrays stay valid until Finish returns.
  virtual ExpertCall Start(int layer, MatView<const float> x, const Routing& routing,
                           const StepContext& step) = 0;

  // Waits for the call and adds it up: out[t] = fma(topk_weights[t][k], y[t][k], out[t]) in
  // ascending expert id. A failed row's out is unspecified: rows fail one by one, and no expert is
  // ever left out of a sum.
  virtual RowStatuses Finish(ExpertCall call, MatView<float> out) = 0;
};

}  // namespace shoal
