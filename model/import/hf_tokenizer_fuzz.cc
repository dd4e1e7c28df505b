// Any bytes as a tokenizer.json, and behind a NUL a tokenizer_config.json. It is refused, or makes
// a tokenizer whose ids are in range and whose streamed text is the whole one.
// Seeds: tests/data/fuzz/hf_tokenizer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/import/hf_tokenizer.h"
#include "model/import/tokenizer_file_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view config = end < bytes.size() ? bytes.substr(end + 1) : "";
  shoal::CheckTokenizerFile(shoal::ReadHfTokenizer(bytes.substr(0, end), config, 64));
  return 0;
}
