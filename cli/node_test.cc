#include "cli/node.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard_testing.h"
#include "proto/cluster_testing.h"
#include "proto/frame_codec.h"
#include "proto/in_process_transport.h"
#include "proto/shard_server.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kAddress[] = "origin:1";
const NodeIdentity kWorker{NodeRole::kWorker, TestNodeId(2)};

// A coordinator that lets a worker 2 join, answers everything, sends one snapshot to whoever
// watches, and gives shards.
class TestCoordinator {
 public:
  TestCoordinator(InProcessNetwork* network, const TestAuthority& ca, DataDirectory* data,
                  std::shared_ptr<const Snapshot> snapshot)
      : ca_(ca),
        snapshot_(std::move(snapshot)),
        listener_(*network->Listen(kAddress, {NodeRole::kCoordinator, TestNodeId(0xC0)})),
        shards_(ShardServer::Start(
            {.listener = listener_.get(), .data = data, .snapshot = [this] { return snapshot_; }})),
        thread_([this] { Loop(); }) {}
  ~TestCoordinator() {
    stop_.store(true);
    listener_->Wake(StreamKind::kControl);
    thread_.join();
  }

 private:
  void Loop() {
    const auto answer = [this](LinkId from, const NodeIdentity& peer, FrameBuffer buffer) {
      Answer(from, peer, buffer);
    };
    while (!stop_.load()) {
      listener_->Poll(StreamKind::kControl, MonotonicNow() + absl::Seconds(1), answer);
    }
  }

  void Answer(LinkId from, const NodeIdentity& peer, const FrameBuffer& buffer) {
    const auto frame = DecodeFrame(buffer);
    if (!frame.ok()) return;
    const wire::ControlRequest& request = frame->header.control_request();
    wire::FrameHeader header;
    wire::ControlReply& reply = *header.mutable_control_reply();
    reply.set_id(request.id());
    if (request.has_join()) {
      EXPECT_EQ(peer.role, NodeRole::kNone);
      reply.mutable_join()->set_certificate(ca_.Sign(request.join().csr(), kWorker,
                                                     absl::Now() - absl::Minutes(5),
                                                     absl::Now() + absl::Hours(24)));
    }
    Send(from, EncodeFrame(header));
    if (!request.has_watch()) return;
    const std::string bytes = SignSnapshot(*snapshot_, ca_.key());
    header.mutable_snapshot_update();
    FrameWriter writer(header, bytes.size());
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(writer.payload().data()));
    Send(from, std::move(writer).Finish());
  }
  void Send(LinkId to, FrameBuffer frame) {
    (void)listener_->Send(StreamKind::kControl, to, std::move(frame));
  }

  const TestAuthority& ca_;
  const std::shared_ptr<const Snapshot> snapshot_;
  const std::unique_ptr<Listener> listener_;
  std::atomic<bool> stop_{false};
  const std::unique_ptr<ShardServer> shards_;
  std::thread thread_;
};

class NodeTest : public testing::Test {
 protected:
  NodeTest() {
    origin_ = *DataDirectory::Open(MachineFileSystem(), folder_ + "/origin",
                                   DataDirectory::Access::kExclusive);
    for (size_t i = 0; i < model_.files.size(); ++i) {
      EXPECT_TRUE(PutShard(&origin_->shards(), model_.manifest.shards[i], model_.files[i]).ok());
    }
    EXPECT_TRUE(origin_->WriteModel(SignManifest(manifest_bytes_, import_key_)).ok());
    std::ofstream(folder_ + "/token")
        << FormatJoinToken({.ca_digest = *CertificateDigest(ca_.ca_pem()),
                            .id = std::string(16, 'a'),
                            .secret = std::string(64, 'b')})
        << "\n";
  }
  ~NodeTest() override { std::filesystem::remove_all(folder_); }

