#include "model/import/gguf_split.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/importer.h"
#include "model/import/open_model.h"
#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GgufPartsTest, OnlyTheWholePatternStandsForSeveral) {
  EXPECT_THAT(
      GgufParts("d/m-00002-of-00003.gguf"),
      ElementsAre("d/m-00001-of-00003.gguf", "d/m-00002-of-00003.gguf", "d/m-00003-of-00003.gguf"));
  for (const char* path :
       {"m.gguf", "-00001-of-00002.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf",
        "m-00001-of-01025.gguf", "m-0001a-of-00002.gguf", "m-+0001-of-00002.gguf",
        "m-00001-of-00002.bin"}) {
    EXPECT_THAT(GgufParts(path), ElementsAre(path));
  }
}

// A model in three parts, the first without tensors, as splitting programs may write it.
class GgufSplitTest : public testing::Test {
 protected:
  GgufSplitTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    parts_[0] = TinyQwen3Moe();
    const size_t half = parts_[0].tensors.size() / 2;
    for (size_t i = 0; i < parts_[0].tensors.size(); ++i) {
      parts_[i < half ? 1 : 2].tensors.push_back(parts_[0].tensors[i]);
    }
    for (int i = 0; i < 3; ++i) {
      parts_[i].AddUint32("split.no", i);
      parts_[i].AddUint32("split.count", 3);
      parts_[i].AddUint32("split.tensors.count", parts_[0].tensors.size());
    }
    parts_[0].tensors.clear();
  }
  ~GgufSplitTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(int i) const {
    return absl::StrCat(folder_, absl::StrFormat("/m-%05d-of-00003.gguf", i + 1));
  }
  void Write() const {
    for (int i = 0; i < 3; ++i) std::ofstream(Path(i), std::ios::binary) << parts_[i].Build();
  }
  std::string Refusal() const {
    const auto model = OpenModel(Path(0));
    return model.ok() ? "opened" : std::string(model.status().message());
  }

  std::string folder_ = testing::TempDir() + "/split_XXXXXX";
  GgufBuilder parts_[3];
};

TEST_F(GgufSplitTest, AnyPartOpensTheWhole) {
  Write();
  const std::string whole_path = folder_ + "/whole.gguf";
  std::ofstream(whole_path, std::ios::binary) << TinyQwen3Moe().Build();
  const auto whole = OpenModel(whole_path);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto read = [](const ModelFile& file, const TensorInfo& tensor) {
    std::vector<std::byte> bytes(tensor.n_bytes);
    EXPECT_TRUE(file.Read(tensor, 0, bytes).ok());
    return bytes;
  };
  for (int i = 0; i < 3; ++i) {
    const auto split = OpenModel(Path(i));
    ASSERT_TRUE(split.ok()) << split.status();
    EXPECT_TRUE(split->tokenizer.ok());
    for (const TensorInfo& tensor : whole->file->tensors()) {
      const TensorInfo* same = split->file->Find(tensor.name);
      ASSERT_NE(same, nullptr) << tensor.name;
      EXPECT_EQ(read(*split->file, *same), read(*whole->file, tensor)) << tensor.name;
    }
  }
}

TEST_F(GgufSplitTest, AnImportIsTheWholeFilesAndNoticesAnyPart) {
  Write();
  const std::string whole = folder_ + "/whole.gguf";
  std::ofstream(whole, std::ios::binary) << TinyQwen3Moe().Build();
  auto data =
      DataDirectory::Open(MachineFileSystem(), folder_ + "/data", DataDirectory::Access::kShared);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto import = [&](const std::string& path) {
    const auto result = ImportModel(data->get(), {.path = path, .random = SystemRandom()});
    EXPECT_TRUE(result.ok()) << result.status();
    return *result;
  };
  const Sha256Digest id = import(whole).model_id;
  EXPECT_EQ(import(Path(0)).model_id, id);
  EXPECT_TRUE(import(Path(1)).already_there);
  parts_[2].tensors.back().data[0] ^= 1;
  Write();
  EXPECT_NE(import(Path(0)).model_id, id);
}

TEST_F(GgufSplitTest, I11_PartsThatDisagreeAreRefused) {
  Write();
  ASSERT_EQ(Refusal(), "opened");
  std::filesystem::rename(Path(2), folder_ + "/m.gguf");
  EXPECT_THAT(Refusal(), HasSubstr("m-00003-of-00003.gguf: cannot be opened"));
  EXPECT_THAT(std::string(OpenModel(folder_ + "/m.gguf").status().message()),
              HasSubstr("is one part of 3, but its name is not NAME-00001-of-00003.gguf"));
  std::filesystem::copy(Path(1), Path(2));
  EXPECT_THAT(Refusal(), HasSubstr("key 'split.no' is 1, but the file's name says 2"));
  Write();
  parts_[2].Key("split.count").value = Le32(4);
  Write();
  EXPECT_THAT(Refusal(), HasSubstr("key 'split.count' is 4, but the file's name says 3"));
  parts_[2].Key("split.count").value = Le32(3);
  parts_[0].Key("split.tensors.count").value = Le32(14);
  Write();
  EXPECT_THAT(Refusal(), HasSubstr("key 'split.tensors.count' is 14, but the 3 parts have 15"));
  parts_[2].tensors[0] = parts_[1].tensors[0];
  Write();
  EXPECT_THAT(Refusal(), HasSubstr("that tensor 0 has"));
}

}  // namespace
}  // namespace shoal
