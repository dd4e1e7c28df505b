#include "model/import/gguf_reader.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::unique_ptr<GgufReader> MustParse(const GgufBuilder& builder) {
  const std::string bytes = builder.Build();
  auto reader = GgufReader::Parse("tiny.gguf", std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return reader.ok() ? *std::move(reader) : nullptr;
}

// A file that is removed when the test ends.
class TempFile {
 public:
  explicit TempFile(const std::string& bytes)
      : path_(std::filesystem::temp_directory_path() /
              absl::StrCat("shoal_gguf_", getpid(), "_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(GgufReaderTest, ReadsValuesOfEveryType) {
  GgufBuilder file;
  file.keys.push_back({"u8", 0, "\xFF"});
  file.keys.push_back({"i8", 1, "\xFF"});
  file.keys.push_back({"u16", 2, "\x01\x02"});
  file.keys.push_back({"i64", 11, Le64(7)});
  file.keys.push_back({"u64", 10, Le64(~uint64_t{0})});
  file.AddFloat32("f32", 0.5F);
  file.AddBool("yes", true);
  file.AddString("text", "h\xC3\xA9");
  file.AddStrings("texts", {"", "x y"});
  file.AddInt32s("ints", {-1, 2});
  const auto reader = MustParse(file);
  EXPECT_EQ(*reader->GetUint("u8"), 255U);
  EXPECT_EQ(*reader->GetUint("u16"), 513U);
  EXPECT_EQ(*reader->GetUint("i64"), 7U);
  EXPECT_EQ(*reader->GetUint("u64"), ~uint64_t{0});
  EXPECT_EQ(*reader->GetFloat("f32"), 0.5);
  EXPECT_TRUE(*reader->GetBool("yes"));
  EXPECT_EQ(*reader->GetString("text"), "h\xC3\xA9");
  EXPECT_THAT(*reader->GetStrings("texts"), ElementsAre("", "x y"));
  EXPECT_THAT(*reader->GetInts("ints"), ElementsAre(-1, 2));
  EXPECT_EQ(*reader->ArrayLength("texts"), 2U);
  EXPECT_TRUE(reader->Has("u8"));
  EXPECT_FALSE(reader->Has("u9"));
  EXPECT_THAT(reader->GetUint("i8").status().message(), HasSubstr("key 'i8' is -1, below 0"));
}

TEST(GgufReaderTest, SaysWhatIsMissingOrOfAnotherType) {
  GgufBuilder file;
  file.AddUint32("n", 1);
  file.AddFloat32("nan", NAN);
  file.AddInt32s("ints", {1});
  const auto reader = MustParse(file);
  EXPECT_EQ(reader->GetUint("m").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(reader->GetUint("m").status().message(), HasSubstr("tiny.gguf: key 'm' is missing"));
  EXPECT_EQ(reader->GetString("n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(reader->GetString("n").status().message(), HasSubstr("has type UINT32, not STRING"));
  EXPECT_THAT(reader->GetStrings("ints").status().message(),
              HasSubstr("has type ARRAY of INT32, not ARRAY of STRING"));
  EXPECT_THAT(reader->GetFloat("nan").status().message(), HasSubstr("not a finite number"));
}

TEST(GgufReaderTest, TensorsHaveTheirShapeOutermostFirstAndTheirBytes) {
  const GgufBuilder file = TinyQwen3Moe();
  const auto reader = MustParse(file);
  const TensorInfo* tensor = reader->Find("blk.0.attn_k.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(4, 8));
  EXPECT_EQ(tensor->dtype, DType::kF32);
  EXPECT_EQ(tensor->n_bytes, 128U);
  std::string bytes(100, '\0');
  ASSERT_TRUE(reader->Read(*tensor, 20, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, file.tensors[3].data.substr(20, 100));
  EXPECT_FALSE(reader->Read(*tensor, 29, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_FALSE(reader->Read(*tensor, ~uint64_t{0}, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(reader->Find("blk.0.attn_k"), nullptr);
}

TEST(GgufReaderTest, ReadsVersion2AndOtherAlignments) {
  GgufBuilder file = TinyQwen3Moe();
  file.version = 2;
  file.alignment = 256;
  file.AddUint32("general.alignment", 256);
  const auto reader = MustParse(file);
  for (const TensorInfo& tensor : reader->tensors()) EXPECT_EQ(tensor.file_offset % 256, 0U);
  EXPECT_TRUE(ReadModelConfig(*reader).ok());
}

TEST(GgufReaderTest, AFileWithoutTensorsMayEndWithOrWithoutPadding) {
  GgufBuilder file;
  file.AddString("tokenizer.ggml.model", "gpt2");
  ASSERT_NE(MustParse(file), nullptr);
  file.tail = std::string((32 - file.Build().size() % 32) % 32, '\0');
  ASSERT_NE(MustParse(file), nullptr);
  file.tail += '\0';
  const std::string bytes = file.Build();
  EXPECT_THAT(GgufReader::Parse("x", std::as_bytes(std::span(bytes))).status().message(),
              HasSubstr("nothing accounts for the rest"));
}

TEST(GgufReaderTest, HeaderHashNamesTheHeaderAndNotTheWeights) {
  GgufBuilder file = TinyQwen3Moe();
  const std::string hash = MustParse(file)->HeaderHash();
  EXPECT_THAT(hash, MatchesRegex("[0-9a-f]{64}"));
  file.tensors[0].data[0] ^= 1;
  EXPECT_EQ(MustParse(file)->HeaderHash(), hash);
  file.keys[1].value.back() ^= 1;
  EXPECT_NE(MustParse(file)->HeaderHash(), hash);
}

TEST(GgufReaderTest, OpensAFileAndNoticesThatItShrank) {
  const std::string bytes = TinyQwen3Moe().Build();
  const TempFile file(bytes);
  const auto reader = GgufReader::Open(file.path());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ((*reader)->file_bytes(), bytes.size());
  EXPECT_EQ((*reader)->path(), file.path());
  const TensorInfo* last = (*reader)->Find("output.weight");
  std::string out(last->n_bytes, '\0');
  ASSERT_TRUE((*reader)->Read(*last, 0, std::as_writable_bytes(std::span(out))).ok());
  std::filesystem::resize_file(file.path(), bytes.size() - 40);
  const absl::Status status = (*reader)->Read(*last, 0, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("has shrunk since it was opened"));
}

TEST(GgufReaderTest, SaysWhyAPathCannotBeOpened) {
  EXPECT_EQ(GgufReader::Open("/nonexistent/m.gguf").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(GgufReader::Open("/nonexistent/m.gguf").status().message(),
              HasSubstr("/nonexistent/m.gguf: cannot be opened (No such file"));
  EXPECT_THAT(GgufReader::Open("/").status().message(), HasSubstr("/: is not a regular file"));
}

}  // namespace
}  // namespace shoal
