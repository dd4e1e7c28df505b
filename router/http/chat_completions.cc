#include "router/http/chat_completions.h"

#include <utility>

#include "base/status_macros.h"
#include "router/http/completion_request.h"

namespace shoal {

absl::StatusOr<CompletionReply> ChatCompletions::Handle(std::string_view body) const {
  SHOAL_ASSIGN_OR_RETURN(ChatRequest request, ParseChatRequest(body));
  return StartCompletion(/*chat=*/true, std::move(request.options),
                         ChatPrompt{std::move(request.variables)}, *generate_, *model_);
}

}  // namespace shoal
