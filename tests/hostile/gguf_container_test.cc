// GGUF files that must be refused by the rules of FAILURE-MODEL 6.6 for the container, each by its
// own rule and message.
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/hostile/gguf_cases.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kHuge = 1'000'000'000'000'000'000;
constexpr uint32_t kString = 8, kArray = 9;

// An array whose head claims `count` elements and whose contents are `bytes`.
GgufKey Array(uint32_t element, uint64_t count, const std::string& bytes = "") {
  return {"x", kArray, Le32(element) + Le64(count) + bytes};
}

class GgufContainerTest : public ::testing::TestWithParam<GgufCase> {};

TEST_P(GgufContainerTest, I11_IsRefusedByItsRule) {
  GgufBuilder file = TinyQwen3Moe();
  ASSERT_TRUE(ParseText(file.Build()).ok());
  GetParam().damage(file);
  const auto reader = ParseText(file.Build());
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(reader.status()), StartsWith("bad.gguf: "));
  EXPECT_THAT(Message(reader.status()), HasSubstr(GetParam().says));
}

const GgufCase kHeaderCases[] = {
    {"WrongMagic", [](auto& f) { f.magic = "PK\x03\x04"; },
     "at byte 0: begins with 'PK\\x03\\x04' and not 'GGUF'; name a GGUF model file"},
    {"Version1", [](auto& f) { f.version = 1; },
     "at byte 4: GGUF version 1 is not read, 2 and 3 are"},
    {"Version4", [](auto& f) { f.version = 4; }, "GGUF version 4 is not read"},
    {"BigEndian", [](auto& f) { f.version = 0x03000000; },
     "at byte 4: is a big-endian GGUF, which is not read; convert it to little-endian"},
    {"TensorCountOf1e18", [](auto& f) { f.n_tensors = kHuge; },
     "at byte 8: the tensor count is 1000000000000000000, above the limit of 131072"},
    {"KeyCountOf1e18", [](auto& f) { f.n_keys = kHuge; },
     "at byte 16: the key count is 1000000000000000000, above the limit of 65536"},
    {"MoreTensorsThanBytes", [](auto& f) { f.n_tensors = 131072; },
     "131072 tensors need at least 33 bytes each"},
    {"MoreKeysThanBytes", [](auto& f) { f.n_keys = 65536; },
     "65536 keys need at least 14 bytes each"},
    {"TooFewKeysClaimed", [](auto& f) { f.n_keys = f.keys.size() - 1; }, "dimensions, not 1 to 4"},
};
INSTANTIATE_TEST_SUITE_P(Header, GgufContainerTest, ::testing::ValuesIn(kHeaderCases), CaseName);

const GgufCase kStringCases[] = {
    {"EmptyKey", [](auto& f) { f.keys[0].name = ""; },
     "key 0 of 22: at byte 24: the key is 0 bytes long, not in [1, 65535]"},
    {"LongKey", [](auto& f) { f.keys[0].name = std::string(65536, 'k'); },
     "the key is 65536 bytes long, not in [1, 65535]"},
    {"KeyNotUtf8", [](auto& f) { f.keys[0].name = "general.\xFF\xFE"; },
     "the key 'general.\\xff\\xfe' is not UTF-8"},
    {"KeyWithNul", [](auto& f) { f.keys[0].name = std::string("a\0z", 3); },
     "the key 'a\\x00z' has a control character"},
    {"KeyWithNewline", [](auto& f) { f.keys[0].name = "a\nb"; },
     "the key 'a\\nb' has a control character"},
    {"TextNotUtf8", [](auto& f) { f.AddString("x", "\xC0\x80"); },
     "the text '\\xc0\\x80' is not UTF-8"},
    {"TextOf1e18Bytes",
     [](auto& f) {
       f.keys.push_back({"x", kString, Le64(kHuge)});
     },
     "the text is 1000000000000000000 bytes long, not in [0, 16777216]"},
    {"TextOf17MiB",
     [](auto& f) {
       f.keys.push_back({"x", kString, Le64(17 << 20) + std::string(17 << 20, 'y')});
     },
     "the text is 17825792 bytes long, not in [0, 16777216]"},
    {"TextLongerThanTheFile",
     [](auto& f) {
       f.keys.push_back({"x", kString, Le64(16 << 20)});
     },
     "the text needs 16777216 bytes"},
    {"ElementNotUtf8",
     [](auto& f) {
       f.AddStrings("x", {"good", "\xED\xA0\x80"});
     },
     "'x': element 1: at byte"},
    {"TensorNameEmpty", [](auto& f) { f.tensors[0].name = ""; },
     "the tensor's name is 0 bytes long, not in [1, 64]"},
    {"TensorNameOf65Bytes", [](auto& f) { f.tensors[0].name = std::string(65, 't'); },
     "the tensor's name is 65 bytes long, not in [1, 64]"},
    {"TensorNameNotUtf8", [](auto& f) { f.tensors[0].name = "blk\xE9"; },
     "the tensor's name 'blk\\xe9' is not UTF-8"},
    {"TensorNameWithDelete", [](auto& f) { f.tensors[0].name = "blk\x7F"; },
     "the tensor's name 'blk\\x7f' has a control character"},
};
INSTANTIATE_TEST_SUITE_P(Strings, GgufContainerTest, ::testing::ValuesIn(kStringCases), CaseName);

