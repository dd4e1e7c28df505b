#include "coordinator/coordinator.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/certificate.h"
#include "base/check.h"
#include "base/clock_testing.h"
#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard_testing.h"
#include "proto/coordinator_client.h"
#include "proto/in_process_transport.h"
#include "proto/join.h"
#include "proto/node_store.h"
#include "proto/shard_fetcher.h"

namespace shoal {
namespace {

constexpr char kAddress[] = "127.0.0.1:7700";

absl::Time Soon() { return MonotonicNow() + absl::Seconds(20); }

// A whole coordinator with its threads, on a network inside this process.
class CoordinatorTest : public ::testing::Test {
 protected:
  void Start() {
    auto data = DataDirectory::Open(&disk_, "/data", DataDirectory::Access::kExclusive);
    ASSERT_TRUE(data.ok()) << data.status();
    data_ = *std::move(data);
    const auto listen = [this](const std::shared_ptr<CredentialSource>& credentials) {
      const auto facts = ReadCertificate(credentials->Get()->certificate_pem);
      const auto self = ParseIdentityUri(facts->uri_names[0], credentials->Get()->cluster_id);
      return network_.Listen(kAddress, *self);
    };
    auto coordinator = Coordinator::Start({.data = data_.get(),
                                           .clock = SystemClock(),
                                           .random = SystemRandom(),
                                           .replicas = 1,
                                           .model = {},
                                           .listen = listen});
    ASSERT_TRUE(coordinator.ok()) << coordinator.status();
    coordinator_ = *std::move(coordinator);
  }
  void Stop() {
    coordinator_.reset();
    data_.reset();
  }

  wire::ControlReply Ask(const NodeIdentity& caller, const wire::ControlRequest& request) {
    const auto dialer = network_.NewDialer(caller);
    const auto link = dialer->Connect({.address = kAddress, .role = NodeRole::kCoordinator},
                                      StreamKind::kControl, Soon());
    SHOAL_CHECK(link.ok());
    wire::FrameHeader header;
    *header.mutable_control_request() = request;
    SHOAL_CHECK(dialer->Send(*link, EncodeFrame(header)).ok());
    const std::optional<LinkEvent> event = dialer->Next(Soon());
    SHOAL_CHECK(event.has_value());
    const auto frame = DecodeFrame(event->frame);
    SHOAL_CHECK(frame.ok());
    return frame->header.control_reply();
  }
  NodeIdentity Admin() const {
    const std::string pem = *ReadFile(data_->files(), data_->CoordinatorPath("admin.crt"), 1 << 16);
    return *ParseIdentityUri(ReadCertificate(pem)->uri_names[0], coordinator_->cluster_id());
  }
  std::string MakeToken(wire::Role role) {
    wire::ControlRequest request;
    request.mutable_create_token()->set_role(role);
    request.mutable_create_token()->set_uses(1);
    request.mutable_create_token()->set_ttl_s(60);
    return Ask(Admin(), request).create_token().token();
  }
  Credentials Join(wire::Role role) {
    const auto ca = [this](const std::string&, const Sha256Digest& digest, absl::Time) {
      SHOAL_CHECK(digest == coordinator_->ca_digest());
      return ReadFile(data_->files(), data_->CoordinatorPath("ca.crt"), 1 << 16);
    };
    auto credentials = JoinCluster(
        *ParseJoinToken(MakeToken(role)), kAddress, ca,
        [this](auto) { return network_.NewDialer(NodeIdentity{}); },
        Ed25519Key::Generate(SystemRandom()), Soon());
    SHOAL_CHECK(credentials.ok());
    return *std::move(credentials);
  }
  static NodeIdentity IdentityOf(const Credentials& credentials) {
    return *ParseIdentityUri(ReadCertificate(credentials.certificate_pem)->uri_names[0],
                             credentials.cluster_id);
  }

  MemoryFileSystem disk_;
  InProcessNetwork network_;
  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<Coordinator> coordinator_;
};

// A node's line to the coordinator, the production one.
class TestNode {
 public:
  TestNode(InProcessNetwork* network, FileSystem* files, const std::string& directory,
           const Credentials& credentials, const NodeIdentity& identity)
      : store_(files, directory) {
    SHOAL_CHECK(files->CreateDirectories(directory).ok());
    client_ = CoordinatorClient::Start(
        {.address = kAddress,
         .credentials = std::make_shared<CredentialSource>(credentials),
         .new_dialer = [network, identity](auto) { return network->NewDialer(identity); },
         .store = &store_,
         .clock = SystemClock(),
         .random = SystemRandom(),
         .on_snapshot =
             [this](std::shared_ptr<const Snapshot> snapshot) {
               MutexLock lock(&mu_);
               snapshot_ = std::move(snapshot);
               changed_.SignalAll();
             }});
  }
  CoordinatorClient& client() { return *client_; }

