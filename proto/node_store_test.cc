#include "proto/node_store.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

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

}  // namespace
}  // namespace shoal
