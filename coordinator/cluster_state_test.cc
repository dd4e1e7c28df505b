#include "coordinator/cluster_state.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

ExpertSet Experts(std::initializer_list<std::pair<int, int>> pairs) {
  ExpertSet set(2, 3);
  for (const auto& [layer, expert] : pairs) set.Insert(layer, expert);
  return set;
}

ClusterNode Node(NodeRole role, const std::string& id, int key) {
  ClusterNode node;
  node.identity = {role, id};
  node.key[0] = static_cast<std::byte>(key);
  node.token_id = "00000000000000aa";
  node.certificate_expiry = absl::FromUnixSeconds(1790000000 + key);
  return node;
}

const std::string kWorker = "000000000000000b";
const std::string kRouter = "000000000000000c";

ClusterModel Model(int seed = 1) {
  ClusterModel model{.id = {}, .name = "tiny", .n_layers = 2, .n_experts = 3, .import_key = {}};
  model.id[0] = static_cast<std::byte>(seed);
  return model;
}

// One of every record.
ClusterBatch EveryRecord() {
  return {NodeJoined{Node(NodeRole::kWorker, kWorker, 1)},
          NodeJoined{Node(NodeRole::kRouter, kRouter, 2)},
          NodeRenewed{kRouter, absl::FromUnixSeconds(1800000000)},
          AddressChanged{kWorker, "10.0.0.7:7000"},
          TokenCreated{{.id = "00000000000000aa",
                        .role = NodeRole::kWorker,
                        .secret_hash = {},
                        .uses_left = 3,
                        .expiry = absl::FromUnixSeconds(1790003600)}},
          TokenCreated{{.id = "00000000000000bb",
                        .role = NodeRole::kRouter,
                        .secret_hash = {},
                        .uses_left = 1,
                        .expiry = absl::FromUnixSeconds(1790003600)}},
          TokenUsed{"00000000000000aa"},
          TokenForgotten{"00000000000000bb"},
          ModelSet{Model()},
          ReplicasSet{2},
          ExpertsPlaced{kWorker, Experts({{0, 1}}), Experts({{0, 1}, {1, 2}})},
          DrainChanged{kWorker, true},
          NodeRevoked{kRouter},
          EpochRaised{41}};
}

TEST(ClusterStateTest, EveryRecordSurvivesItsBytes) {
  const std::string bytes = EncodeBatch(EveryRecord());
  const auto again = DecodeBatch(bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(EncodeBatch(*again), bytes);
}

TEST(ClusterStateTest, DamagedBytesAreRefused) {
  const std::string bytes = EncodeBatch(EveryRecord());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeBatch(std::string_view(bytes).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeBatch(bytes + "x").ok());
  std::string unknown = EncodeBatch({EpochRaised{1}});
  unknown[4] = 99;
  EXPECT_FALSE(DecodeBatch(unknown).ok());
}

TEST(ClusterStateTest, EverythingMakesTheSameState) {
  ClusterState state;
  ASSERT_TRUE(state.Apply(EveryRecord()).ok());
  EXPECT_EQ(state.epoch(), 41U);
  ClusterState again;
  ASSERT_TRUE(again.Apply(state.Everything()).ok());
  EXPECT_EQ(again.epoch(), 41U) << "a compaction is no change";
  EXPECT_EQ(EncodeBatch(again.Everything()), EncodeBatch(state.Everything()));
  EXPECT_EQ(again.tokens().at("00000000000000aa").uses_left, 2U);
  EXPECT_EQ(again.FindNode(kWorker)->assigned, Experts({{0, 1}, {1, 2}}));
}

TEST(ClusterStateTest, TheEpochGrowsByOneForWhatNodesSee) {
  ClusterState state;
  ASSERT_TRUE(state.Apply({NodeJoined{Node(NodeRole::kWorker, kWorker, 1)}}).ok());
  EXPECT_EQ(state.epoch(), 0U) << "a worker without an address is no member yet";
  ASSERT_TRUE(state.Apply({NodeRenewed{kWorker, absl::FromUnixSeconds(1800000000)}}).ok());
  EXPECT_EQ(state.epoch(), 0U);
  ASSERT_TRUE(state.Apply({AddressChanged{kWorker, "10.0.0.7:7000"}, ModelSet{Model()}}).ok());
  EXPECT_EQ(state.epoch(), 1U);
  ASSERT_TRUE(state.Apply({ExpertsPlaced{kWorker, Experts({{0, 1}}), {}}}).ok());
  EXPECT_EQ(state.epoch(), 1U) << "what is planned is nobody's business";
  ASSERT_TRUE(state.Apply({ExpertsPlaced{kWorker, Experts({{0, 1}}), Experts({{0, 1}})}}).ok());
  EXPECT_EQ(state.epoch(), 2U);
}

TEST(ClusterStateTest, ABatchThatDoesNotFitChangesNothing) {
  ClusterState state;
  ASSERT_TRUE(state.Apply({NodeJoined{Node(NodeRole::kWorker, kWorker, 1)}}).ok());
  const std::string before = EncodeBatch(state.Everything());
  const ClusterBatch misfits[] = {
      {DrainChanged{kWorker, true}, DrainChanged{kRouter, true}},
      {DrainChanged{kWorker, true}, NodeJoined{Node(NodeRole::kWorker, kWorker, 1)}},
      {DrainChanged{kWorker, true}, TokenUsed{"00000000000000aa"}},
      {DrainChanged{kWorker, true}, ExpertsPlaced{kWorker, Experts({{0, 1}}), {}}},
  };
  for (const ClusterBatch& misfit : misfits) {
    EXPECT_EQ(state.Apply(misfit).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(EncodeBatch(state.Everything()), before);
  }
}

TEST(ClusterStateTest, AnotherModelsExpertsAreNobodys) {
  ClusterState state;
  ASSERT_TRUE(state.Apply(EveryRecord()).ok());
  ASSERT_TRUE(state.Apply({ModelSet{Model(/*seed=*/2)}}).ok());
  EXPECT_TRUE(state.FindNode(kWorker)->assigned.empty());
  EXPECT_TRUE(state.FindNode(kWorker)->planned.empty());
}

TEST(ClusterStateTest, ASnapshotShowsMembersAndTheRevoked) {
  ClusterState state;
  ASSERT_TRUE(state.Apply(EveryRecord()).ok());
  const Snapshot snapshot = state.MakeSnapshot("cafe", absl::FromUnixSeconds(1790000000));
  ASSERT_EQ(snapshot.members.size(), 1U);
  EXPECT_EQ(snapshot.members[0].node.node_id, kWorker);
  EXPECT_EQ(snapshot.members[0].peer_address, "10.0.0.7:7000");
  EXPECT_TRUE(snapshot.members[0].draining);
  EXPECT_EQ(snapshot.members[0].assigned, Experts({{0, 1}, {1, 2}}));
  EXPECT_THAT(snapshot.revoked, ::testing::ElementsAre(kRouter));
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  EXPECT_TRUE(OpenSnapshot(SignSnapshot(snapshot, key), key.public_key(), "cafe").ok());
}

}  // namespace
}  // namespace shoal