  static std::string MakeFolder() {
    std::string path = testing::TempDir() + "/node_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  std::shared_ptr<const Snapshot> WithModel() const {
    Snapshot snapshot = MakeTestSnapshot(ca_.cluster_id(), 1);
    snapshot.issued = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
    snapshot.model_id = ModelId(manifest_bytes_);
    snapshot.import_key = import_key_.public_key();
    return std::make_shared<const Snapshot>(std::move(snapshot));
  }
  std::unique_ptr<TestCoordinator> StartCoordinator(std::shared_ptr<const Snapshot> snapshot) {
    return std::make_unique<TestCoordinator>(&network_, ca_, origin_.get(), std::move(snapshot));
  }
  NodeSeams Seams() {
    NodeSeams seams;
    seams.new_dialer = [this](std::shared_ptr<CredentialSource> source) {
      return network_.NewDialer(source->Get()->certificate_pem.empty() ? NodeIdentity{} : kWorker);
    };
    seams.fetch_ca = [this](const std::string&, const Sha256Digest&,
                            absl::Time) -> absl::StatusOr<std::string> { return ca_.ca_pem(); };
    seams.join_time = join_time_;
    return seams;
  }
  absl::StatusOr<std::unique_ptr<Node>> Open(NodeOptions options,
                                             NodeRole role = NodeRole::kWorker) {
    if (options.data_dir.empty()) options.data_dir = folder_ + "/worker";
    return Node::Open(options, role, Seams());
  }
  NodeOptions Joining() const {
    return {.data_dir = {},
            .coordinator = kAddress,
            .join_token_file = folder_ + "/token",
            .local_shards = {}};
  }
  static absl::Time Soon() { return MonotonicNow() + absl::Seconds(20); }

  absl::Duration join_time_ = absl::Seconds(20);
  const std::string folder_ = MakeFolder();
  const TestAuthority ca_{"c1", absl::Now()};
  const TestModel model_ = MakeTestModel(2, 3);
  const std::string manifest_bytes_ = EncodeManifest(model_.manifest);
  const Ed25519Key import_key_ = Ed25519Key::Generate(SystemRandom());
  InProcessNetwork network_;
  std::unique_ptr<DataDirectory> origin_;
};

TEST_F(NodeTest, WithoutATokenItSaysWhatToDo) {
  NodeOptions options = Joining();
  options.join_token_file.clear();
  const auto node = Open(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(node.status()));
  EXPECT_THAT(std::string(node.status().message()), HasSubstr("shoal token create --role worker"));
  options.coordinator.clear();
  EXPECT_THAT(std::string(Open(options).status().message()), HasSubstr("--coordinator"));
}

TEST_F(NodeTest, ACoordinatorThatIsNotThereIsNamed) {
  join_time_ = absl::Milliseconds(300);
  const auto node = Open(Joining());
  EXPECT_TRUE(absl::IsUnavailable(node.status())) << node.status();
  EXPECT_THAT(std::string(node.status().message()), HasSubstr("joining at origin:1"));
}

TEST_F(NodeTest, F16_JoinsOnceFetchesAndThenNeedsNobody) {
  const auto coordinator_snapshot = WithModel();
  {
    const auto coordinator = StartCoordinator(coordinator_snapshot);
    auto node = Open(Joining());
    ASSERT_TRUE(node.ok()) << node.status();
    EXPECT_EQ((*node)->identity(), kWorker);
    ASSERT_TRUE((*node)->KeepAddress("127.0.0.1:7002").ok());
    (*node)->Follow({});
    const auto model = (*node)->WaitForModel(Soon(), nullptr);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->manifest.id, ModelId(manifest_bytes_));
    const auto shards =
        ExpertShards(model->manifest.manifest, model->snapshot->Find(kWorker.node_id)->assigned);
    ASSERT_EQ(shards.size(), 6U);
    uint64_t last_done = 0;
    uint64_t last_all = 1;
    const auto progress = [&](uint64_t done, uint64_t all) {
      EXPECT_GT(done, last_done);
      last_done = done;
      last_all = all;
    };
    const absl::Status ensured = (*node)->EnsureShards(shards, progress, nullptr);
    ASSERT_TRUE(ensured.ok()) << ensured;
    EXPECT_EQ(last_done, last_all);
    EXPECT_GT((*node)->fetched().bytes, last_all);
    for (const ShardInfo* shard : shards) EXPECT_TRUE((*node)->data().shards().Verify(*shard).ok());
  }
  // Coordinator gone, no options but the data directory.
  auto again = Open({});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->coordinator(), kAddress);
  EXPECT_EQ((*again)->LastAddress(), "127.0.0.1:7002");
  (*again)->Follow({});
  const auto model = (*again)->WaitForModel(Soon(), nullptr);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto shards =
      ExpertShards(model->manifest.manifest, model->snapshot->Find(kWorker.node_id)->assigned);
  EXPECT_TRUE((*again)->EnsureShards(shards, {}, nullptr).ok());
  EXPECT_EQ((*again)->fetched().bytes, 0U);
}

