#include "model/data_directory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard.h"
#include "model/shard_testing.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

class DataDirectoryTest : public testing::Test {
 protected:
  DataDirectoryTest() {
    std::string path = testing::TempDir() + "/data_directory_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  ~DataDirectoryTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::unique_ptr<DataDirectory>> TryOpen(DataDirectory::Access access) {
    return DataDirectory::Open(MachineFileSystem(), JoinPath(folder_, "data"), access);
  }
  std::unique_ptr<DataDirectory> Open(
      DataDirectory::Access access = DataDirectory::Access::kExclusive) {
    auto directory = TryOpen(access);
    EXPECT_TRUE(directory.ok()) << directory.status();
    return *std::move(directory);
  }
  std::string Path(std::string_view name) const { return JoinPath(folder_ + "/data", name); }
  void Write(std::string_view name, std::string_view bytes) {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }
  std::string Signed(const TestModel& model) {
    return SignManifest(EncodeManifest(model.manifest), key_);
  }

  const Ed25519Key key_ = Ed25519Key::Generate(SystemRandom());
  std::string folder_;
};

TEST_F(DataDirectoryTest, IsMadeWithItsVersionAndLock) {
  const auto directory = Open();
  EXPECT_EQ(*ReadFile(directory->files(), Path("VERSION"), 10), "1\n");
  for (const char* name : {"lock", "shards", "models", "node", "coordinator"}) {
    EXPECT_TRUE(std::filesystem::exists(Path(name))) << name;
  }
  EXPECT_EQ(directory->NodePath("port"), Path("node/port"));
  EXPECT_EQ(directory->CoordinatorPath("log"), Path("coordinator/log"));
}

TEST_F(DataDirectoryTest, IsExclusiveUnlessShared) {
  auto first = Open();
  const auto second = TryOpen(DataDirectory::Access::kExclusive);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("is in use by another process"));
  EXPECT_TRUE(TryOpen(DataDirectory::Access::kShared).ok());
  first.reset();
  EXPECT_TRUE(TryOpen(DataDirectory::Access::kExclusive).ok());
}

TEST_F(DataDirectoryTest, AnotherFormatIsRefusedByName) {
  for (const std::string_view version : {"2\n", "0\n", "1", "", "hello\n"}) {
    Write("VERSION", version);
    const auto refused = TryOpen(DataDirectory::Access::kExclusive);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << version;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("this release reads format 1"));
  }
}

TEST_F(DataDirectoryTest, LeftoversAreSweptUnderTheLockOnly) {
  Open().reset();
  const std::string shard = "shards/" + ShardPath(Sha256({}));
  for (const std::string& name :
       {std::string("VERSION.tmp"), std::string("node/a.tmp"),
        "models/" + ToHex(Sha256({})) + "/manifest.tmp", shard + ".tmp", shard + ".part"}) {
    Write(name, "half");
  }
  Open(DataDirectory::Access::kShared).reset();
  EXPECT_TRUE(std::filesystem::exists(Path("VERSION.tmp")));
  Open().reset();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(""))) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
  EXPECT_TRUE(std::filesystem::exists(Path(shard + ".part")));  // A fetch goes on with it.
}

TEST_F(DataDirectoryTest, ModelsComeBackAndAreFound) {
  const auto directory = Open();
  EXPECT_THAT(std::string(directory->FindModel("x").status().message()),
              HasSubstr("there is no model here"));
  const TestModel one = MakeTestModel(1, 1, 1);
  const TestModel two = MakeTestModel(1, 1, 2);
  for (const TestModel* model : {&one, &two}) {
    ASSERT_TRUE(directory->WriteModel(Signed(*model)).ok());
  }
  const Sha256Digest id = ModelId(EncodeManifest(one.manifest));
  EXPECT_EQ(directory->ListModels()->size(), 2U);
  EXPECT_EQ(directory->ReadModel(id)->manifest.name, "tiny-1");
  EXPECT_EQ(*directory->ReadModelFile(id), Signed(one));
  EXPECT_EQ(*directory->FindModel("tiny-1"), id);
  EXPECT_EQ(*directory->FindModel(ToHex(id)), id);
  EXPECT_EQ(*directory->FindModel(ToHex(id).substr(0, 8)), id);
  EXPECT_EQ(directory->FindModel(ToHex(id).substr(0, 7)).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(directory->FindModel("../x").status().message()), HasSubstr("tiny-2 ("));
  ASSERT_TRUE(directory->RemoveModel(id).ok());
  EXPECT_EQ(directory->ReadModel(id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(directory->ListModels()->size(), 1U);
}

TEST_F(DataDirectoryTest, SeveralModelsOfOneNameNeedAnId) {
  const auto directory = Open();
  TestModel two = MakeTestModel(1, 1, 2);
  two.manifest.name = "tiny-1";
  ASSERT_TRUE(directory->WriteModel(Signed(MakeTestModel(1, 1, 1))).ok());
  ASSERT_TRUE(directory->WriteModel(Signed(two)).ok());
  const auto refused = directory->FindModel("tiny-1");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("several models fit"));
}

TEST_F(DataDirectoryTest, S20_ADamagedOrMisplacedManifestIsNeverReturned) {
  const auto directory = Open();
  std::string file = Signed(MakeTestModel(1, 1, 1));
  const Sha256Digest id = ReadSignedManifest(file)->id;
  const std::string path = "models/" + ToHex(id) + "/manifest";
  file[100] ^= 1;
  EXPECT_EQ(directory->WriteModel(file).code(), absl::StatusCode::kInvalidArgument);
  Write(path, file);
  EXPECT_EQ(directory->ReadModel(id).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(directory->ReadModelFile(id).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(directory->ListModels()->empty());
  EXPECT_FALSE(directory->SweepShards().ok());
  Write(path, Signed(MakeTestModel(1, 1, 2)));
  EXPECT_THAT(std::string(directory->ReadModel(id).status().message()),
              HasSubstr("is the manifest of another model"));
}

TEST_F(DataDirectoryTest, SweepsShardsThatNoModelNames) {
  const auto directory = Open();
  const TestModel model = MakeTestModel(1, 1, 1);
  for (size_t i = 0; i < model.files.size(); ++i) {
    const ShardInfo& info = model.manifest.shards[i];
    ASSERT_TRUE(PutShard(&directory->shards(), info, model.files[i]).ok());
  }
  const TestShard stray = MakeTestShard(50, 77);
  ASSERT_TRUE(PutShard(&directory->shards(), stray.info, stray.file).ok());
  ASSERT_TRUE(directory->WriteModel(Signed(model)).ok());
  EXPECT_EQ(*directory->SweepShards(), stray.file.size());
  EXPECT_EQ(directory->shards().List()->size(), model.files.size());
  ASSERT_TRUE(directory->RemoveModel(ModelId(EncodeManifest(model.manifest))).ok());
  EXPECT_EQ(*directory->SweepShards(), model.manifest.n_bytes());
}

TEST_F(DataDirectoryTest, TheImportKeyIsMadeOnce) {
  const auto directory = Open();
  const auto first = directory->ImportKey(SystemRandom());
  const auto second = directory->ImportKey(SystemRandom());
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->public_key(), second->public_key());
  Write("coordinator/import.key", "garbage");
  EXPECT_EQ(directory->ImportKey(SystemRandom()).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace shoal
