#include "coordinator/backup.h"

#include <memory>
#include <span>
#include <string>

#include "base/byte_codec.h"
#include "base/clock_testing.h"
#include "base/file_system_testing.h"
#include "base/sha256.h"
#include "coordinator/cluster_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

class BackupTest : public ::testing::Test {
 protected:
  static std::unique_ptr<DataDirectory> OpenData(FileSystem* disk) {
    auto data = DataDirectory::Open(disk, kTestDirectory, DataDirectory::Access::kShared);
    EXPECT_TRUE(data.ok()) << data.status();
    return *std::move(data);
  }
  std::unique_ptr<TestCoordinator> StartOn(FileSystem* disk) {
    auto coordinator = TestCoordinator::Start(disk, &clock_);
    EXPECT_TRUE(coordinator.ok()) << coordinator.status();
    return *std::move(coordinator);
  }
  std::string Backup() {
    const auto backup = MakeBackup(*OpenData(&disk_));
    EXPECT_TRUE(backup.ok()) << backup.status();
    return *backup;
  }
  // Why that backup is refused; and nothing may have been written then.
  absl::Status Refusal(const std::string& backup) {
    MemoryFileSystem other(7);
    const auto data = OpenData(&other);
    const absl::Status status = RestoreBackup(backup, data.get());
    EXPECT_FALSE(other.Exists(data->CoordinatorPath("ca.key")));
    return status;
  }

  ManualClock clock_;
  MemoryFileSystem disk_;
};

// Goal: a coordinator whose disk is gone comes back as the same one, with an epoch that nodes
// follow whatever they have seen since the backup.
TEST_F(BackupTest, TheRestoredOneIsTheSameClusterAndAheadOfIt) {
  std::string cluster_id;
  std::string backup;
  Caller worker;
  uint64_t epoch = 0;
  {
    const auto coordinator = StartOn(&disk_);
    worker = coordinator->JoinNew(wire::ROLE_WORKER);
    backup = Backup();  // While it runs.
    for (int i = 0; i < 5; ++i) coordinator->JoinNew(wire::ROLE_WORKER);
    cluster_id = coordinator->cluster().authority().cluster_id();
    epoch = coordinator->cluster().state().epoch();
  }
  MemoryFileSystem fresh(2);
  ASSERT_TRUE(RestoreBackup(backup, OpenData(&fresh).get()).ok());
  const auto restored = StartOn(&fresh);
  EXPECT_EQ(restored->cluster().authority().cluster_id(), cluster_id);
  EXPECT_NE(restored->cluster().state().FindNode(worker.identity.node_id), nullptr);
  EXPECT_GT(restored->cluster().state().epoch(), epoch);
}

TEST_F(BackupTest, RefusesWhatIsNoBackupAndADirectoryInUse) {
  StartOn(&disk_);
  const std::string backup = Backup();
  EXPECT_EQ(Refusal("").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Refusal("PK").message()), HasSubstr("SHOALBAK"));
  EXPECT_EQ(Refusal(backup.substr(0, backup.size() - 1)).code(), absl::StatusCode::kDataLoss);
  for (size_t i = 8; i < backup.size(); i += backup.size() / 97 + 1) {
    std::string damaged = backup;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    EXPECT_EQ(Refusal(damaged).code(), absl::StatusCode::kDataLoss) << i;
  }
  const auto data = OpenData(&disk_);
  EXPECT_EQ(RestoreBackup(backup, data.get()).code(), absl::StatusCode::kFailedPrecondition);
  MemoryFileSystem empty(3);
  EXPECT_EQ(MakeBackup(*OpenData(&empty)).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Goal: a file from somewhere else writes nowhere but where a coordinator's files lie.
TEST_F(BackupTest, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"coordinator/../x", "coordinator/a/b", "../x", "/etc/x", "node/key",
                           "models/x/manifest", "coordinator/", "coordinator/.x"}) {
    ByteWriter writer;
    writer.Bytes("SHOALBAK");
    writer.U32(1);
    writer.U32(1);
    writer.String(name);
    writer.String("bytes");
    const std::string body = writer.bytes();
    writer.Bytes(DigestBytes(Sha256(std::as_bytes(std::span<const char>(body)))));
    const absl::Status refusal = Refusal(writer.Take());
    EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr("no coordinator's file"));
  }
}

// Goal: a restore that breaks off can be done again.
TEST_F(BackupTest, ABrokenRestoreLeavesNoCoordinator) {
  StartOn(&disk_);
  const std::string backup = Backup();
  for (int64_t n = 0;; ++n) {
    MemoryFileSystem disk(4);
    const auto data = OpenData(&disk);
    disk.FailOperation(n);
    const absl::Status status = RestoreBackup(backup, data.get());
    if (!disk.failed()) break;
    if (status.ok()) continue;
    if (disk.Exists(data->CoordinatorPath("ca.key"))) continue;  // Only the last sync failed.
    EXPECT_TRUE(RestoreBackup(backup, data.get()).ok()) << n;
  }
}

}  // namespace
}  // namespace shoal