TEST_F(NodeTest, ADirectoryOfAnotherRoleOrClusterIsRefused) {
  const auto coordinator = StartCoordinator(WithModel());
  ASSERT_TRUE(Open(Joining()).ok());
  const auto router = Open({}, NodeRole::kRouter);
  EXPECT_TRUE(absl::IsFailedPrecondition(router.status()));
  EXPECT_THAT(std::string(router.status().message()), HasSubstr("that of a worker"));
  EXPECT_TRUE(Open(Joining()).ok());  // Spent, and of this cluster: no matter.
  std::ofstream(folder_ + "/token") << FormatJoinToken(
      {.ca_digest = Sha256({}), .id = std::string(16, 'a'), .secret = std::string(64, 'b')});
  const auto elsewhere = Open(Joining());
  EXPECT_TRUE(absl::IsFailedPrecondition(elsewhere.status()));
  EXPECT_THAT(std::string(elsewhere.status().message()), HasSubstr("another cluster"));
}

TEST_F(NodeTest, TakesFilesOfThisMachineWithoutTheNetwork) {
  const auto coordinator = StartCoordinator(WithModel());
  NodeOptions options = Joining();
  options.local_shards = folder_ + "/origin";
  auto node = Open(options);
  ASSERT_TRUE(node.ok()) << node.status();
  (*node)->Follow({});
  const auto model = (*node)->WaitForModel(Soon(), nullptr);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto shards = TrunkShards(model->manifest.manifest);
  ASSERT_TRUE((*node)->EnsureShards(shards, {}, nullptr).ok());
  for (const ShardInfo* shard : shards) EXPECT_TRUE((*node)->data().shards().Verify(*shard).ok());
  EXPECT_EQ((*node)->fetched().bytes, 0U);
}

TEST_F(NodeTest, WaitsNoLongerThanItsDeadlineAndSaysForWhat) {
  Snapshot empty;
  empty.cluster_id = ca_.cluster_id();
  empty.epoch = 1;
  empty.issued = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  const auto coordinator = StartCoordinator(std::make_shared<const Snapshot>(empty));
  auto node = Open(Joining());
  ASSERT_TRUE(node.ok()) << node.status();
  (*node)->Follow({});
  const auto model = (*node)->WaitForModel(MonotonicNow() + absl::Seconds(1), nullptr);
  EXPECT_TRUE(absl::IsDeadlineExceeded(model.status()));
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("shoal model set"));
  const std::atomic<bool> cancelled{true};
  EXPECT_TRUE(absl::IsCancelled((*node)->WaitForModel(Soon(), &cancelled).status()));
}

// Goal: a manifest that lies here but is not signed by the cluster's import key is not used.
TEST_F(NodeTest, S20_AManifestOfAnotherSignerIsRefused) {
  Snapshot snapshot = *WithModel();
  snapshot.import_key.fill(std::byte{7});
  const auto coordinator = StartCoordinator(std::make_shared<const Snapshot>(snapshot));
  NodeOptions options = Joining();
  options.local_shards = folder_ + "/origin";
  auto node = Open(options);
  ASSERT_TRUE(node.ok()) << node.status();
  (*node)->Follow({});
  const auto model = (*node)->WaitForModel(MonotonicNow() + absl::Seconds(1), nullptr);
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("import key"));
}

}  // namespace
}  // namespace shoal
