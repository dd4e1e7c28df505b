#include "router/http/completions.h"

#include <utility>

#include "base/status_macros.h"
#include "router/http/completion_request.h"

namespace shoal {
namespace {

// Text or ids, as Generate takes them.
decltype(GenerateRequest::prompt) ToPrompt(decltype(TextRequest::prompt) prompt) {
  if (auto* text = std::get_if<std::string>(&prompt)) return std::move(*text);
  return std::get<std::vector<int32_t>>(std::move(prompt));
}

}  // namespace

absl::StatusOr<CompletionReply> Completions::Handle(std::string_view body) const {
  SHOAL_ASSIGN_OR_RETURN(TextRequest request, ParseTextRequest(body));
  return StartCompletion(/*chat=*/false, std::move(request.options),
                         ToPrompt(std::move(request.prompt)), *generate_, *model_);
}

}  // namespace shoal
