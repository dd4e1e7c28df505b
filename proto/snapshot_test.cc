#include "proto/snapshot.h"

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/cluster.pb.h"
#include "proto/cluster_testing.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SnapshotTest : public testing::Test {
 protected:
  absl::StatusOr<Snapshot> Open(std::string_view bytes) const {
    return OpenSnapshot(bytes, ca_.key().public_key(), ca_.cluster_id());
  }
  std::string Sign(const wire::Snapshot& message) const {
    wire::SignedSnapshot outer;
    outer.set_snapshot(message.SerializeAsString());
    const Ed25519Signature signature = ca_.key().Sign("shoal snapshot", outer.snapshot());
    outer.set_signature(std::string(reinterpret_cast<const char*>(signature.data()), 64));
    return outer.SerializeAsString();
  }
  static wire::Snapshot MessageOf(std::string_view bytes) {
    wire::SignedSnapshot outer;
    wire::Snapshot message;
    EXPECT_TRUE(outer.ParseFromString(std::string(bytes)));
    EXPECT_TRUE(message.ParseFromString(outer.snapshot()));
    return message;
  }

  const TestAuthority ca_;
  const Snapshot snapshot_ = MakeTestSnapshot(ca_.cluster_id(), 7);
  const std::string bytes_ = SignSnapshot(snapshot_, ca_.key());
};

TEST_F(SnapshotTest, ComesBackAsItWas) {
  const auto opened = Open(bytes_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->cluster_id, ca_.cluster_id());
  EXPECT_EQ(opened->epoch, 7U);
  EXPECT_EQ(opened->issued, snapshot_.issued);
  EXPECT_EQ(opened->model_id, snapshot_.model_id);
  EXPECT_EQ(opened->model_name, "tiny");
  EXPECT_EQ(opened->import_key, snapshot_.import_key);
  EXPECT_THAT(opened->revoked, ElementsAre(TestNodeId(8), TestNodeId(9)));
  ASSERT_EQ(opened->members.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(opened->members[i].node, snapshot_.members[i].node);
    EXPECT_EQ(opened->members[i].peer_address, snapshot_.members[i].peer_address);
    EXPECT_EQ(opened->members[i].assigned, snapshot_.members[i].assigned);
  }
  EXPECT_EQ(SignSnapshot(*opened, ca_.key()), bytes_);
}

TEST_F(SnapshotTest, FindsMembersHoldersAndTheRevoked) {
  EXPECT_EQ(snapshot_.Find(TestNodeId(2)), &snapshot_.members[1]);
  EXPECT_EQ(snapshot_.Find(TestNodeId(4)), nullptr);
  EXPECT_EQ(snapshot_.Find(""), nullptr);
  EXPECT_TRUE(snapshot_.IsRevoked(TestNodeId(9)));
  EXPECT_FALSE(snapshot_.IsRevoked(TestNodeId(2)));
  EXPECT_THAT(snapshot_.HoldersOf(1, 2), ElementsAre(1, 2));
  EXPECT_THAT(snapshot_.HoldersOf(2, 0), ElementsAre());
}

TEST_F(SnapshotTest, OneWithoutAModelIsFine) {
  Snapshot empty;
  empty.cluster_id = ca_.cluster_id();
  empty.epoch = 1;
  empty.issued = absl::UnixEpoch();
  const auto opened = Open(SignSnapshot(empty, ca_.key()));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(opened->model_id.has_value());
}

TEST_F(SnapshotTest, AnotherAuthoritysOrClustersIsRefused) {
  const TestAuthority other;
  EXPECT_TRUE(absl::IsPermissionDenied(Open(SignSnapshot(snapshot_, other.key())).status()));
  const auto elsewhere = Open(SignSnapshot(MakeTestSnapshot("c2", 7), ca_.key()));
  EXPECT_TRUE(absl::IsPermissionDenied(elsewhere.status()));
  EXPECT_THAT(std::string(elsewhere.status().message()), HasSubstr("'c2'"));
}

