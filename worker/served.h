#pragma once

#include <memory>

#include "base/clock.h"
#include "base/mutex.h"
#include "engine/local_experts.h"
#include "model/expert_set.h"
#include "worker/ops/run_experts.h"

namespace shoal {

// What a worker serves of one model: the experts that it holds, and which of them it answers for.
// It holds more than it answers for while an expert arrives, and for a while after one was given
// up, because calls for that may still be under way. Thread-safe but for op().
class Served {
 public:
  Served(ServedModel model, std::unique_ptr<LocalExperts> experts, Clock* clock = SystemClock());

  const ServedModel& model() const { return model_; }
  LocalExperts& experts() { return *experts_; }
  RunExpertsOp& op() { return op_; }  // Of the compute thread.

  // What routers are told to send calls for. Every expert in it is resident.
  ExpertSet advertised() const SHOAL_EXCLUDES(mu_);
  void Advertise(int layer, int expert) SHOAL_EXCLUDES(mu_);
  void Withdraw(int layer, int expert) SHOAL_EXCLUDES(mu_);
  void AdvertiseAll() SHOAL_EXCLUDES(mu_);  // Whatever is resident now.

 private:
  const ServedModel model_;
  const std::unique_ptr<LocalExperts> experts_;
  RunExpertsOp op_;
  mutable Mutex mu_;
  ExpertSet advertised_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
