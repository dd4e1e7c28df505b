#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "router/generate.h"
#include "router/http/completion_reply.h"
#include "router/http/served_model.h"

namespace shoal {

// POST /v1/chat/completions: JSON in, an answer under way out. Thread-safe.
class ChatCompletions {
 public:
  // Both outlive this.
  ChatCompletions(const Generate* generate, const ServedModel* model)
      : generate_(generate), model_(model) {}

  // Errors as of ParseChatRequest and StartCompletion.
  absl::StatusOr<CompletionReply> Handle(std::string_view body) const;

 private:
  const Generate* const generate_;
  const ServedModel* const model_;
};

}  // namespace shoal
