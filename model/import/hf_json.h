#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// Reading the JSON files of a Hugging Face tokenizer: what is absent or of another type counts as
// the default.

// `text` as an object; InvalidArgument, naming `file`, for anything else or what nests too deep.
absl::StatusOr<nlohmann::json> ParseObject(std::string_view text, const char* file);
// A member, or null.
const nlohmann::json& Member(const nlohmann::json& object, const char* name);
bool Flag(const nlohmann::json& object, const char* name, bool otherwise = false);
std::string Text(const nlohmann::json& object, const char* name);
// The parts of a normalizer, pre-tokenizer, post-processor or decoder, sequences of the member
// `members` opened.
std::vector<const nlohmann::json*> Parts(const nlohmann::json& part, const char* members);

// Errors of tokenizer.json: bad, or not known to this release.
absl::Status RefuseTokenizer(const std::string& what);
absl::Status UnknownInTokenizer(const std::string& what);

}  // namespace shoal
