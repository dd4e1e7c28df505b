#include "router/http/head_check.h"

#include <string>

#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

std::string Refusal(std::string_view head) { return std::string(CheckHead(head).message()); }

TEST(HeadCheckTest, AcceptsAnOrdinaryHead) {
  EXPECT_TRUE(
      CheckHead("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n").ok());
  EXPECT_TRUE(CheckHead("GET / HTTP/1.1\r\n\r\n").ok());
}

TEST(HeadCheckTest, S10_RefusesWhatParsersReadDifferently) {
  EXPECT_THAT(Refusal("GET / HTTP/1.1\nHost: a\r\n\r\n"), HasSubstr("ends without CR"));
  EXPECT_THAT(Refusal("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), HasSubstr("CR stands alone"));
  EXPECT_THAT(Refusal("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), HasSubstr("folded"));
  EXPECT_THAT(Refusal(std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24)), HasSubstr("NUL"));
  EXPECT_THAT(Refusal("GET / HTTP/1.1\r\nA : b\r\n\r\n"), HasSubstr("holds a space"));
  EXPECT_THAT(Refusal("GET / HTTP/1.1\r\n: b\r\n\r\n"), HasSubstr("no name"));
  EXPECT_THAT(Refusal("\r\n\r\n"), HasSubstr("no request line"));
  EXPECT_THAT(Refusal("POST / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n"),
              HasSubstr("more than once"));
  EXPECT_THAT(Refusal("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"),
              HasSubstr("more than once"));
}

// Goal: each cap holds exactly.
// Method: a head at the cap passes, the same with one more byte or field does not.
TEST(HeadCheckTest, S08_CapsHoldExactly) {
  const auto with_line = [](size_t n) {
    return "GET /" + std::string(n - 14, 'a') + " HTTP/1.1\r\n\r\n";
  };
  EXPECT_TRUE(CheckHead(with_line(kMaxRequestLineBytes)).ok());
  EXPECT_EQ(CheckHead(with_line(kMaxRequestLineBytes + 1)).code(), absl::StatusCode::kOutOfRange);

  const auto with_fields = [](size_t n_bytes) {  // Counted from the end of the request line.
    return "GET / HTTP/1.1\r\nA: " + std::string(n_bytes - 9, 'a') + "\r\n\r\n";
  };
  EXPECT_TRUE(CheckHead(with_fields(kMaxHeaderBytes)).ok());
  EXPECT_EQ(CheckHead(with_fields(kMaxHeaderBytes + 1)).code(), absl::StatusCode::kOutOfRange);

  std::string fields;
  for (int i = 0; i < kMaxHeaderFields; ++i) fields += "A: b\r\n";
  EXPECT_TRUE(CheckHead("GET / HTTP/1.1\r\n" + fields + "\r\n").ok());
  EXPECT_EQ(CheckHead("GET / HTTP/1.1\r\n" + fields + "A: b\r\n\r\n").code(),
            absl::StatusCode::kOutOfRange);
}

TEST(HeadCheckTest, HeadLengthEndsAtTheEmptyLineOrTheFirstBareLf) {
  EXPECT_EQ(HeadLength("GET / HTTP/1.1\r\n\r\nbody\n"), 18U);
  EXPECT_EQ(HeadLength("GET / HTTP/1.1\r\nA: b\r\n"), std::string::npos);
  EXPECT_EQ(HeadLength("GET / HTTP/1.1\nA: b"), 15U);
  EXPECT_EQ(HeadLength("GET / HTTP/1.1\r\nA: b\nC"), 21U);
  EXPECT_EQ(HeadLength("\n"), 1U);
  EXPECT_EQ(HeadLength(""), std::string::npos);
}

}  // namespace
}  // namespace shoal
