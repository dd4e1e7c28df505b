#include "router/generate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"

namespace shoal {

absl::StatusOr<std::shared_ptr<Generation>> Generate::Run(GenerateRequest request) const {
  SHOAL_ASSIGN_OR_RETURN(std::vector<int32_t> prompt_ids, PromptIds(request));
  SHOAL_ASSIGN_OR_RETURN(const int64_t max_tokens,
                         MaxTokens(static_cast<int64_t>(prompt_ids.size()), request.max_tokens));
  const bool continues_text = ContinuesText(request, prompt_ids);
  auto generation = std::make_shared<Generation>(
      Generation::Params{.prompt_ids = std::move(prompt_ids),
                         .max_tokens = max_tokens,
                         .sampling = request.sampling,
                         .stop = std::move(request.stop),
                         .ignore_eos = request.ignore_eos,
                         .continues_text = continues_text},
      options_.tokenizer, [admission = options_.admission] { admission->Wake(); });
  SHOAL_RETURN_IF_ERROR(options_.admission->Submit(generation));
  return generation;
}

absl::StatusOr<std::vector<int32_t>> Generate::PromptIds(const GenerateRequest& request) const {
  if (const auto* chat = std::get_if<ChatPrompt>(&request.prompt)) return ChatIds(*chat);
  if (const auto* text = std::get_if<std::string>(&request.prompt)) return TextIds(*text);
  const auto& ids = std::get<std::vector<int32_t>>(request.prompt);
  SHOAL_RETURN_IF_ERROR(CheckIds(ids));
  return ids;
}

absl::StatusOr<std::vector<int32_t>> Generate::ChatIds(const ChatPrompt& prompt) const {
  if (options_.chat_template == nullptr) {
    return FieldError("messages",
                      "this model has no chat template: use /v1/completions, or start the server "
                      "with --chat-template FILE");
  }
  const Vocabulary& vocabulary = options_.tokenizer->vocabulary();
  nlohmann::ordered_json variables = *prompt.variables;
  variables["add_generation_prompt"] = true;
  variables["bos_token"] = std::string(options_.tokenizer->TokenBytes(vocabulary.bos_id));
  variables["eos_token"] = std::string(options_.tokenizer->TokenBytes(vocabulary.eos_id));
  const auto pieces = options_.chat_template->Render(variables, absl::Now());
  if (!pieces.ok()) {
    return FieldError("messages", absl::StrCat("the chat template refuses them: ",
                                               std::string(pieces.status().message())));
  }
  SHOAL_ASSIGN_OR_RETURN(std::vector<int32_t> ids, options_.tokenizer->EncodePieces(*pieces));
  if (ids.empty()) return FieldError("messages", "the chat template makes an empty prompt of them");
  return ids;
}

absl::StatusOr<std::vector<int32_t>> Generate::TextIds(const std::string& prompt) const {
  SHOAL_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                         options_.tokenizer->Encode(prompt, /*parse_special=*/true));
  const Vocabulary& vocabulary = options_.tokenizer->vocabulary();
  if (vocabulary.add_bos && vocabulary.bos_id >= 0) ids.insert(ids.begin(), vocabulary.bos_id);
  if (ids.empty()) return FieldError("prompt", "is empty; send at least one token");
  return ids;
}

// An answer in a chat is a text of its own, and so is what follows control tokens alone.
bool Generate::ContinuesText(const GenerateRequest& request,
                             const std::vector<int32_t>& ids) const {
  if (std::holds_alternative<ChatPrompt>(request.prompt)) return false;
  return !std::all_of(ids.begin(), ids.end(),
                      [this](int32_t id) { return options_.tokenizer->IsControl(id); });
}

absl::Status Generate::CheckIds(const std::vector<int32_t>& ids) const {
  if (ids.empty()) return FieldError("prompt", "is empty; send at least one token");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < options_.tokenizer->vocab_size()) continue;
    return FieldError(absl::StrCat("prompt[", i, "]"),
                      absl::StrCat("the id is not in [0, ", options_.tokenizer->vocab_size(), ")"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Generate::MaxTokens(int64_t n_prompt_tokens, int64_t asked) const {
  const int64_t left = options_.context_length - n_prompt_tokens;
  if (left < 1) {
    return FieldError("",
                      absl::StrCat("the prompt has ", n_prompt_tokens,
                                   " tokens and leaves no room for an answer in the context "
                                   "of ",
                                   options_.context_length, "; shorten it"),
                      "context_length_exceeded");
  }
  if (asked <= left) return asked == 0 ? left : asked;
  return FieldError("max_tokens",
                    absl::StrCat(asked, " and the prompt's ", n_prompt_tokens,
                                 " tokens do not fit the context of ", options_.context_length,
                                 "; ask for at most ", left),
                    "context_length_exceeded");
}

}  // namespace shoal
