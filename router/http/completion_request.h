#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// The fields that both completion endpoints share, checked against FAILURE-MODEL S08.
struct CompletionOptions {
  std::string model;
  int64_t max_tokens = 0;  // 0: as many as the context leaves.
  float temperature = 1.0F;
  float top_p = 1.0F;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;
};

struct ChatRequest {
  CompletionOptions options;
  // What the template sees: "messages", and "tools" and template switches where given. Contents
  // are plain strings.
  std::shared_ptr<nlohmann::ordered_json> variables;
};

struct TextRequest {
  CompletionOptions options;
  std::variant<std::string, std::vector<int32_t>>
      prompt;  // Ids are not yet held against a vocabulary.
};

// Bodies of POST /v1/chat/completions and POST /v1/completions. InvalidArgument names the field,
// its value and the bound. A field that would change the answer and is not supported is refused; a
// standard field that changes nothing is read past.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string_view body);
absl::StatusOr<TextRequest> ParseTextRequest(std::string_view body);

}  // namespace shoal
