#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampler.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "nlohmann/json_fwd.hpp"
#include "router/admission.h"
#include "router/generation.h"

namespace shoal {

// What the template turns into a prompt: an object with "messages" and whatever else it may see.
struct ChatPrompt {
  std::shared_ptr<const nlohmann::ordered_json> variables;
};

struct GenerateRequest {
  std::variant<ChatPrompt, std::string, std::vector<int32_t>> prompt;
  int64_t max_tokens = 0;  // 0: as many as the context leaves.
  SamplingParams sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// Starts an answer: prompt to ids, room in the context, a place in the queue. From there the step
// batcher carries it. Thread-safe.
class Generate {
 public:
  struct Options {
    const Tokenizer* tokenizer = nullptr;         // Outlives this and every Generation.
    const ChatTemplate* chat_template = nullptr;  // Null: chat is refused.
    Admission* admission = nullptr;               // Outlives this and every Generation.
    int64_t context_length = 0;                   // Positions of prompt and answer together.
  };
  explicit Generate(Options options) : options_(options) {}

  // InvalidArgument, with the field, for what cannot be a prompt or does not fit the context;
  // ResourceExhausted when the queue is full; Unavailable when the router is stopping.
  absl::StatusOr<std::shared_ptr<Generation>> Run(GenerateRequest request) const;

 private:
  absl::StatusOr<std::vector<int32_t>> PromptIds(const GenerateRequest& request) const;
  absl::StatusOr<std::vector<int32_t>> ChatIds(const ChatPrompt& prompt) const;
  absl::StatusOr<std::vector<int32_t>> TextIds(const std::string& prompt) const;
  bool ContinuesText(const GenerateRequest& request, const std::vector<int32_t>& ids) const;
  absl::Status CheckIds(const std::vector<int32_t>& ids) const;
  absl::StatusOr<int64_t> MaxTokens(int64_t n_prompt_tokens, int64_t asked) const;

  const Options options_;
};

}  // namespace shoal
