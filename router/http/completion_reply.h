#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "router/generate.h"
#include "router/generation.h"
#include "router/http/completion_request.h"
#include "router/http/reply_json.h"
#include "router/http/served_model.h"

namespace shoal {

// A request that was accepted: where its text comes from, and what its reply says about itself.
struct CompletionReply {
  ReplyHead head;
  bool stream = false;
  std::shared_ptr<Generation> generation;
};

// What both completion endpoints do once their body has been read: checks the model's name, draws
// a seed where none was given, and starts the answer. Errors as of Generate::Run, and NotFound for
// another model.
absl::StatusOr<CompletionReply> StartCompletion(bool chat, CompletionOptions options,
                                                decltype(GenerateRequest::prompt) prompt,
                                                const Generate& generate, const ServedModel& model);

}  // namespace shoal
