#include "engine/quality/reference_logits.h"

#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "base/crc32c.h"
#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kPath[] = "/d/ref";
// Of the fields of docs/reference_logits.md.
constexpr size_t kVersionAt = 8, kVocabAt = 12, kTopAt = 16, kCtxAt = 20, kStrideAt = 24,
                 kRowsAt = 28, kNameAt = 68, kHeaderBytes = 72 + 1 + 4, kRowBytes = 8 + 16 + 4;

ReferenceHeader SmallHeader() {
  return {.vocab_size = 4,
          .n_top = 2,
          .ctx_size = 8,
          .stride = 0,
          .n_rows = 2,
          .text = TextDigest(std::vector<int32_t>{1, 2, 3}),
          .model = "m"};
}

ReferenceRow SmallRow() {
  return {.target_log_prob = std::log(0.25F),
          .rest = 0.25F,
          .top = {{3, std::log(0.5F)}, {0, std::log(0.25F)}}};
}

class ReferenceLogitsTest : public ::testing::Test {
 protected:
  ReferenceLogitsTest() {
    EXPECT_TRUE(files_.CreateDirectories("/d").ok());
    auto writer = *ReferenceWriter::Create(&files_, kPath, SmallHeader());
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(writer->Append(SmallRow()).ok());
    EXPECT_TRUE(writer->Finish().ok());
    good_ = *ReadFile(&files_, kPath, 1 << 20);
  }

  // Why a file of these bytes is refused, by its header or one of its rows; empty if it is not.
  std::string Refusal(const std::string& bytes) {
    EXPECT_TRUE(ReplaceFile(&files_, kPath, bytes).ok());
    const auto reader = ReferenceReader::Open(&files_, kPath);
    if (!reader.ok()) return std::string(reader.status().message());
    for (int64_t i = 0; i < (*reader)->header().n_rows; ++i) {
      const auto row = (*reader)->Next();
      if (!row.ok()) return std::string(row.status().message());
    }
    return "";
  }

  // The good file with another number there, and checksums that are right again.
  std::string With(size_t at, uint32_t value) const {
    std::string bytes = good_;
    Put(&bytes, at, value);
    Put(&bytes, kHeaderBytes - 4, Crc32c(0, bytes.data(), kHeaderBytes - 4));
    for (size_t row = kHeaderBytes; row < bytes.size(); row += kRowBytes) {
      Put(&bytes, row + kRowBytes - 4, Crc32c(0, bytes.data() + row, kRowBytes - 4));
    }
    return bytes;
  }
  std::string With(size_t at, float value) const {
    return With(at, std::bit_cast<uint32_t>(value));
  }

  static void Put(std::string* bytes, size_t at, uint32_t value) {
    for (int i = 0; i < 4; ++i) (*bytes)[at + i] = static_cast<char>(value >> (8 * i));
  }

  MemoryFileSystem files_;
  std::string good_;
};

TEST_F(ReferenceLogitsTest, ReadsWhatItWrote) {
  EXPECT_EQ(good_.size(), kHeaderBytes + 2 * kRowBytes);
  const auto reader = *ReferenceReader::Open(&files_, kPath);
  EXPECT_EQ(reader->header().n_top, 2);
  EXPECT_EQ(reader->header().model, "m");
  EXPECT_EQ(reader->header().text, SmallHeader().text);
  for (int i = 0; i < 2; ++i) {
    const ReferenceRow row = *reader->Next();
    EXPECT_EQ(row.top[0].id, 3);
    EXPECT_EQ(row.top[1].log_prob, SmallRow().top[1].log_prob);
    EXPECT_EQ(row.target_log_prob, SmallRow().target_log_prob);
    EXPECT_EQ(row.rest, 0.25F);
  }
}

TEST_F(ReferenceLogitsTest, AnUnfinishedFileIsNotThere) {
  {
    auto writer = *ReferenceWriter::Create(&files_, "/d/other", SmallHeader());
    EXPECT_TRUE(writer->Append(SmallRow()).ok());
  }
  EXPECT_FALSE(files_.Exists("/d/other"));
  EXPECT_FALSE(files_.Exists("/d/other.tmp"));
}

