#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "engine/expert_rows.h"
#include "engine/local_experts.h"
#include "proto/frame_codec.h"

namespace shoal {

// What a worker serves, as its callers must name it.
struct ServedModel {
  std::string model_id;
  std::string numerics_class;
  RowFormat format = RowFormat::kQuantized;
  int n_layers = 0;
  int n_experts = 0;
  int hidden_dim = 0;
};

// Runs experts on the rows of one call: check, compute, reply. Owned by the compute thread.
class RunExpertsOp {
 public:
  struct Answer {
    FrameBuffer frame;
    wire::ReplyCode code = wire::REPLY_CODE_UNSPECIFIED;
    int n_rows = 0;  // Result rows; 0 unless the code is OK.
  };

  // `experts` outlives this.
  RunExpertsOp(ServedModel served, LocalExperts* experts, Clock* clock = SystemClock());

  // Answers a call that came from outside: any bytes in `request` and `payload` get an answer, and
  // one that does not hold is refused with its typed code and the reason. `deadline` is when the
  // caller stops waiting: it is looked at before the work and before every block of rows. A row
  // that holds a number that is not finite spoils its own result rows and no others.
  Answer Handle(const wire::RunExpertsRequest& request, std::span<const std::byte> payload,
                absl::Time deadline);

  // A refusal as a frame. `id` is null when the call could not be read.
  static FrameBuffer Refuse(const wire::CallId* id, wire::ReplyCode code,
                            const std::string& message);

 private:
  struct Refusal {
    wire::ReplyCode code;
    std::string message;
  };

  std::optional<Refusal> CheckFit(const wire::RunExpertsRequest& request) const;
  std::optional<Refusal> CheckAssignment(const wire::RunExpertsRequest& request) const;
  std::optional<Refusal> ReadInput(const wire::RunExpertsRequest& request,
                                   std::span<const std::byte> payload);
  void FillAssignment(const wire::RunExpertsRequest& request);
  static FrameBuffer Reply(const wire::RunExpertsRequest& request, const ExpertOutput& output,
                           absl::Duration compute);

  const ServedModel served_;
  LocalExperts* const experts_;
  Clock* const clock_;
  ExpertInput input_;            // Points into the payload of the call under way.
  ExpertAssignment assignment_;  // Keeps its memory from call to call.
};

}  // namespace shoal