const GgufCase kValueCases[] = {
    {"UnknownType",
     [](auto& f) {
       f.keys.push_back({"x", 13, Le64(0)});
     },
     "the value's type is 13, not in [0, 12]"},
    {"HugeType",
     [](auto& f) {
       f.keys.push_back({"x", 1 << 30, Le64(0)});
     },
     "the value's type is 1073741824, not in [0, 12]"},
    {"UnknownElementType", [](auto& f) { f.keys.push_back(Array(77, 0)); },
     "the elements' type is 77, not in [0, 12]"},
    {"NestedArray", [](auto& f) { f.keys.push_back(Array(kArray, 1, Le32(4) + Le64(0))); },
     "is an array of arrays, which is not read"},
    {"ArrayOf1e18Elements", [](auto& f) { f.keys.push_back(Array(4, kHuge)); },
     "the number of elements is 1000000000000000000, above the limit of 16777216"},
    {"ArrayLongerThanTheFile", [](auto& f) { f.keys.push_back(Array(4, 16777216)); },
     "16777216 elements need at least 4 bytes each"},
    {"StringsLongerThanTheFile", [](auto& f) { f.keys.push_back(Array(kString, 16777216)); },
     "16777216 elements need at least 8 bytes each"},
    {"BoolOf2",
     [](auto& f) {
       f.keys.push_back({"x", 7, "\x02"});
     },
     "a BOOL is 2, not 0 or 1"},
    {"BoolOf255InAnArray",
     [](auto& f) { f.keys.push_back(Array(7, 3, std::string("\x00\x01\xFF", 3))); },
     "a BOOL is 255, not 0 or 1"},
    {"DuplicateKey", [](auto& f) { f.AddUint32("general.name", 1); },
     "key 'general.name' stands here again, first at byte"},
    {"AlignmentOfAnotherType", [](auto& f) { f.AddString("general.alignment", "32"); },
     "key 'general.alignment' has type STRING, not UINT32"},
    {"AlignmentNoPowerOfTwo", [](auto& f) { f.AddUint32("general.alignment", 48); },
     "key 'general.alignment' is 48, not a power of two in [8, 1048576]"},
    {"AlignmentZero", [](auto& f) { f.AddUint32("general.alignment", 0); },
     "key 'general.alignment' is 0, not a power of two"},
    {"AlignmentTooSmall", [](auto& f) { f.AddUint32("general.alignment", 4); },
     "key 'general.alignment' is 4, not a power of two in [8"},
    {"AlignmentTooLarge", [](auto& f) { f.AddUint32("general.alignment", 1 << 21); },
     "key 'general.alignment' is 2097152, not"},
};
INSTANTIATE_TEST_SUITE_P(Values, GgufContainerTest, ::testing::ValuesIn(kValueCases), CaseName);