  // The first snapshot from now on that pleases; null: none came.
  std::shared_ptr<const Snapshot> WaitFor(const std::function<bool(const Snapshot&)>& pleases) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    MutexLock lock(&mu_);
    while (snapshot_ == nullptr || !pleases(*snapshot_)) {
      if (!changed_.WaitUntil(&mu_, until)) return nullptr;
    }
    return snapshot_;
  }

 private:
  NodeStore store_;
  Mutex mu_;
  CondVar changed_;
  std::shared_ptr<const Snapshot> snapshot_ SHOAL_GUARDED_BY(mu_);
  std::unique_ptr<CoordinatorClient> client_;  // Last: its thread uses the rest.
};

TEST_F(CoordinatorTest, AWorkerJoinsWatchesReportsAndIsAssignedWhatItCanFetch) {
  Start();
  const TestModel model = MakeTestModel();
  for (size_t i = 0; i < model.files.size(); ++i) {
    ASSERT_TRUE(PutShard(&data_->shards(), model.manifest.shards[i], model.files[i]).ok());
  }
  const std::string bytes = EncodeManifest(model.manifest);
  ASSERT_TRUE(data_->WriteModel(SignManifest(bytes, *data_->ImportKey(SystemRandom()))).ok());
  wire::ControlRequest set_model;
  set_model.mutable_set_model()->set_model(model.manifest.name);
  ASSERT_EQ(Ask(Admin(), set_model).code(), 0U);

  const Credentials credentials = Join(wire::ROLE_WORKER);
  const NodeIdentity identity = IdentityOf(credentials);
  TestNode node(&network_, &disk_, "/worker/node", credentials, identity);
  node.client().SetReport({.peer_address = "127.0.0.1:7001",
                           .memory_bytes = 1 << 20,
                           .read_gb_per_s = 10,
                           .resident = {},
                           .peers = {}});
  const auto snapshot = node.WaitFor([&](const Snapshot& s) {
    const Snapshot::Member* self = s.Find(identity.node_id);
    return self != nullptr && self->assigned.size() == 6;
  });
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->model_id, ModelId(bytes));

  // And the origin gives it what it is assigned, and nothing of the trunk.
  ShardFetcher fetcher(network_.NewDialer(identity));
  const Endpoint origin{.address = kAddress, .role = NodeRole::kCoordinator};
  auto store = ShardStore::Open(&disk_, "/worker/shards");
  ASSERT_TRUE(store.ok());
  const ShardInfo* expert = model.manifest.Find(ShardKind::kExpert, 1, 2);
  EXPECT_TRUE(fetcher.Fetch(*expert, {&origin, 1}, store->get(), nullptr).ok());
  const ShardInfo* trunk = model.manifest.Find(ShardKind::kTrunkLayer, 0);
  EXPECT_FALSE(fetcher.Fetch(*trunk, {&origin, 1}, store->get(), nullptr).ok());
}

TEST_F(CoordinatorTest, F16_NodesFindTheirWayBackToARestartedCoordinator) {
  Start();
  const Credentials credentials = Join(wire::ROLE_ROUTER);
  const NodeIdentity identity = IdentityOf(credentials);
  TestNode node(&network_, &disk_, "/router/node", credentials, identity);
  const auto before = node.WaitFor([](const Snapshot&) { return true; });
  ASSERT_NE(before, nullptr);
  const std::string cluster_id = coordinator_->cluster_id();
  Stop();
  Start();
  EXPECT_EQ(coordinator_->cluster_id(), cluster_id);
  const auto after = node.WaitFor([&](const Snapshot& s) { return s.epoch > before->epoch; });
  ASSERT_NE(after, nullptr);
  EXPECT_NE(after->Find(identity.node_id), nullptr);
}

TEST_F(CoordinatorTest, WhatTheOperatorNeedsLiesInItsFolder) {
  Start();
  EXPECT_EQ(*ReadFile(&disk_, data_->CoordinatorPath("address"), 100), kAddress);
  EXPECT_EQ(Admin().role, NodeRole::kAdmin);
  const std::string key = *ReadFile(&disk_, data_->CoordinatorPath("admin.key"), 1 << 16);
  const std::string pem = *ReadFile(&disk_, data_->CoordinatorPath("admin.crt"), 1 << 16);
  EXPECT_EQ(Ed25519Key::FromPem(key)->public_key(), ReadCertificate(pem)->public_key);
  wire::ControlRequest request;
  request.mutable_list_nodes();
  const wire::ControlReply reply = Ask(Admin(), request);
  EXPECT_EQ(reply.list_nodes().cluster_id(), coordinator_->cluster_id());
  EXPECT_THAT(reply.message(), ::testing::HasSubstr("no model"));
}

