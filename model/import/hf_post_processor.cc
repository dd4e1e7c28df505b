#include "model/import/hf_post_processor.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/hf_json.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

// The ids that a TemplateProcessing puts before the text of a single sequence.
absl::StatusOr<std::vector<int32_t>> IdsBefore(const Json& part, size_t n_tokens) {
  std::vector<int32_t> ids;
  int n_sequences = 0;
  for (const Json& piece : Member(part, "single")) {
    if (const Json& sequence = Member(piece, "Sequence"); !sequence.is_null()) {
      if (Text(sequence, "id") == "A") ++n_sequences;
      continue;
    }
    const std::string name = Text(Member(piece, "SpecialToken"), "id");
    const Json& those = Member(Member(Member(part, "special_tokens"), name.c_str()), "ids");
    if (!those.is_array()) {
      return RefuseTokenizer("the post-processor has no ids of its token " + Quoted(name));
    }
    for (const Json& id : those) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= n_tokens) {
        return RefuseTokenizer("the post-processor's token " + Quoted(name) + " has the id " +
                               Quoted(id.dump()) + absl::StrCat(", not in [0, ", n_tokens, ")"));
      }
      if (n_sequences == 0) ids.push_back(id.get<int32_t>());
    }
  }
  if (n_sequences == 1) return ids;
  return UnknownInTokenizer("a post-processor with the text " + absl::StrCat(n_sequences) +
                            " times");
}

}  // namespace

absl::Status ReadHfPostProcessor(const Json& file, Vocabulary* vocabulary) {
  vocabulary->add_bos = false;
  std::vector<int32_t> before;
  for (const Json* part : Parts(Member(file, "post_processor"), "processors")) {
    const std::string type = Text(*part, "type");
    if (type == "ByteLevel") continue;  // Moves offsets only.
    if (type != "TemplateProcessing") {
      return UnknownInTokenizer("the post-processor " + Quoted(type));
    }
    SHOAL_ASSIGN_OR_RETURN(std::vector<int32_t> ids, IdsBefore(*part, vocabulary->tokens.size()));
    before.insert(before.begin(), ids.begin(), ids.end());
  }
  if (before.empty()) return absl::OkStatus();
  const auto text_of = [vocabulary](int32_t id) {
    return Quoted(vocabulary->tokens[static_cast<size_t>(id)]);
  };
  if (before.size() > 1) {
    return UnknownInTokenizer(absl::StrCat("a post-processor with ", before.size(),
                                           " tokens before a text, of which one is ") +
                              text_of(before[0]));
  }
  if (vocabulary->bos_id >= 0 && vocabulary->bos_id != before[0]) {
    return UnknownInTokenizer("a post-processor that begins texts with " + text_of(before[0]) +
                              " where bos_token is " + text_of(vocabulary->bos_id));
  }
  vocabulary->bos_id = before[0];
  vocabulary->add_bos = true;
  return absl::OkStatus();
}

}  // namespace shoal
