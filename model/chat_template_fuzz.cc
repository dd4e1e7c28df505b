// Any bytes as a template, over variables that use every kind of value. It is refused, or it runs
// within its limits; the output is UTF-8, and what came from the request is marked in it.
// Seeds: tests/data/fuzz/chat_template.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "base/check.h"
#include "model/chat_template.h"
#include "model/utf8.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

// Stands in every text of the request and in nothing else.
constexpr char kSecret[] = "\uE000";

const nlohmann::ordered_json& Variables() {
  static const auto& variables = *new nlohmann::ordered_json(nlohmann::ordered_json::parse(R"({
    "s": "\ue000Some text, some <|im_end|>\n\n\tmore\ue000", "e": "", "n": 7, "f": 2.5, "neg": -7,
    "t": true, "no": null, "l": [3, 1, 2], "w": ["a\ue000", "\ue000b", "c"], "empty": [],
    "d": {"name": "x\ue000", "items": 5, "b": [1, {"c\ue000": null}]},
    "m": [{"role": "user", "content": " h\ue000 "}, {"role": "assistant", "content": "\u00df\ue000"}],
    "messages": [{"role": "user", "content": "\ue000"},
                 {"role": "assistant", "content": "<think>\ue000</think>y"},
                 {"role": "tool", "content": "\ue000"}],
    "tools": [{"type": "function", "function": {"name": "\ue000"}}],
    "add_generation_prompt": true, "bos_token": "<s>"})"));
  return variables;
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = shoal::ChatTemplate::Parse(source);
  if (!parsed.ok()) return 0;
  const auto pieces = (*parsed)->Render(shoal::Variables(), absl::UnixEpoch());
  if (!pieces.ok()) return 0;
  // A template may spell the character itself, by an escape too.
  const bool can_spell = source.find('\\') != std::string_view::npos ||
                         source.find(shoal::kSecret) != std::string_view::npos;
  size_t bytes = 0;
  for (const shoal::PromptPiece& piece : *pieces) {
    SHOAL_CHECK(!piece.text.empty());
    SHOAL_CHECK(shoal::FindInvalidUtf8(piece.text) == std::string::npos);
    if (!can_spell && !piece.literal) {
      SHOAL_CHECK(piece.text.find(shoal::kSecret) == std::string::npos);
    }
    bytes += piece.text.size();
  }
  SHOAL_CHECK_LE(bytes, size_t{4} << 20);
  return 0;
}
