// One arithmetic, whoever computes it: chunks, batches, threads and instruction sets change no bit.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/parity/family_models.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

std::vector<int32_t> Prompt(int n, int vocab_size) {
  std::vector<int32_t> ids(n);
  for (int i = 0; i < n; ++i) ids[i] = (i * 37 + 11) % vocab_size;
  return ids;
}

// Positions differ where a bit does; compares bits, so that NaN or -0 cannot hide.
int FirstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) return static_cast<int>(i);
  }
  return -1;
}

class SameBitsTest : public testing::TestWithParam<std::string> {};

TEST_P(SameBitsTest, I1_ChunksBatchesThreadsAndInstructionSets) {
  LocalModel truth(GetParam(), {.kernels = AvailableKernels().front(), .n_threads = 1});
  const std::vector<int32_t> ids = Prompt(75, truth.config().vocab_size);  // Crosses a key tile.
  const std::vector<float> expected = truth.Logits(ids, /*chunk=*/512);
  for (const KernelTable* kernels : AvailableKernels()) {
    for (const int n_threads : {1, 2}) {
      LocalModel model(GetParam(), {.kernels = kernels, .n_threads = n_threads});
      for (const int chunk : {1, 7, 512}) {
        for (const int n_others : {0, 7}) {
          const int rows = std::min(chunk, 512 / (n_others + 1));
          EXPECT_EQ(FirstDifference(model.Logits(ids, rows, n_others), expected), -1)
              << IsaName(kernels->isa) << ", " << n_threads << " threads, chunk " << rows << ", "
              << n_others << " other sequences";
        }
      }
    }
  }
}

TEST_P(SameBitsTest, WithACacheOfBlocksToo) {
  LocalModel truth(
      GetParam(),
      {.kernels = AvailableKernels().front(), .n_threads = 1, .kv_type = KvType::kQ8_0});
  const std::vector<int32_t> ids = Prompt(75, truth.config().vocab_size);
  const std::vector<float> expected = truth.Logits(ids, /*chunk=*/512);
  for (const KernelTable* kernels : AvailableKernels()) {
    LocalModel model(GetParam(), {.kernels = kernels, .kv_type = KvType::kQ8_0});
    EXPECT_EQ(FirstDifference(model.Logits(ids, 7), expected), -1) << IsaName(kernels->isa);
  }
}

TEST_P(SameBitsTest, ShardsServeTheSameBitsAsTheFile) {
  std::string folder = testing::TempDir() + "/same_bits_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto data =
      DataDirectory::Open(MachineFileSystem(), folder, DataDirectory::Access::kShared);
  ASSERT_TRUE(data.ok()) << data.status();
  LocalModel from_file(GetParam(), {});
  LocalModel from_shards(GetParam(), {.data = data->get()});
  const std::vector<int32_t> ids = Prompt(75, from_file.config().vocab_size);
  EXPECT_EQ(FirstDifference(from_shards.Logits(ids, 512), from_file.Logits(ids, 512)), -1);
  std::filesystem::remove_all(folder);
}

// Goal: keys and values of latent attention in one matrix, as older files have them, are those of
// two, from the file and from shards.
TEST(SameBitsTest, KeysAndValuesInOneMatrixAreThoseOfTwo) {
  const std::string folder = "tests/data/models/deepseek_v2/";
  LocalModel two(folder + "model.gguf", {});
  const std::vector<int32_t> ids = Prompt(75, two.config().vocab_size);
  const std::vector<float> expected = two.Logits(ids, 512);
  LocalModel one(folder + "model-kv_b.gguf", {});
  EXPECT_EQ(FirstDifference(one.Logits(ids, 512), expected), -1);
  std::string data_folder = testing::TempDir() + "/one_matrix_XXXXXX";
  ASSERT_NE(mkdtemp(data_folder.data()), nullptr);
  const auto data =
      DataDirectory::Open(MachineFileSystem(), data_folder, DataDirectory::Access::kShared);
  ASSERT_TRUE(data.ok()) << data.status();
  LocalModel from_shards(folder + "model-kv_b.gguf", {.data = data->get()});
  EXPECT_EQ(FirstDifference(from_shards.Logits(ids, 7), expected), -1);
  std::filesystem::remove_all(data_folder);
}

std::vector<std::string> FamilyFiles() {
  std::vector<std::string> files;
  for (const char* name : kFamilyModels) {
    files.push_back(absl::StrCat("tests/data/models/", name, "/model.gguf"));
  }
  return files;
}

INSTANTIATE_TEST_SUITE_P(Families, SameBitsTest, testing::ValuesIn(FamilyFiles()));

INSTANTIATE_TEST_SUITE_P(
    Files, SameBitsTest,
    testing::Values("tests/data/quants/model-Q8_0.gguf", "tests/data/quants/model-Q4_0.gguf",
                    "tests/data/quants/model-Q4_K_M.gguf", "tests/data/quants/model-IQ4_XS.gguf",
                    "tests/data/quants/model-TQ2_0.gguf", "models/tales-moe-11m-q8_0.gguf"),
    [](const auto& info) {
      std::string name = info.param;
      name = name.substr(name.rfind('/') + 1);
      for (char& c : name) {
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      }
      return std::to_string(info.index) + "_" + name;
    });

}  // namespace
}  // namespace shoal
