// Any bytes as a tokenizer.model. It is refused, or makes a tokenizer whose ids are in range and
// whose streamed text is the whole one.
// Seeds: tests/data/fuzz/sentencepiece.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/import/sentencepiece_model.h"
#include "model/import/tokenizer_file_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  shoal::CheckTokenizerFile(shoal::ReadSentencePieceModel(bytes, "", "", 64));
  return 0;
}