const GgufCase kTensorCases[] = {
    {"DuplicateName", [](auto& f) { f.tensors[3].name = f.tensors[1].name; },
     "tensor 3 of 15 has the name 'blk.0.attn_norm.weight' that tensor 1 has"},
    {"NoDimensions", [](auto& f) { f.tensors[0].dims = {}; }, "has 0 dimensions, not 1 to 4"},
    {"FiveDimensions",
     [](auto& f) {
       f.tensors[0].dims = {8, 16, 1, 1, 1};
     },
     "has 5 dimensions, not 1 to 4"},
    {"ZeroDimension",
     [](auto& f) {
       f.tensors[0].dims = {8, 0};
     },
     "dimension 1 is 0, not in [1, 1099511627776]"},
    {"HugeDimension",
     [](auto& f) {
       f.tensors[0].dims = {8, (uint64_t{1} << 40) + 1};
     },
     "dimension 1 is 1099511627777, not in [1, 1099511627776]"},
    {"DimensionOf1e18", [](auto& f) { f.tensors[0].dims = {kHuge}; },
     "dimension 0 is 1000000000000000000, not in"},
    {"ProductOverflows",
     [](auto& f) {
       f.tensors[0].dims = {uint64_t{1} << 40, uint64_t{1} << 40};
     },
     "shape [1099511627776, 1099511627776] has more bytes than 64 bits count"},
    {"ProductWrapsToASmallNumber",
     [](auto& f) {
       f.tensors[0].dims = {uint64_t{1} << 31, uint64_t{1} << 31, 1};
     },
     "has more bytes than 64 bits count"},
    {"RowNotWholeBlocks",
     [](auto& f) {
       f.tensors[0].type = 8;
       f.tensors[0].dims = {48, 16};
     },
     "rows of 48 elements are not whole blocks of 32 (Q8_0)"},
    {"RowNotWholeSuperblocks",
     [](auto& f) {
       f.tensors[0].type = 12;
       f.tensors[0].dims = {128, 16};
     },
     "rows of 128 elements are not whole blocks of 256 (Q4_K)"},
    {"RowNotWholeSuperblocksOfQ5K",
     [](auto& f) {
       f.tensors[0].type = 13;
       f.tensors[0].dims = {128, 16};
     },
     "rows of 128 elements are not whole blocks of 256 (Q5_K)"},
    {"RowNotWholeSuperblocksOfIQ4XS",
     [](auto& f) {
       f.tensors[0].type = 23;
       f.tensors[0].dims = {128, 16};
     },
     "rows of 128 elements are not whole blocks of 256 (IQ4_XS)"},
    {"RowNotWholeSuperblocksOfTQ2",
     [](auto& f) {
       f.tensors[0].type = 35;
       f.tensors[0].dims = {128, 16};
     },
     "rows of 128 elements are not whole blocks of 256 (TQ2_0)"},
    {"RowNotWholeBlocksOfMXFP4",
     [](auto& f) {
       f.tensors[0].type = 39;
       f.tensors[0].dims = {48, 16};
     },
     "rows of 48 elements are not whole blocks of 32 (MXFP4)"},
    {"MXFP4PastTheEnd",
     [](auto& f) {
       f.tensors[14].type = 39;
       f.tensors[14].dims = {32, 1 << 20};
     },
     "tensor 'output.weight': 17825792 bytes at data offset"},
    {"RowNotWholeBlocksOfNVFP4",
     [](auto& f) {
       f.tensors[0].type = 40;
       f.tensors[0].dims = {96, 16};
     },
     "rows of 96 elements are not whole blocks of 64 (NVFP4)"},
    {"RowNotWholeBlocksOfQ1",
     [](auto& f) {
       f.tensors[0].type = 41;
       f.tensors[0].dims = {64, 16};
     },
     "rows of 64 elements are not whole blocks of 128 (Q1_0)"},
    {"RowNotWholeSuperblocksOfIQ1M",
     [](auto& f) {
       f.tensors[0].type = 29;
       f.tensors[0].dims = {128, 16};
     },
     "rows of 128 elements are not whole blocks of 256 (IQ1_M)"},
    {"IQ3PastTheEnd",
     [](auto& f) {
       f.tensors[14].type = 21;
       f.tensors[14].dims = {256, 1 << 20};
     },
     "tensor 'output.weight': 115343360 bytes at data offset"},
    {"KnownTypeNotSupported", [](auto& f) { f.tensors[0].type = 15; },
     "type Q8_K is not supported; quantize the model to one of F32, F16, BF16, Q8_0, Q4_0, Q4_K, "
     "Q6_K, Q5_K, IQ4_XS, MXFP4, TQ2_0, Q4_1, Q5_0,"},
    {"IntermediateType", [](auto& f) { f.tensors[0].type = 9; }, "type Q8_1 is not supported"},
    {"TypeAfterTheLast", [](auto& f) { f.tensors[0].type = 43; }, "type 43 is unknown"},
    {"WithdrawnType", [](auto& f) { f.tensors[0].type = 4; }, "type 4 is unknown"},
    {"UnknownType", [](auto& f) { f.tensors[0].type = 1000; }, "type 1000 is unknown; quantize"},
};
INSTANTIATE_TEST_SUITE_P(Tensors, GgufContainerTest, ::testing::ValuesIn(kTensorCases), CaseName);

