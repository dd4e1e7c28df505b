#include "router/http/api_keys.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ApiKeys::NewKey MakeKey(std::string_view name = "kiosk") {
  return *ApiKeys::Make(name, SystemRandom());
}

std::string Refusal(std::string_view text) {
  return std::string(ApiKeys::Parse(text).status().message());
}

TEST(ApiKeysTest, S07_AKeyThatWasMadeLetsInAndNothingElseDoes) {
  const ApiKeys::NewKey one = MakeKey(), other = MakeKey(), stranger = MakeKey();
  const ApiKeys keys = *ApiKeys::Parse(absl::StrCat("# ours\n", one.line, "\n", other.line));
  EXPECT_TRUE(keys.Admit("Bearer " + one.key));
  EXPECT_TRUE(keys.Admit("Bearer " + other.key));
  EXPECT_TRUE(keys.Admit("bearer " + one.key));
  EXPECT_FALSE(keys.Admit("Bearer " + stranger.key));
  // The id of one with the secret of the other.
  EXPECT_FALSE(keys.Admit("Bearer " + one.key.substr(0, 20) + other.key.substr(20)));
  for (const std::string& no_key :
       {std::string(), std::string("Bearer "), one.key, "Basic " + one.key,
        "Bearer " + one.key + " ", "Bearer  " + one.key, "Bearer " + one.key.substr(0, 83)}) {
    EXPECT_FALSE(keys.Admit(no_key));
  }
}

TEST(ApiKeysTest, S07_EveryWrongDigitIsRefused) {
  const ApiKeys::NewKey made = MakeKey();
  const ApiKeys keys = *ApiKeys::Parse(made.line);
  for (size_t i = 0; i < made.key.size(); ++i) {
    std::string wrong = "Bearer " + made.key;
    wrong[7 + i] = wrong[7 + i] == '0' ? '1' : '0';
    EXPECT_FALSE(keys.Admit(wrong)) << i;
  }
}

TEST(ApiKeysTest, S07_TheFileHoldsNoSecret) {
  const ApiKeys::NewKey made = MakeKey();
  EXPECT_THAT(made.line, Not(HasSubstr(made.key.substr(20))));
  EXPECT_EQ(made.key.size(), 84U);
  EXPECT_THAT(made.line, HasSubstr(" kiosk\n"));
}

TEST(ApiKeysTest, LinesOfAnotherFormAreRefusedWithTheirNumber) {
  const std::string line = MakeKey().line;
  const std::string id = line.substr(0, 16), hash = line.substr(17, 64);
  EXPECT_THAT(Refusal(line + id + " " + hash), HasSubstr("line 2: is not"));
  EXPECT_THAT(Refusal(line + line), HasSubstr("line 2: the id stands twice"));
  EXPECT_THAT(Refusal(id + " abc kiosk"), HasSubstr("line 1: the SHA-256 is not"));
  EXPECT_THAT(Refusal("0123 " + hash + " kiosk"), HasSubstr("line 1: is not"));
  EXPECT_THAT(Refusal(id + " " + hash + " a/b"), HasSubstr("line 1: is not"));
  EXPECT_THAT(Refusal(MakeKey().key), HasSubstr("line 1: is not"));
  EXPECT_THAT(Refusal("# nothing\n\n"), HasSubstr("holds no key"));
}

TEST(ApiKeysTest, NamesAreBounded) {
  EXPECT_TRUE(ApiKeys::Make("team-1.kiosk_2", SystemRandom()).ok());
  for (const std::string& name : {std::string(), std::string("a b"), std::string(65, 'a')}) {
    EXPECT_THAT(std::string(ApiKeys::Make(name, SystemRandom()).status().message()),
                HasSubstr("a key's name is 1 to 64"));
  }
}

}  // namespace
}  // namespace shoal
