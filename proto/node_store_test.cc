#include "proto/node_store.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/cluster_testing.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class NodeStoreTest : public testing::Test {
 protected:
  static std::string MakeFolder() {
    std::string path = testing::TempDir() + "/node_store_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  ~NodeStoreTest() override { std::filesystem::remove_all(folder_); }

  std::string Bytes(uint64_t epoch) const {
    return SignSnapshot(MakeTestSnapshot(ca_.cluster_id(), epoch), ca_.key());
  }
  uint64_t StoredEpoch() const {
    const auto stored = store_.ReadSnapshot(credentials_);
    return stored.ok() && stored->has_value() ? (*stored)->epoch : 0;
  }
  void Damage(const std::string& name, size_t at) const {
    std::fstream file(folder_ + "/node/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x10));
    EXPECT_TRUE(file.good());
  }

  const TestAuthority ca_;
  const Credentials credentials_ = ca_.Issue({NodeRole::kWorker, TestNodeId(2)});
  const std::string folder_ = MakeFolder();
  NodeStore store_{MachineFileSystem(), folder_ + "/node"};
};

TEST_F(NodeStoreTest, IsEmptyBeforeTheFirstWrite) {
  EXPECT_FALSE(store_.ReadCredentials()->has_value());
  EXPECT_FALSE(store_.ReadSnapshot(credentials_)->has_value());
  EXPECT_EQ(store_.ReadAddress(), "");
  EXPECT_EQ(store_.ReadCoordinator(), "");
}

TEST_F(NodeStoreTest, KeepsWhatWasWritten) {
  ASSERT_TRUE(store_.WriteCredentials(credentials_).ok());
  ASSERT_TRUE(store_.WriteAddress("127.0.0.1:7002").ok());
  ASSERT_TRUE(store_.WriteCoordinator("box:7000").ok());
  const NodeStore again(MachineFileSystem(), folder_ + "/node");
  const auto read = again.ReadCredentials();
  ASSERT_TRUE(read.ok() && read->has_value());
  EXPECT_EQ((*read)->cluster_id, credentials_.cluster_id);
  EXPECT_EQ((*read)->ca_pem, credentials_.ca_pem);
  EXPECT_EQ((*read)->certificate_pem, credentials_.certificate_pem);
  EXPECT_EQ((*read)->key_pem, credentials_.key_pem);
  EXPECT_EQ(again.ReadAddress(), "127.0.0.1:7002");
  EXPECT_EQ(again.ReadCoordinator(), "box:7000");
}

TEST_F(NodeStoreTest, TheKeyIsItsOwnersOnly) {
  ASSERT_TRUE(store_.WriteCredentials(credentials_).ok());
  const auto permissions = std::filesystem::status(folder_ + "/node/credentials").permissions();
  EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(NodeStoreTest, DamagedCredentialsAreNamedWithWhatToDo) {
  ASSERT_TRUE(store_.WriteCredentials(credentials_).ok());
  const size_t size = std::filesystem::file_size(folder_ + "/node/credentials");
  for (size_t at = 0; at < size; at += 7) {
    Damage("credentials", at);
    const absl::Status status = store_.ReadCredentials().status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << at << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("join again"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("PRIVATE")));
    Damage("credentials", at);
  }
  EXPECT_TRUE(store_.ReadCredentials().ok());
}

TEST_F(NodeStoreTest, I9_AnOlderSnapshotIsRefused) {
  ASSERT_TRUE(store_.WriteSnapshot(Bytes(5), credentials_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_.WriteSnapshot(Bytes(4), credentials_)));
  EXPECT_TRUE(store_.WriteSnapshot(Bytes(5), credentials_).ok());  // The same bytes.
  EXPECT_EQ(StoredEpoch(), 5U);
}

TEST_F(NodeStoreTest, AnotherAuthoritysSnapshotIsNotKept) {
  const TestAuthority other;
  const std::string bytes = SignSnapshot(MakeTestSnapshot("c1", 9), other.key());
  EXPECT_TRUE(absl::IsPermissionDenied(store_.WriteSnapshot(bytes, credentials_)));
  EXPECT_EQ(StoredEpoch(), 0U);
}

TEST_F(NodeStoreTest, ADamagedSnapshotIsPassedOver) {
  ASSERT_TRUE(store_.WriteSnapshot(Bytes(5), credentials_).ok());
  ASSERT_TRUE(store_.WriteSnapshot(Bytes(6), credentials_).ok());
  EXPECT_EQ(StoredEpoch(), 6U);
  Damage("snapshot", 40);
  EXPECT_EQ(StoredEpoch(), 5U);
  // What is older than what is left is still refused.
  EXPECT_TRUE(absl::IsFailedPrecondition(store_.WriteSnapshot(Bytes(4), credentials_)));
  ASSERT_TRUE(store_.WriteSnapshot(Bytes(7), credentials_).ok());
  EXPECT_EQ(StoredEpoch(), 7U);
  Damage("snapshot", 40);
  Damage("snapshot.previous", 40);
  EXPECT_EQ(StoredEpoch(), 0U);
}

// --- A disk that fails, and one whose power goes. The node folder is there already, as after a
// join.

constexpr char kFolder[] = "/data/node";

class NodeStoreFaultTest : public testing::Test {
 protected:
  std::string Bytes(uint64_t epoch) const {
    return SignSnapshot(MakeTestSnapshot(ca_.cluster_id(), epoch), ca_.key());
  }
  // A disk with old credentials and the snapshots 5 and 6.
  std::unique_ptr<MemoryFileSystem> OldDisk(uint64_t seed) const {
    auto disk = std::make_unique<MemoryFileSystem>(seed);
    NodeStore store(disk.get(), kFolder);
    EXPECT_TRUE(store.WriteCredentials(old_).ok());
    EXPECT_TRUE(store.WriteSnapshot(Bytes(5), old_).ok());
    EXPECT_TRUE(store.WriteSnapshot(Bytes(6), old_).ok());
    return disk;
  }
  uint64_t EpochOn(MemoryFileSystem* disk) const {
    const auto stored = NodeStore(disk, kFolder).ReadSnapshot(old_);
    return stored.ok() && stored->has_value() ? (*stored)->epoch : 0;
  }
  // The certificate on the disk, if key and certificate are of one piece.
  std::string CertificateOn(MemoryFileSystem* disk) const {
    const auto stored = NodeStore(disk, kFolder).ReadCredentials();
    if (!stored.ok() || !stored->has_value()) return "none";
    const Credentials& expected = (*stored)->certificate_pem == old_.certificate_pem ? old_ : next_;
    return (*stored)->key_pem == expected.key_pem ? (*stored)->certificate_pem : "mixed";
  }

  const TestAuthority ca_;
  const Credentials old_ = ca_.Issue({NodeRole::kWorker, TestNodeId(2)});
  const Credentials next_ = ca_.Issue({NodeRole::kWorker, TestNodeId(2)});
};

TEST_F(NodeStoreFaultTest, F12_WhicheverOperationFailsThereIsTheWholeOldOrTheWholeNewSnapshot) {
  int n_failures = 0;
  for (int64_t n = 0;; ++n) {
    const auto disk = OldDisk(n);
    disk->FailOperation(n);
    const absl::Status written = NodeStore(disk.get(), kFolder).WriteSnapshot(Bytes(7), old_);
    const bool failed = disk->failed();
    disk->FailOperation(-1);
    EXPECT_THAT(EpochOn(disk.get()), testing::AnyOf(6, 7)) << n;
    if (written.ok()) {
      EXPECT_EQ(EpochOn(disk.get()), 7U) << n;
    }
    EXPECT_TRUE(NodeStore(disk.get(), kFolder).WriteSnapshot(Bytes(8), old_).ok()) << n;
    EXPECT_EQ(EpochOn(disk.get()), 8U) << n;
    if (!failed) break;
    ++n_failures;
  }
  EXPECT_GE(n_failures, 10);  // Two files, five operations each.
}

TEST_F(NodeStoreFaultTest, F13_WhenPowerGoesThereIsTheWholeOldOrTheWholeNewSnapshot) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (int64_t n = 0;; ++n) {
      const auto disk = OldDisk(seed);
      disk->FailOperation(n);
      const absl::Status written = NodeStore(disk.get(), kFolder).WriteSnapshot(Bytes(7), old_);
      const bool failed = disk->failed();
      disk->FailOperation(-1);
      disk->PowerCut();
      EXPECT_THAT(EpochOn(disk.get()), testing::AnyOf(6, 7)) << seed << " " << n;
      if (written.ok()) {
        EXPECT_EQ(EpochOn(disk.get()), 7U) << seed << " " << n;
      }
      if (!failed) break;
    }
  }
}

TEST_F(NodeStoreFaultTest, F12_F13_KeyAndCertificateAreOfOnePiece) {
  for (const bool power_cut : {false, true}) {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
      for (int64_t n = 0;; ++n) {
        const auto disk = OldDisk(seed);
        disk->FailOperation(n);
        const absl::Status written = NodeStore(disk.get(), kFolder).WriteCredentials(next_);
        const bool failed = disk->failed();
        disk->FailOperation(-1);
        if (power_cut) disk->PowerCut();
        const std::string certificate = CertificateOn(disk.get());
        EXPECT_THAT(certificate, testing::AnyOf(old_.certificate_pem, next_.certificate_pem)) << n;
        if (written.ok()) {
          EXPECT_EQ(certificate, next_.certificate_pem) << n;
        }
        if (!failed) break;
      }
    }
  }
}

}  // namespace
}  // namespace shoal