// --- The authority.

TEST(CertificateAuthorityTest, StaysTheSameOverRestarts) {
  MemoryFileSystem disk;
  ManualClock clock;
  const auto first = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom());
  ASSERT_TRUE(first.ok()) << first.status();
  clock.Advance(absl::Hours(24 * 400));
  const auto second = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*first)->certificate(), (*second)->certificate());
  EXPECT_EQ((*first)->cluster_id(), (*second)->cluster_id());
  EXPECT_EQ((*first)->coordinator(), (*second)->coordinator());
  const auto facts = ReadCertificate((*first)->certificate());
  EXPECT_TRUE(facts->is_ca);
  EXPECT_GT(facts->not_after - facts->not_before, absl::Hours(24 * 365 * 10));
}

TEST(CertificateAuthorityTest, F13_APowerCutAtItsFirstStartLeavesNothingHalfMade) {
  ManualClock clock;
  for (int64_t n = 0;; ++n) {
    ASSERT_LT(n, 100);
    MemoryFileSystem disk(static_cast<uint64_t>(n));
    disk.FailOperation(n);
    const bool opened = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom()).ok();
    disk.FailOperation(-1);
    disk.PowerCut();
    const auto again = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom());
    EXPECT_TRUE(again.ok()) << n << ": " << again.status();
    if (opened) break;
  }
}

TEST(CertificateAuthorityTest, ALostOrForeignKeyIsNamed) {
  MemoryFileSystem disk;
  ManualClock clock;
  ASSERT_TRUE(CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom()).ok());
  const std::string certificate = *ReadFile(&disk, "/ca/ca.crt", 1 << 16);
  ASSERT_TRUE(ReplaceFile(&disk, "/ca/ca.key", Ed25519Key::Generate(SystemRandom()).Pem()).ok());
  EXPECT_EQ(CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom()).status().code(),
            absl::StatusCode::kDataLoss);
  ASSERT_TRUE(disk.Remove("/ca/ca.key").ok());
  const auto lost = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom());
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(lost.status().message()), ::testing::HasSubstr("ca.key"));
}

TEST(CertificateAuthorityTest, F19_AClockSetBackMakesNoLeafOlderThanItsAuthority) {
  MemoryFileSystem disk;
  ManualClock clock;
  const auto authority = CertificateAuthority::Open(&disk, "/ca", &clock, SystemRandom());
  const absl::Time made = clock.WallNow();
  clock.SetWall(absl::FromUnixSeconds(0));  // A box that boots in 1970.
  const auto leaf = (*authority)
                        ->Issue(Ed25519Key::Generate(SystemRandom()).public_key(),
                                {NodeRole::kWorker, "0123456789abcdef"});
  ASSERT_TRUE(leaf.ok());
  EXPECT_EQ(leaf->expiry, made + CertificateAuthority::kLeafLife);
}

// --- The audit log.

TEST(AuditLogTest, LinesAreEscapedAndTheFileIsBounded) {
  MemoryFileSystem disk;
  ManualClock clock;
  ASSERT_TRUE(disk.CreateDirectories("/a").ok());
  AuditLog log(&disk, "/a/audit.log", &clock);
  log.Write("denied", {{"why", "a \"quote\"\nand a line"}});
  EXPECT_THAT(*ReadFile(&disk, "/a/audit.log", 1 << 20),
              ::testing::HasSubstr("\"why\":\"a \\\"quote\\\"\\u000aand a line\"}\n"));
  for (int i = 0; i < 10000; ++i) log.Write("placed", {{"text", std::string(1000, 'x')}});
  EXPECT_LE((*disk.Open("/a/audit.log"))->size(), 4U << 20);
  EXPECT_LE((*disk.Open("/a/audit.log.1"))->size(), 4U << 20);
  EXPECT_EQ(disk.List("/a")->size(), 2U);
}

TEST(AuditLogTest, F12_ADiskThatFailsCostsLinesAndNothingElse) {
  MemoryFileSystem disk;
  ManualClock clock;
  ASSERT_TRUE(disk.CreateDirectories("/a").ok());
  AuditLog log(&disk, "/a/audit.log", &clock);
  for (int64_t n = 0; n < 5; ++n) {
    disk.FailOperation(n);
    log.Write("lost", {});
    log.Write("lost", {});
    disk.FailOperation(-1);
    log.Write("kept", {{"n", std::to_string(n)}});
  }
  const std::string text = *ReadFile(&disk, "/a/audit.log", 1 << 20);
  for (int n = 0; n < 5; ++n) {
    EXPECT_THAT(text, ::testing::HasSubstr("\"event\":\"kept\",\"n\":\"" + std::to_string(n)));
  }
}

}  // namespace
}  // namespace shoal
