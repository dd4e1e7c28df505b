// Any text, as a join token: nothing may crash, and what is read is written back as it was. Seeds:
// tests/data/fuzz/join_token.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "proto/join.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto token = shoal::ParseJoinToken(text);
  if (!token.ok()) {
    // A secret never stands in a message: none is longer than the one that names the form.
    SHOAL_CHECK_EQ(token.status(), shoal::ParseJoinToken("").status());
    return 0;
  }
  const std::string written = shoal::FormatJoinToken(*token);
  SHOAL_CHECK(text.substr(0, written.size()) == written);
  SHOAL_CHECK(text.find_first_not_of(" \r\n", written.size()) == std::string_view::npos);
  return 0;
}
