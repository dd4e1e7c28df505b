#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/tokenizer.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// A model's chat template: a Jinja program that turns messages into a prompt. Immutable,
// thread-safe. Runs within the limits of FAILURE-MODEL S23.
class ChatTemplate {
 public:
  // InvalidArgument with line and reason for what is not a template; Unimplemented, likewise, for a
  // construct that the interpreter does not know.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(std::string_view source);
  ~ChatTemplate();

  // Renders with `variables` (an object: "messages", "tools", "add_generation_prompt", "bos_token",
  // ...). All text of the request is marked literal: every string in `variables` but
  // top-level ones named `*_token`, the model's own, and the words that roles are. `now`, in the
  // local time zone, is what strftime_now sees. InvalidArgument carries raise_exception's message;
  // ResourceExhausted, the limit that was passed.
  absl::StatusOr<std::vector<PromptPiece>> Render(const nlohmann::ordered_json& variables,
                                                  absl::Time now) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