// Goal: no byte of a signed snapshot can be changed, or left out.
TEST_F(SnapshotTest, EveryChangedByteAndEveryPrefixIsRefused) {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = bytes_;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto opened = Open(damaged);
      // Unknown fields of the outer message carry nothing; what opened is what was signed.
      EXPECT_TRUE(!opened.ok() || SignSnapshot(*opened, ca_.key()) == bytes_);
    }
    EXPECT_FALSE(Open(bytes_.substr(0, i)).ok());
  }
}

TEST_F(SnapshotTest, WhatIsOutOfRangeIsNamed) {
  const std::pair<std::function<void(wire::Snapshot&)>, std::string> cases[] = {
      {[](wire::Snapshot& s) { s.set_format(2); }, "format 2"},
      {[](wire::Snapshot& s) { s.set_epoch(0); }, "epoch is 0"},
      {[](wire::Snapshot& s) { s.set_issued_unix_s(~uint64_t{0}); }, "issued_unix_s"},
      {[](wire::Snapshot& s) { s.set_model_id("short"); }, "model_id of 5 bytes"},
      {[](wire::Snapshot& s) { s.clear_model_id(); }, "without a model_id"},
      {[](wire::Snapshot& s) { s.clear_model_name(); }, "model_name of 0"},
      {[](wire::Snapshot& s) { s.set_n_layers(kMaxLayers + 1); }, "n_layers=513"},
      {[](wire::Snapshot& s) { s.set_n_experts(0); }, "n_experts=0"},
      {[](wire::Snapshot& s) { s.set_import_key("k"); }, "import_key of 1 bytes"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_node_id("zz"); }, "'zz'"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_node_id(TestNodeId(1)); }, "not above"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_role(wire::ROLE_ADMIN); }, "role 4"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_peer_address(""); }, "host:port"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_assigned("x"); }, "expert set"},
      {[](wire::Snapshot& s) { s.mutable_members(1)->set_assigned("\xFF"); }, "past its end"},
      {[](wire::Snapshot& s) { s.mutable_members(0)->set_peer_address("a:1"); }, "a router with"},
      {[](wire::Snapshot& s) { s.set_revoked(1, TestNodeId(8)); }, "revoked"},
      {[](wire::Snapshot& s) { s.set_revoked(1, "../x"); }, "revoked"},
      {[](wire::Snapshot& s) {
         for (int i = 0; i < kMaxMembers; ++i) s.add_members();
       },
       "more than 256"},
      {[](wire::Snapshot& s) {
         for (int i = 0; i < kMaxRevoked; ++i) s.add_revoked();
       },
       "more than 4096"},
  };
  for (size_t i = 0; i < std::size(cases); ++i) {
    SCOPED_TRACE(i);
    wire::Snapshot message = MessageOf(bytes_);
    cases[i].first(message);
    // One byte holds 6 bits: "x" has members past its end too, and is said to.
    const auto opened = Open(Sign(message));
    EXPECT_TRUE(absl::IsInvalidArgument(opened.status())) << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr(cases[i].second));
  }
}

TEST_F(SnapshotTest, AddressesAreHostAndPort) {
  for (const char* const good : {"10.0.0.1:1", "box-1.local:65535", "[fe80::1]:7000"}) {
    wire::Snapshot message = MessageOf(bytes_);
    message.mutable_members(1)->set_peer_address(good);
    EXPECT_TRUE(Open(Sign(message)).ok()) << good;
  }
  for (const char* const bad : {"a", ":1", "a:", "a:0", "a:65536", "a:1x", "a b:1", "[x]:1", "[]:1",
                                "a:-1", "a/b:1", "::1:7000", "a:000001"}) {
    wire::Snapshot message = MessageOf(bytes_);
    message.mutable_members(1)->set_peer_address(bad);
    EXPECT_FALSE(Open(Sign(message)).ok()) << bad;
  }
}

TEST_F(SnapshotTest, MoreBytesThanTheCapAreNotLookedAt) {
  const auto opened = Open(std::string(kMaxSnapshotBytes + 1, 'x'));
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("more than"));
}

}  // namespace
}  // namespace shoal