const GgufCase kPlaceCases[] = {
    {"OffsetNotAligned", [](auto& f) { f.tensors[1].offset = 520; },
     "tensor 'blk.0.attn_norm.weight': offset 520 is not a multiple of the alignment 32"},
    {"PastTheEnd", [](auto& f) { f.tensors[14].offset = 1 << 20; },
     "tensor 'output.weight': 512 bytes at data offset 1048576"},
    {"OffsetOverflows", [](auto& f) { f.tensors[14].offset = ~uint64_t{31}; },
     "tensor 'output.weight': 512 bytes at data offset 18446744073709551584"},
    {"LargerThanTheFile",
     [](auto& f) {
       f.tensors[0].dims = {8, uint64_t{1} << 30};
     },
     "tensor 'token_embd.weight': 34359738368 bytes at data offset 0"},
    {"Overlapping", [](auto& f) { f.tensors[1].offset = 480; },
     "but 'token_embd.weight' and its padding end at byte"},
    {"SamePlaceTwice", [](auto& f) { f.tensors[2].offset = 0; }, "the two overlap"},
    {"Hole",
     [](auto& f) {
       f.tensors[14].offset = 5000 / 32 * 32 + 64;
       f.tail = std::string(8192, '\0');
     },
     "nothing accounts for the"},
    {"HoleAtTheStart",
     [](auto& f) {
       f.tensors = {f.tensors[0]};
       f.tensors[0].offset = 32;
       f.tail = std::string(32, '\0');
     },
     "but the data begin at byte"},
    {"BytesAfterTheEnd", [](auto& f) { f.tail = "x"; },
     "nothing accounts for the rest: fetch the file again"},
};
INSTANTIATE_TEST_SUITE_P(Place, GgufContainerTest, ::testing::ValuesIn(kPlaceCases), CaseName);

TEST(GgufTruncatedTest, AnEmptyFileSaysSo) {
  EXPECT_EQ(ParseText("").status().message(), "bad.gguf: the file is empty; fetch it again");
}

// Goal: wherever a download stopped, the file is refused and the message says that it is short.
TEST(GgufTruncatedTest, I11_EveryPrefixIsRefusedAsCutShort) {
  const std::string bytes = TinyQwen3Moe().Build();
  for (size_t n = 1; n < bytes.size(); ++n) {
    const auto reader = ParseText(bytes.substr(0, n));
    // The last tensor ends on a multiple of the alignment: no prefix is whole.
    ASSERT_FALSE(reader.ok()) << n;
    EXPECT_THAT(Message(reader.status()), HasSubstr("the file is cut short")) << n;
  }
}

TEST(GgufTruncatedTest, NamesTheFieldAndTheByte) {
  const std::string bytes = TinyQwen3Moe().Build();
  const auto says = [&bytes](size_t n) {
    return std::string(ParseText(bytes.substr(0, n)).status().message());
  };
  EXPECT_THAT(says(2), HasSubstr("at byte 0: the magic needs 4 bytes, 2 are left"));
  EXPECT_THAT(says(6), HasSubstr("at byte 4: the version needs 4 bytes, 2 are left"));
  EXPECT_THAT(says(12), HasSubstr("at byte 8: the tensor count needs 8 bytes, 4 are left"));
  EXPECT_THAT(says(bytes.size() - 1),
              HasSubstr("tensor 'output.weight': 512 bytes at data offset"));
}

TEST(GgufPaddingTest, BytesBeforeTheDataMustBeZero) {
  GgufBuilder file = TinyQwen3Moe();
  file.AddBool("x", true);
  std::string bytes = file.Build();
  const size_t header = file.BuildHeader().size();
  ASSERT_NE(header % 32, 0U);
  ASSERT_TRUE(ParseText(bytes).ok());
  bytes[header] = 'x';
  EXPECT_THAT(
      Message(ParseText(bytes).status()),
      HasSubstr(absl::StrCat("at byte ", header, ": the padding before the data is not zero")));
}

TEST(GgufTextTest, TextFromTheFileIsEscapedAndCut) {
  GgufBuilder file = TinyQwen3Moe();
  file.tensors[0].name = std::string(20, '\x1B') + std::string(40, 'A');
  const std::string message(ParseText(file.Build()).status().message());
  EXPECT_EQ(message.find('\x1B'), std::string::npos);
  file = TinyQwen3Moe();
  file.keys[0].name = std::string(65535, 'A');
  file.keys[0].type = 13;
  EXPECT_LT(ParseText(file.Build()).status().message().size(), 250U);
}

}  // namespace
}  // namespace shoal
