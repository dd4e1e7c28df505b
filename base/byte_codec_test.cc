#include "base/byte_codec.h"

#include <cmath>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

template <typename T>
std::string ErrorOf(const absl::StatusOr<T>& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

TEST(ByteCodecTest, EverythingComesBack) {
  ByteWriter writer;
  writer.U8(0xFE);
  writer.U32(0x12345678);
  writer.U64(0xFEDCBA9876543210);
  writer.F64(-0.0);
  writer.F64(std::numeric_limits<double>::denorm_min());
  writer.String("shoal");
  writer.Bytes("raw");
  const std::string bytes = writer.Take();

  ByteReader reader(bytes);
  EXPECT_EQ(*reader.U8(), 0xFE);
  EXPECT_EQ(*reader.U32(), 0x12345678U);
  EXPECT_EQ(*reader.U64(), 0xFEDCBA9876543210U);
  const double zero = *reader.F64();
  EXPECT_EQ(zero, 0);
  EXPECT_TRUE(std::signbit(zero));
  EXPECT_EQ(*reader.F64(), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(*reader.String(5), "shoal");
  EXPECT_EQ(*reader.Bytes(3), "raw");
  EXPECT_TRUE(reader.ExpectEnd().ok());
}

TEST(ByteCodecTest, NumbersAreLittleEndianOnEveryMachine) {
  ByteWriter writer;
  writer.U32(0x04030201);
  writer.String("a");
  EXPECT_EQ(writer.bytes(), std::string("\1\2\3\4\1\0\0\0a", 9));
}

TEST(ByteCodecTest, MissingBytesAreNamedWithTheirOffset) {
  for (size_t n = 0; n < 8; ++n) {
    const std::string bytes(n, 'x');
    ByteReader reader(bytes);
    EXPECT_THAT(ErrorOf(reader.U64()),
                HasSubstr("offset 0: 8 bytes expected, " + std::to_string(n)));
    EXPECT_EQ(reader.offset(), 0U);
  }
}

TEST(ByteCodecTest, AStringAboveItsBoundIsRefusedBeforeItIsRead) {
  ByteWriter writer;
  writer.U8(0);
  writer.String("sixsix");
  ByteReader reader(writer.bytes());
  ASSERT_TRUE(reader.U8().ok());
  EXPECT_THAT(ErrorOf(reader.String(5)), HasSubstr("offset 1: a string of 6 bytes, at most 5"));
}

TEST(ByteCodecTest, AStringLongerThanWhatFollowsIsRefused) {
  ByteReader reader(std::string_view("\xFF\xFF\xFF\xFFxy", 6));
  EXPECT_THAT(ErrorOf(reader.String(SIZE_MAX)), HasSubstr("4294967295 bytes expected, 2 left"));
}

TEST(ByteCodecTest, ACountNeverPromisesMoreThanCouldFollow) {
  ByteWriter writer;
  writer.U32(3);
  writer.Bytes("12345678");
  EXPECT_EQ(*ByteReader(writer.bytes()).Count(3, 2), 3U);
  EXPECT_EQ(*ByteReader(writer.bytes()).Count(3, 0), 3U);
  EXPECT_THAT(ErrorOf(ByteReader(writer.bytes()).Count(3, 3)), HasSubstr("each at least 3 bytes"));
  EXPECT_THAT(ErrorOf(ByteReader(writer.bytes()).Count(2, 1)),
              HasSubstr("a count of 3, at most 2"));
}

TEST(ByteCodecTest, BytesTooManyAreRefused) {
  ByteReader reader("abc");
  ASSERT_TRUE(reader.Bytes(1).ok());
  EXPECT_THAT(std::string(reader.ExpectEnd().message()),
              HasSubstr("offset 1: 2 bytes too many at the end"));
}

}  // namespace
}  // namespace shoal
