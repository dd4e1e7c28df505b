#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "router/generation.h"

namespace shoal {

// What every part of one reply says about itself.
struct ReplyHead {
  bool chat = true;  // chat.completion, else text_completion.
  std::string id;
  int64_t created = 0;  // Seconds since 1970.
  std::string model;
  std::string fingerprint;
  uint64_t seed = 0;
  bool include_usage = false;  // Streams only: end with a chunk of usage.
  int64_t n_prompt_tokens = 0;
};

// A whole reply as one JSON object.
std::string FullReply(const ReplyHead& head, std::string_view text, FinishReason reason,
                      int64_t n_tokens);

// The parts of a stream, each a whole server-sent event. The first part of a chat names the role; a
// text completion has no such part and gets an empty string.
std::string FirstEvent(const ReplyHead& head);
std::string TextEvent(const ReplyHead& head, std::string_view text);
// The finish reason, usage where it was asked for, and [DONE].
std::string LastEvents(const ReplyHead& head, FinishReason reason, int64_t n_tokens);
// An error ends a stream; nothing follows it.
std::string ErrorEvent(const absl::Status& status);
// A comment, so that a silent connection is seen to be alive.
std::string_view KeepAliveEvent();

// GET /v1/models/{id}, and the list of one.
std::string ModelJson(std::string_view model, int64_t created);
std::string ModelListJson(std::string_view model, int64_t created);

}  // namespace shoal
