#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/expert_rows.h"
#include "proto/frame_codec.h"
#include "router/dispatch/dispatch_plan.h"

namespace shoal {

// What all calls of a router have in common.
struct CallForm {
  std::string model_id;
  std::string numerics_class;
  RowFormat format = RowFormat::kQuantized;
  int hidden_dim = 0;
};

// Result rows of one call whose reply fits a message, header and all.
int RowsPerMessage(const CallForm& form);

// The frame of a call. input: all rows of the step; remaining: time left for the answer.
FrameBuffer EncodeCall(const CallForm& form, const PlannedCall& planned, const wire::CallId& id,
                       const ExpertInput& input, absl::Duration remaining);

// Rows of `input` that hold infinity or no number. They fail here and spare their workers the work.
std::vector<int> RowsNotFinite(const ExpertInput& input);

}  // namespace shoal
