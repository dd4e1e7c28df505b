#include "router/http/completion_reply.h"

#include <random>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "router/http/api_error.h"

namespace shoal {
namespace {

uint64_t RandomBits(int n_bits) {
  std::random_device device;
  const uint64_t high = device();
  return (high << 32 | device()) >> (64 - n_bits);
}

std::string ReplyId(bool chat) {
  return absl::StrCat(chat ? "chatcmpl-" : "cmpl-", absl::Hex(RandomBits(64), absl::kZeroPad16));
}

}  // namespace

absl::StatusOr<CompletionReply> StartCompletion(bool chat, CompletionOptions options,
                                                decltype(GenerateRequest::prompt) prompt,
                                                const Generate& generate,
                                                const ServedModel& model) {
  if (options.model != model.name) return UnknownModelError(options.model, model.name);
  // A drawn seed has 53 bits, so that clients which keep numbers as doubles can send it back.
  const uint64_t seed = options.seed.has_value() ? *options.seed : RandomBits(53);
  SHOAL_ASSIGN_OR_RETURN(
      auto generation,
      generate.Run(
          {.prompt = std::move(prompt),
           .max_tokens = options.max_tokens,
           .sampling = {.temperature = options.temperature, .top_p = options.top_p, .seed = seed},
           .stop = std::move(options.stop),
           .ignore_eos = options.ignore_eos}));
  ReplyHead head{.chat = chat,
                 .id = ReplyId(chat),
                 .created = absl::ToUnixSeconds(absl::Now()),
                 .model = model.name,
                 .fingerprint = model.fingerprint,
                 .seed = seed,
                 .include_usage = options.include_usage,
                 .n_prompt_tokens = generation->n_prompt_tokens()};
  return CompletionReply{std::move(head), options.stream, std::move(generation)};
}

}  // namespace shoal
