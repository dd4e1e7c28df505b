// Any bytes as a tokenizer shard's data: refused, or exactly what encodes to the same bytes again.
// Seeds: tests/data/fuzz/tokenizer_shard.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/tokenizer_shard.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto shard = shoal::DecodeTokenizerShard(bytes);
  if (!shard.ok()) {
    SHOAL_CHECK(!shard.status().message().empty());
    return 0;
  }
  SHOAL_CHECK_EQ(shard->vocabulary.tokens.size(), shard->vocabulary.types.size());
  SHOAL_CHECK(shoal::EncodeTokenizerShard(*shard) == bytes);
  return 0;
}
