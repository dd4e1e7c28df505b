#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "engine/expert_executor.h"
#include "engine/expert_rows.h"
#include "model/model_config.h"
#include "proto/transport.h"
#include "router/dispatch/layer_calls.h"
#include "router/dispatch/peer_health.h"
#include "router/dispatch/worker_links.h"
#include "router/dispatch/worker_member.h"

namespace shoal {

// Experts on workers. For each layer of a step every expert goes to one worker that holds it, all
// calls at once; what a worker does not answer another one computes, and what comes back is added
// in ascending expert id, so the result has the bits of LocalExperts whoever was lost meanwhile.
// Rows whose experts nobody can compute within the bound fail with Unavailable and a text that
// begins with kExpertUnavailable (FAILURE-MODEL F01 to F03). Owned by the engine's thread; what
// other threads may call says so.
class RemoteExperts final : public ExpertExecutor {
 public:
  struct Options {
    std::string model_id;
    int n_layers = 0;
    int n_experts = 0;                    // The most that any layer has.
    std::vector<int> layer_experts = {};  // [n_layers] how many each has.
    int top_k = 0;
    int hidden_dim = 0;
    RowFormat format = RowFormat::kQuantized;
    bool activations_f32 = false;
    const KernelTable* kernels = nullptr;  // Outlives this.
    int max_call_results = 0;  // Result rows of one call; 0: as many as a message holds.
    // How long a layer's rows wait for a replica in all.
    absl::Duration replica_wait = absl::Seconds(30);
    Clock* clock = SystemClock();  // Outlive this.
    Random* random = SystemRandom();
  };
  // The options that follow from a model.
  static Options OptionsFor(const ModelConfig& config, RowFormat format,
                            const KernelTable& kernels);

  // Begins without members. `calls` and `health` are two dialers of one transport, new.
  // InvalidArgument when the results of one row do not fit a call.
  static absl::StatusOr<std::unique_ptr<RemoteExperts>> Create(Options options,
                                                               std::unique_ptr<Dialer> calls,
                                                               std::unique_ptr<Dialer> health);

  // Who may be asked from now on. Any thread, any time, also while a step waits.
  void SetMembers(std::vector<WorkerMember> members) { health_.SetMembers(std::move(members)); }

  // Waits until every expert of every layer is with a worker that answers. At the deadline:
  // FailedPrecondition when a member serves another model or numerics class, else Unavailable; the
  // text names what is missing and what is wrong with each member.
  absl::Status WaitUntilServable(absl::Time deadline);
  // The same question without waiting. Any thread.
  absl::Status CheckServable() const;

  ExpertCall Start(int layer, MatView<const float> x, const Routing& routing,
                   const StepContext& step) override;
  RowStatuses Finish(ExpertCall call, MatView<float> out) override;

  // As of the last Finish. Any thread.
  DispatchCounters counters() const SHOAL_EXCLUDES(mu_);

  // What was asked of each member, by its node id, or its address where it has none. Any thread.
  using Traffic = std::vector<std::pair<std::string, WorkerTraffic>>;
  Traffic traffic() const SHOAL_EXCLUDES(mu_);

  // What has been seen of every member, for reports. Any thread.
  std::shared_ptr<const PeerViews> peers() const { return health_.views(); }

  // Asks every member anew. Unavailable, with the worker's name, when one has not answered by the
  // deadline. Any thread.
  absl::StatusOr<std::vector<WorkerStatus>> GetWorkerStatus(absl::Time deadline);

 private:
  RemoteExperts(Options options, std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health);
  void Await();
  void OnEvent(LinkEvent event);
  void TakeInArrived();
  void Tend();
  void FollowMembers();
  bool LinksReady();
  void PublishTraffic() SHOAL_REQUIRES(mu_);

  const Options options_;
  std::unique_ptr<Dialer> calls_dialer_;
  PeerHealth health_;
  WorkerLinks links_;
  LayerCalls calls_;

  // The call between Start and Finish.
  StepContext step_;
  absl::Time deadline_;
  ExpertBuffers encode_buffers_;
  uint64_t next_call_id_ = 1;

  uint64_t followed_version_ = 0;
  absl::Time tended_ = absl::InfinitePast();
  absl::Time read_ = absl::InfinitePast();  // When events were last asked for.

  mutable Mutex mu_;
  DispatchCounters published_ SHOAL_GUARDED_BY(mu_);
  std::vector<std::string> names_ SHOAL_GUARDED_BY(mu_);      // By place; empty: nobody's.
  std::vector<WorkerTraffic> traffic_ SHOAL_GUARDED_BY(mu_);  // By place.
};

}  // namespace shoal
