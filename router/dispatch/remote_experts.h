#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/expert_executor.h"
#include "engine/expert_rows.h"
#include "model/model_config.h"
#include "proto/transport.h"
#include "router/dispatch/dispatch_plan.h"
#include "router/dispatch/expert_call.h"

namespace shoal {

// What dispatch has cost since the start.
struct DispatchCounters {
  uint64_t calls = 0;
  uint64_t failed_calls = 0;
  uint64_t bytes_out = 0;  // Whole frames, both ways.
  uint64_t bytes_in = 0;
  absl::Duration wait;  // From a Finish's begin until its last reply.
  DroppedReplies dropped;
};

// What a worker says of itself.
struct WorkerStatus {
  std::string address;
  std::string model_id;
  std::string numerics_class;
  std::string isa;
  bool draining = false;
  uint64_t calls = 0;
  uint64_t refused_calls = 0;
  uint64_t rows_computed = 0;  // Result rows.
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t resident_experts = 0;  // (layer, expert) pairs.
  uint64_t resident_expert_bytes = 0;
  uint64_t rss_bytes = 0;
  absl::Duration compute;  // Inside calls.
};

// Experts on workers: one call per worker and layer, all sent at once; what comes back is added in
// ascending expert id, so the result has the bits of LocalExperts. Rows of a call that failed fail
// with Unavailable and the worker's name. Owned by the engine's thread, but for GetWorkerStatus,
// which one other thread may call meanwhile.
class RemoteExperts final : public ExpertExecutor {
 public:
  struct Options {
    std::vector<std::string> addresses;  // Worker i holds experts e with e % n_workers == i.
    std::string model_id;
    int n_layers = 0;
    int n_experts = 0;
    int top_k = 0;
    int hidden_dim = 0;
    RowFormat format = RowFormat::kQuantized;
    bool activations_f32 = false;
    const KernelTable* kernels = nullptr;  // Outlives this.
    absl::Duration connect_timeout = absl::Seconds(10);
    int max_call_results = 0;  // Result rows of one call; 0: as many as a message holds.
  };
  // The options that follow from a model.
  static Options OptionsFor(const ModelConfig& config, RowFormat format,
                            const KernelTable& kernels);

  // Opens both streams to every worker and checks that each serves that model, in that numerics
  // class, and holds its share of the experts. Unavailable or FailedPrecondition, with the worker's
  // name. `calls` and `health` are two dialers of one transport, new.
  static absl::StatusOr<std::unique_ptr<RemoteExperts>> Connect(Options options,
                                                                std::unique_ptr<Dialer> calls,
                                                                std::unique_ptr<Dialer> health);

  ExpertCall Start(int layer, MatView<const float> x, const Routing& routing,
                   const StepContext& step) override;
  RowStatuses Finish(ExpertCall call, MatView<float> out) override;

  DispatchCounters counters() const;
  int n_workers() const { return static_cast<int>(options_.addresses.size()); }

  // Asks every worker. Unavailable, with the worker's name, when one has not answered by the
  // deadline.
  absl::StatusOr<std::vector<WorkerStatus>> GetWorkerStatus(absl::Time deadline);

 private:
  struct WorkerLink {
    LinkId link = 0;
    absl::Status closed;  // Not OK once the link is gone.
  };

  RemoteExperts(Options options, std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health);
  absl::Status ConnectAll();
  absl::Status CheckWorkers(const std::vector<WorkerStatus>& workers) const;
  void Send(const PlannedCall& planned, int layer, const ExpertInput& input,
            absl::Duration remaining);
  FrameBuffer EncodeCall(const PlannedCall& planned, const wire::CallId& id,
                         const ExpertInput& input, absl::Duration remaining) const;
  void Await();
  void OnEvent(LinkEvent event);
  std::string WorkerName(int worker) const;
  absl::Status WorkerError(int worker, absl::string_view why) const;

  const Options options_;
  const std::string numerics_class_;
  const int max_call_results_;
  std::unique_ptr<Dialer> calls_dialer_;
  std::vector<WorkerLink> links_;  // [n_workers]

  // The call between Start and Finish.
  Routing routing_;
  StepContext step_;
  absl::Time deadline_;
  ExpertBuffers encode_buffers_;
  DispatchPlan plan_;
  CallTable table_;
  std::vector<ExpertOutput> outputs_;  // One per call.
  std::vector<float> scratch_;         // [hidden_dim]
  uint64_t next_call_id_ = 1;
  DispatchCounters counters_;

  // GetWorkerStatus's own.
  std::unique_ptr<Dialer> health_dialer_;
  std::vector<LinkId> health_links_;  // [n_workers]
  uint64_t next_status_id_ = 1;
};

}  // namespace shoal
