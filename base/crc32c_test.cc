#include "base/crc32c.h"

#include <string>

#include "gtest/gtest.h"

namespace shoal {
namespace {

// Vectors of RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32cTest, MatchesPublishedVectors) {
  EXPECT_EQ(Crc32c(0, "123456789", 9), 0xE3069283U);
  EXPECT_EQ(Crc32c(0, std::string(32, '\0').data(), 32), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(0, std::string(32, '\xff').data(), 32), 0x62A8AB43U);
}

TEST(Crc32cTest, ContinuesAcrossPieces) {
  const std::string text = "the same sum whether in one piece or in three";
  const uint32_t whole = Crc32c(0, text.data(), text.size());
  uint32_t pieces = Crc32c(0, text.data(), 5);
  pieces = Crc32c(pieces, text.data() + 5, 11);
  pieces = Crc32c(pieces, text.data() + 16, text.size() - 16);
  EXPECT_EQ(pieces, whole);
}

}  // namespace
}  // namespace shoal
