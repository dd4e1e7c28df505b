// An import on a disk that fails, fills up or loses its power: what was there before stays whole,
// what is new is there whole or not at all, and the next try succeeds (F12).
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/importer.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kData[] = "/data";

class ImportFaultsTest : public testing::Test {
 protected:
  ImportFaultsTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    old_path_ = Write("old", 0);
    new_path_ = Write("new", 1);
    TinyCheckpoint().Write(folder_ + "/checkpoint");
  }
  ~ImportFaultsTest() override { std::filesystem::remove_all(folder_); }

  // Models that share the tokenizer and all experts but one.
  std::string Write(const std::string& name, char value) const {
    GgufBuilder builder = TinyQwen3Moe();
    builder.Tensor("blk.0.ffn_down_exps.weight").data[0] = value;
    builder.Tensor("token_embd.weight").data[0] = value;
    std::string path = folder_ + "/" + name + ".gguf";
    std::ofstream(path, std::ios::binary) << builder.Build();
    return path;
  }

  static std::unique_ptr<DataDirectory> Open(FileSystem* disk) {
    auto data = DataDirectory::Open(disk, kData, DataDirectory::Access::kShared);
    EXPECT_TRUE(data.ok()) << data.status();
    return *std::move(data);
  }
  static absl::StatusOr<ImportResult> Import(DataDirectory* data, const std::string& path) {
    return ImportModel(data, {.path = path, .random = SystemRandom()});
  }

  // Every model that is visible is whole. Their ids.
  static std::vector<Sha256Digest> CheckModels(DataDirectory* data) {
    std::vector<Sha256Digest> ids;
    const auto entries = data->ListModels();
    EXPECT_TRUE(entries.ok()) << entries.status();
    for (const DataDirectory::Entry& entry : *entries) {
      ids.push_back(entry.id);
      const auto model = data->ReadModel(entry.id);
      EXPECT_TRUE(model.ok()) << model.status();
      for (const ShardInfo& shard : model->manifest.shards) {
        const absl::Status status = data->shards().Verify(shard);
        EXPECT_TRUE(status.ok()) << status;
      }
    }
    return ids;
  }

  // One import of the new model beside the old one, whose n-th disk operation fails. False when it
  // has no n-th operation.
  bool FailNth(int64_t n, bool power_cut) {
    SCOPED_TRACE(testing::Message() << "operation " << n);
    MemoryFileSystem disk(static_cast<uint64_t>(n) + 1);
    const auto old_model = Import(Open(&disk).get(), old_path_);
    EXPECT_TRUE(old_model.ok()) << old_model.status();
    disk.FailOperation(n);
    absl::StatusOr<ImportResult> result = absl::InternalError("not run");
    if (auto data = DataDirectory::Open(&disk, kData, DataDirectory::Access::kShared); data.ok()) {
      result = Import(data->get(), new_path_);
    }
    const bool failed = disk.failed();
    if (!failed) {
      disk.FailOperation(-1);  // It has had fewer operations.
      EXPECT_TRUE(result.ok()) << result.status();
    }
    if (power_cut) disk.PowerCut();
    const auto data = Open(&disk);
    const std::vector<Sha256Digest> ids = CheckModels(data.get());
    EXPECT_THAT(ids, testing::Contains(old_model->model_id));
    EXPECT_LE(ids.size(), 2U);
    if (result.ok()) {
      EXPECT_THAT(ids, testing::Contains(result->model_id));
    }
    const auto retried = Import(data.get(), new_path_);
    EXPECT_TRUE(retried.ok()) << retried.status();
    EXPECT_EQ(CheckModels(data.get()).size(), 2U);
    return failed;
  }

  std::string folder_ = testing::TempDir() + "/import_faults_XXXXXX";
  std::string old_path_;
  std::string new_path_;
};

TEST_F(ImportFaultsTest, F12_EveryDiskOperationMayFail) {
  int64_t n = 0;
  while (FailNth(n, /*power_cut=*/false)) ++n;
  EXPECT_GT(n, 30);
}

TEST_F(ImportFaultsTest, F12_EveryDiskOperationOfAFoldersImportMayFail) {
  new_path_ = folder_ + "/checkpoint";
  int64_t n = 0;
  while (FailNth(n, /*power_cut=*/false)) ++n;
  EXPECT_GT(n, 30);
}

TEST_F(ImportFaultsTest, F13_ThePowerMayGoAtEveryDiskOperation) {
  int64_t n = 0;
  while (FailNth(n, /*power_cut=*/true)) ++n;
  EXPECT_GT(n, 30);
}

// A disk with little room left; the rest of it is the memory's.
class FullDisk final : public FileSystem {
 public:
  using Path = const std::string&;
  uint64_t free_bytes = 0;

  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(Path p) override { return disk_.Open(p); }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(Path p) override { return disk_.Create(p); }
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(Path p) override {
    return disk_.OpenToAppend(p);
  }
  absl::Status Rename(Path from, Path to) override { return disk_.Rename(from, to); }
  absl::Status Link(Path from, Path to) override { return disk_.Link(from, to); }
  absl::Status Remove(Path p) override { return disk_.Remove(p); }
  absl::Status CreateDirectories(Path p) override { return disk_.CreateDirectories(p); }
  absl::StatusOr<std::vector<std::string>> List(Path p) override { return disk_.List(p); }
  absl::Status SyncDirectory(Path p) override { return disk_.SyncDirectory(p); }
  absl::Status SyncAll(Path p) override { return disk_.SyncAll(p); }
  bool Exists(Path p) override { return disk_.Exists(p); }
  absl::StatusOr<uint64_t> FreeBytes(Path) override { return free_bytes; }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(Path p) override { return disk_.Lock(p); }

 private:
  MemoryFileSystem disk_;
};

TEST_F(ImportFaultsTest, TooLittleRoomIsFoundBeforeAnythingIsWritten) {
  FullDisk disk;
  disk.free_bytes = uint64_t{50} << 20;
  const auto data = Open(&disk);
  const absl::Status status = Import(data.get(), new_path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("64 MiB"), HasSubstr("50 MiB free"), HasSubstr(kData)));
  EXPECT_TRUE(data->shards().List()->empty());
  disk.free_bytes = uint64_t{80} << 20;
  EXPECT_TRUE(Import(data.get(), new_path_).ok());
}

}  // namespace
}  // namespace shoal