TEST_F(ReferenceLogitsTest, RefusesBadHeaders) {
  EXPECT_THAT(Refusal(""), HasSubstr("too short"));
  std::string other = good_;
  other[0] = 'X';
  EXPECT_THAT(Refusal(other), HasSubstr("no file of saved logits"));
  EXPECT_THAT(Refusal(With(kVersionAt, 2U)), AllOf(HasSubstr("version 2"), HasSubstr("reads 1")));
  EXPECT_THAT(Refusal(With(kVocabAt, 0U)), HasSubstr("vocab_size=0"));
  EXPECT_THAT(Refusal(With(kVocabAt, 0x7FFFFFFFU)), HasSubstr("vocab_size=2147483647"));
  EXPECT_THAT(Refusal(With(kTopAt, 5U)), HasSubstr("n_top=5 is not in [1, 4]"));
  EXPECT_THAT(Refusal(With(kTopAt, 0U)), HasSubstr("n_top=0"));
  EXPECT_THAT(Refusal(With(kCtxAt, 0xFFFFFFFFU)), HasSubstr("ctx_size=4294967295"));
  EXPECT_THAT(Refusal(With(kStrideAt, 9U)), HasSubstr("stride=9 is not in [0, 8]"));
  EXPECT_THAT(Refusal(With(kRowsAt, 0U)), HasSubstr("n_rows=0"));
  EXPECT_THAT(Refusal(With(kRowsAt + 4, 2U)), HasSubstr("n_rows=8589934594"));
  EXPECT_THAT(Refusal(With(kNameAt, 257U)), HasSubstr("length=257"));
}

TEST_F(ReferenceLogitsTest, RefusesALengthThatIsNotItsHeaders) {
  EXPECT_THAT(Refusal(good_.substr(0, good_.size() - 1)), HasSubstr("its header says"));
  EXPECT_THAT(Refusal(good_ + "x"), HasSubstr("its header says"));
  EXPECT_THAT(Refusal(With(kRowsAt, 3U)), HasSubstr("its header says"));
  EXPECT_THAT(Refusal(With(kTopAt, 1U)), HasSubstr("its header says"));
}

TEST_F(ReferenceLogitsTest, RefusesDamage) {
  std::string bytes = good_;
  bytes[kHeaderBytes - 5] = 'n';  // The name.
  EXPECT_THAT(Refusal(bytes), HasSubstr("header's checksum"));
  bytes = good_;
  bytes[kHeaderBytes + kRowBytes + 2] ^= 1;
  EXPECT_THAT(Refusal(bytes), HasSubstr("row 1: its checksum"));
}

TEST_F(ReferenceLogitsTest, RefusesRowsThatNoModelGives) {
  const size_t target = kHeaderBytes, rest = target + 4, id0 = rest + 4, p0 = id0 + 4, id1 = p0 + 4,
               p1 = id1 + 4;
  EXPECT_THAT(Refusal(With(target, 0.5F)), HasSubstr("no log-probability"));
  EXPECT_THAT(Refusal(With(target, NAN)), HasSubstr("no log-probability"));
  EXPECT_THAT(Refusal(With(rest, -0.1F)), HasSubstr("not in [0, 1]"));
  EXPECT_THAT(Refusal(With(rest, NAN)), HasSubstr("not in [0, 1]"));
  EXPECT_THAT(Refusal(With(rest, 0.5F)), HasSubstr("add up to"));
  EXPECT_THAT(Refusal(With(id0, 4U)), HasSubstr("id 4 is not in [0, 4)"));
  EXPECT_THAT(Refusal(With(id1, 3U)), HasSubstr("id 3 stands there twice"));
  EXPECT_THAT(Refusal(With(p1, -0.1F)), HasSubstr("rise"));
  EXPECT_THAT(Refusal(With(p0, -INFINITY)), HasSubstr("no log-probability"));
  EXPECT_EQ(Refusal(good_), "");
}

}  // namespace
}  // namespace shoal
