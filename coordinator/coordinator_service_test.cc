#include "coordinator/coordinator_service.h"

#include <set>
#include <string>
#include <vector>

#include "coordinator/cluster_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/authorization.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kOk = static_cast<uint32_t>(absl::StatusCode::kOk);
constexpr auto kDenied = static_cast<uint32_t>(absl::StatusCode::kPermissionDenied);
constexpr auto kInvalid = static_cast<uint32_t>(absl::StatusCode::kInvalidArgument);
constexpr auto kExhausted = static_cast<uint32_t>(absl::StatusCode::kResourceExhausted);
constexpr auto kNotFound = static_cast<uint32_t>(absl::StatusCode::kNotFound);
constexpr auto kRefused = static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition);

Ed25519Key NewKey() { return Ed25519Key::Generate(SystemRandom()); }

class CoordinatorServiceTest : public ::testing::Test {
 protected:
  CoordinatorServiceTest() { Restart(); }
  void Restart() {
    test_.reset();
    auto started = TestCoordinator::Start(&disk_, &clock_);
    SHOAL_CHECK(started.ok());
    test_ = *std::move(started);
  }
  wire::ControlReply Renew(const Caller& caller, const Ed25519Key& key) {
    wire::ControlRequest request;
    request.mutable_renew()->set_csr(*MakeCsr(key));
    return test_->Ask(caller, request);
  }
  wire::ControlReply Revoke(const std::string& node_id) {
    wire::ControlRequest request;
    request.mutable_revoke()->set_node_id(node_id);
    return test_->AskAdmin(request);
  }
  std::string AuditText() {
    return *ReadFile(&disk_, test_->data().CoordinatorPath("audit.log"), 8 << 20);
  }

  MemoryFileSystem disk_;
  ManualClock clock_;
  std::unique_ptr<TestCoordinator> test_;
};

TEST_F(CoordinatorServiceTest, S05_ATokenLetsOneNodeInWithItsRole) {
  const std::string token = test_->MakeToken(wire::ROLE_WORKER);
  const wire::ControlReply reply = test_->Join(token, NewKey());
  ASSERT_EQ(reply.code(), kOk) << reply.message();
  const NodeIdentity node = test_->Named(reply.join().certificate());
  EXPECT_EQ(node.role, NodeRole::kWorker);
  EXPECT_EQ(node.node_id.size(), 16U);
  const wire::ControlReply second = test_->Join(token, NewKey());
  EXPECT_EQ(second.code(), kDenied);
  EXPECT_THAT(second.message(), HasSubstr("used up"));
  EXPECT_FALSE(second.has_join());
}

TEST_F(CoordinatorServiceTest, S03_ALeafIsBackdatedAndLastsAWeek) {
  const wire::ControlReply reply = test_->Join(test_->MakeToken(wire::ROLE_ROUTER), NewKey());
  const auto facts = ReadCertificate(reply.join().certificate());
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->not_before, clock_.WallNow() - absl::Minutes(5));
  EXPECT_EQ(facts->not_after, clock_.WallNow() + absl::Hours(7 * 24));
  EXPECT_FALSE(facts->is_ca);
  const NodeIdentity node = test_->Named(reply.join().certificate());
  EXPECT_THAT(facts->dns_names, ElementsAre("router.shoal", node.node_id + ".router.shoal"));
}

TEST_F(CoordinatorServiceTest, S05_ATokenIsNotGoodForEver) {
  const std::string token = test_->MakeToken(wire::ROLE_WORKER, 5, /*ttl_s=*/60);
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(test_->Join(token, NewKey()).code(), kOk);
  clock_.Advance(absl::Seconds(1));
  const wire::ControlReply late = test_->Join(token, NewKey());
  EXPECT_EQ(late.code(), kDenied);
  EXPECT_THAT(late.message(), HasSubstr("expired"));
  test_->Run(&clock_, absl::Minutes(1));
  clock_.Advance(absl::Hours(1));
  test_->Run(&clock_, absl::Seconds(1));
  EXPECT_TRUE(test_->cluster().state().tokens().empty());
}

TEST_F(CoordinatorServiceTest, S05_WrongSecretsAndUnknownTokensLookTheSame) {
  const JoinToken token = *ParseJoinToken(test_->MakeToken(wire::ROLE_WORKER));
  JoinToken wrong = token;
  wrong.secret[0] = wrong.secret[0] == '0' ? '1' : '0';
  JoinToken unknown = token;
  unknown.id = "0123456789abcdef";
  const wire::ControlReply a = test_->Join(FormatJoinToken(wrong), NewKey());
  const wire::ControlReply b = test_->Join(FormatJoinToken(unknown), NewKey());
  EXPECT_EQ(a.code(), kDenied);
  EXPECT_EQ(a.SerializeAsString(), b.SerializeAsString());
  EXPECT_EQ(test_->Join(FormatJoinToken(token), NewKey()).code(), kOk) << "no use was lost";
}

TEST_F(CoordinatorServiceTest, S05_FiveTriesASecondPerLink) {
  JoinToken token = *ParseJoinToken(test_->MakeToken(wire::ROLE_WORKER));
  const std::string right = FormatJoinToken(token);
  token.id = "0123456789abcdef";
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(test_->Join(FormatJoinToken(token), NewKey(), 77).code(), kDenied);
  }
  EXPECT_EQ(test_->Join(right, NewKey(), 77).code(), kExhausted);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(test_->Join(right, NewKey(), 77).code(), kOk);
}

TEST_F(CoordinatorServiceTest, TheSameKeyIsTheSameNode) {
  const Ed25519Key key = NewKey();
  const std::string token = test_->MakeToken(wire::ROLE_WORKER, /*uses=*/2);
  const auto first = test_->Join(token, key);
  const auto again = test_->Join(token, key);  // The answer was lost on its way.
  ASSERT_EQ(again.code(), kOk);
  EXPECT_EQ(test_->Named(first.join().certificate()), test_->Named(again.join().certificate()));
  EXPECT_EQ(test_->Join(token, NewKey()).code(), kOk) << "that cost no second use";
  EXPECT_EQ(test_->Join(test_->MakeToken(wire::ROLE_ROUTER), key).code(), kDenied)
      << "a worker's key never becomes a router's";
}

TEST_F(CoordinatorServiceTest, AUseIsGoneBeforeTheCertificateLeaves) {
  const std::string token = test_->MakeToken(wire::ROLE_WORKER);
  bool joined = false;
  for (int64_t n = 0; !joined; ++n) {
    ASSERT_LT(n, 100);
    disk_.FailOperation(n);
    const wire::ControlReply reply = test_->Join(token, NewKey(), 100 + n);
    joined = reply.code() == kOk;
    EXPECT_EQ(reply.has_join(), joined);
    disk_.FailOperation(-1);
    if (joined) break;
    EXPECT_EQ(test_->cluster().state().n_members(), 0);
  }
  disk_.PowerCut();
  Restart();
  EXPECT_EQ(test_->cluster().state().n_members(), 1);
  EXPECT_EQ(test_->Join(token, NewKey()).code(), kDenied);
}

TEST_F(CoordinatorServiceTest, S03_AnExpiredCertificatesKeyRenews) {
  const Ed25519Key key = NewKey();
  const auto joined = test_->Join(test_->MakeToken(wire::ROLE_WORKER), key);
  const NodeIdentity node = test_->Named(joined.join().certificate());
  clock_.Advance(absl::Hours(24 * 30));
  const auto renewed = Renew({{}, 5}, key);  // Without a certificate.
  ASSERT_EQ(renewed.code(), kOk) << renewed.message();
  EXPECT_EQ(test_->Named(renewed.renew().certificate()), node);
  EXPECT_EQ(Renew({node, 6}, key).code(), kOk);
  EXPECT_EQ(Renew({{}, 7}, NewKey()).code(), kDenied);
  const Caller other = test_->JoinNew(wire::ROLE_WORKER);
  EXPECT_EQ(Renew(other, key).code(), kDenied) << "with a certificate, for oneself only";
}

TEST_F(CoordinatorServiceTest, RevokedNodesAreDeniedEverything) {
  const Ed25519Key key = NewKey();
  const std::string token = test_->MakeToken(wire::ROLE_WORKER, 2);
  const auto joined = test_->Join(token, key);
  const Caller worker{test_->Named(joined.join().certificate()), 9};
  ASSERT_EQ(test_->Report(worker, 1 << 20, 10).code(), kOk);
  const uint64_t before = test_->epoch();
  ASSERT_EQ(Revoke(worker.identity.node_id).code(), kOk);
  EXPECT_EQ(test_->epoch(), before + 1);
  EXPECT_TRUE(test_->cluster().snapshot()->IsRevoked(worker.identity.node_id));
  EXPECT_EQ(test_->Report(worker, 1 << 20, 10).code(), kDenied);
  EXPECT_EQ(test_->Watch(worker).code(), kDenied);
  EXPECT_EQ(Renew(worker, key).code(), kDenied);
  EXPECT_EQ(Renew({{}, 10}, key).code(), kDenied);
  EXPECT_EQ(test_->Join(token, key, 11).code(), kDenied);
  EXPECT_EQ(Revoke("0123456789abcdef").code(), kNotFound);
  EXPECT_THAT(AuditText(), HasSubstr("\"event\":\"revoked\""));
}

TEST_F(CoordinatorServiceTest, S04_EveryRoleMayAskWhatTheTableSays) {
  const Caller worker = test_->JoinNew(wire::ROLE_WORKER);
  const Caller router = test_->JoinNew(wire::ROLE_ROUTER);
  const std::vector<Caller> callers = {{{}, 501},
                                       {test_->authority().coordinator(), 502},
                                       router,
                                       worker,
                                       {test_->authority().admin(), 505}};
  const std::vector<std::pair<Method, std::function<void(wire::ControlRequest*)>>> requests = {
      {Method::kJoin, [](auto* r) { r->mutable_join(); }},
      {Method::kRenew, [](auto* r) { r->mutable_renew(); }},
      {Method::kReportStatus, [](auto* r) { r->mutable_report_status(); }},
      {Method::kWatch, [](auto* r) { r->mutable_watch(); }},
      {Method::kCreateToken, [](auto* r) { r->mutable_create_token(); }},
      {Method::kListNodes, [](auto* r) { r->mutable_list_nodes(); }},
      {Method::kClusterStatus, [](auto* r) { r->mutable_cluster_status(); }},
      {Method::kSetModel, [](auto* r) { r->mutable_set_model(); }},
      {Method::kDrain, [](auto* r) { r->mutable_drain(); }},
      {Method::kRevoke, [](auto* r) { r->mutable_revoke(); }}};
  for (const auto& [method, fill] : requests) {
    for (const Caller& caller : callers) {
      wire::ControlRequest request;
      request.set_id(31);
      fill(&request);
      const wire::ControlReply reply = test_->Ask(caller, request);
      // An empty Join is refused for its token, which the table knows nothing of.
      const bool let_in = method == Method::kJoin
                              ? reply.message().find("token") != std::string::npos
                              : reply.code() != kDenied;
      EXPECT_EQ(let_in, MayCall(method, caller.identity.role))
          << static_cast<int>(method) << " by " << RoleName(caller.identity.role) << ": "
          << reply.message();
      EXPECT_EQ(reply.id(), 31U);
    }
  }
}

TEST_F(CoordinatorServiceTest, ACertificateForAnUnknownNodeIsNotEnough) {
  const Caller stranger{{NodeRole::kWorker, "0123456789abcdef"}, 3};
  EXPECT_EQ(test_->Report(test_->JoinNew(wire::ROLE_WORKER), 1, 1).code(), kOk);
  wire::ControlRequest request;
  request.mutable_watch();
  const wire::ControlReply reply = test_->Ask(stranger, request);
  EXPECT_EQ(reply.code(), kDenied);
  EXPECT_THAT(reply.message(), HasSubstr("join again"));
  Caller worker = test_->JoinNew(wire::ROLE_WORKER);
  worker.identity.role = NodeRole::kRouter;
  EXPECT_EQ(test_->Watch(worker).code(), kDenied) << "the role has to be the node's";
}

TEST_F(CoordinatorServiceTest, WatchersGetWhatIsNewAtOnceAndThenEachChange) {
  const Caller router = test_->JoinNew(wire::ROLE_ROUTER);
  ASSERT_EQ(test_->Watch(router, test_->epoch()).code(), kOk);
  EXPECT_THAT(test_->pushed(router.link), IsEmpty()) << "it knows this epoch already";
  const Caller late = test_->JoinNew(wire::ROLE_ROUTER);
  ASSERT_EQ(test_->pushed(router.link).size(), 1U);
  EXPECT_NE(test_->pushed(router.link).back().Find(late.identity.node_id), nullptr);
  ASSERT_EQ(test_->Watch(late).code(), kOk);
  ASSERT_EQ(test_->pushed(late.link).size(), 1U);
  EXPECT_EQ(test_->pushed(late.link).back().epoch, test_->epoch());
  test_->Cut(late.link);
  test_->JoinNew(wire::ROLE_ROUTER);
  EXPECT_EQ(test_->pushed(late.link).size(), 1U);
  EXPECT_EQ(test_->pushed(router.link).size(), 2U);
}

TEST_F(CoordinatorServiceTest, ReportsOutOfRangeAreRefusedByName) {
  const Caller worker = test_->JoinNew(wire::ROLE_WORKER);
  const auto refuse = [&](const std::function<void(wire::ReportStatusRequest*)>& change) {
    wire::ControlRequest request;
    wire::ReportStatusRequest* report = request.mutable_report_status();
    report->set_peer_address("127.0.0.1:7001");
    change(report);
    const wire::ControlReply reply = test_->Ask(worker, request);
    EXPECT_EQ(reply.code(), kInvalid);
    return reply.message();
  };
  EXPECT_THAT(refuse([](auto* r) { r->set_peer_address("nowhere"); }), HasSubstr("peer_address"));
  EXPECT_THAT(refuse([](auto* r) { r->set_read_gb_per_s(-1); }), HasSubstr("read_gb_per_s"));
  EXPECT_THAT(refuse([](auto* r) { r->set_read_gb_per_s(std::nan("")); }),
              HasSubstr("read_gb_per_s"));
  EXPECT_THAT(refuse([](auto* r) { r->set_memory_bytes(~uint64_t{0}); }),
              HasSubstr("memory_bytes"));
  EXPECT_THAT(refuse([](auto* r) {
                for (int i = 0; i < 257; ++i) r->add_peers();
              }),
              HasSubstr("peers"));
  test_->SetModel(test_->AddModel(2, 3));
  EXPECT_THAT(refuse([&](auto* r) {
                r->set_model_id(DigestBytes(test_->cluster().state().model()->id));
                r->set_resident("far too many bytes");
              }),
              HasSubstr("bytes"));
}

TEST_F(CoordinatorServiceTest, AModelHasToBeThereAndSignedByTheImportKey) {
  EXPECT_EQ(test_->SetModel(Sha256Digest{}).code(), kNotFound);
  const std::string bytes = EncodeManifest(MakeTestModel(2, 4).manifest);
  ASSERT_TRUE(test_->data().WriteModel(SignManifest(bytes, NewKey())).ok());
  const wire::ControlReply foreign = test_->SetModel(ModelId(bytes));
  EXPECT_EQ(foreign.code(), kRefused);
  EXPECT_THAT(foreign.message(), HasSubstr("another key"));
  EXPECT_EQ(test_->SetModel(test_->AddModel(2, 3)).code(), kOk);
  EXPECT_EQ(test_->cluster().snapshot()->n_experts, 3);
}

TEST_F(CoordinatorServiceTest, I9_ARestartKeepsEverythingAndItsEpochIsNewer) {
  const Caller worker = test_->JoinNew(wire::ROLE_WORKER);
  const Caller router = test_->JoinNew(wire::ROLE_ROUTER);
  const std::string token = test_->MakeToken(wire::ROLE_WORKER);
  test_->SetModel(test_->AddModel(2, 3), 1);
  test_->Report(worker, 1 << 20, 10);
  test_->Run(&clock_, absl::Seconds(1));
  const uint64_t epoch = test_->epoch();
  const std::string cluster_id = test_->authority().cluster_id();
  const ExpertSet assigned = test_->Assigned(worker);
  EXPECT_EQ(assigned.size(), 6);

  Restart();
  EXPECT_GT(test_->epoch(), epoch);
  EXPECT_EQ(test_->authority().cluster_id(), cluster_id);
  EXPECT_EQ(test_->Assigned(worker), assigned);
  EXPECT_EQ(test_->cluster().snapshot()->members.size(), 2U);
  EXPECT_EQ(test_->Watch(router).code(), kOk);
  EXPECT_EQ(test_->Join(token, NewKey()).code(), kOk) << "tokens survive";
  test_->Report(worker, 1 << 20, 10);
  test_->Run(&clock_, absl::Seconds(2));
  EXPECT_EQ(test_->Assigned(worker), assigned) << "nothing moves because of a restart";
}

TEST_F(CoordinatorServiceTest, I9_ACoordinatorThatWasReplacedStopsActing) {
  const Caller router = test_->JoinNew(wire::ROLE_ROUTER);
  FileStore usurper(&disk_, test_->data().CoordinatorPath("state.log"));
  ASSERT_TRUE(usurper.Claim().ok());
  const uint64_t epoch = test_->epoch();
  wire::ControlRequest request;
  request.mutable_create_token()->set_role(wire::ROLE_WORKER);
  request.mutable_create_token()->set_uses(1);
  request.mutable_create_token()->set_ttl_s(60);
  EXPECT_EQ(test_->AskAdmin(request).code(), kRefused);
  EXPECT_EQ(test_->epoch(), epoch);
  EXPECT_EQ(test_->Watch(router).code(), static_cast<uint32_t>(absl::StatusCode::kUnavailable));
}

TEST_F(CoordinatorServiceTest, ALongLogIsCompacted) {
  const std::string path = test_->data().CoordinatorPath("state.log");
  const Ed25519Key key = NewKey();
  test_->Join(test_->MakeToken(wire::ROLE_WORKER), key);
  const NodeIdentity node = test_->cluster().state().nodes().begin()->second.identity;
  uint64_t largest = 0;
  bool shrank = false;
  for (int i = 0; i < 60000 && !shrank; ++i) {
    ASSERT_TRUE(test_->cluster().Commit({NodeRenewed{node.node_id, clock_.WallNow()}}).ok());
    if (i % 1000 != 0) continue;
    const uint64_t size = (*disk_.Open(path))->size();
    shrank = size < largest;
    largest = std::max(largest, size);
  }
  EXPECT_TRUE(shrank);
  EXPECT_LT(largest, 2U << 20);
  Restart();
  EXPECT_EQ(test_->cluster().state().nodes().begin()->second.identity, node);
}

TEST_F(CoordinatorServiceTest, TheSnapshotIsRenewedOnceADay) {
  const uint64_t epoch = test_->epoch();
  test_->Run(&clock_, absl::Seconds(1));
  EXPECT_EQ(test_->epoch(), epoch);
  clock_.Advance(absl::Hours(24));
  test_->Run(&clock_, absl::Seconds(1));
  EXPECT_EQ(test_->epoch(), epoch + 1);
  EXPECT_GT(test_->cluster().snapshot()->issued, clock_.WallNow() - absl::Minutes(1));
}

TEST_F(CoordinatorServiceTest, DenialsAreAuditedButAFloodIsNot) {
  const Caller stranger{{NodeRole::kWorker, "0123456789abcdef"}, 3};
  for (int i = 0; i < 1000; ++i) test_->Watch(stranger);
  const std::string text = AuditText();
  size_t n = 0;
  for (size_t at = text.find("denied"); at != std::string::npos; at = text.find("denied", at + 1)) {
    ++n;
  }
  EXPECT_EQ(n, 10U);
}

TEST_F(CoordinatorServiceTest, WhatIsNoRequestIsAnsweredAndDoesNothing) {
  wire::FrameHeader header;
  header.mutable_run_experts_request();
  EXPECT_EQ(test_->AskRaw({{}, 1}, EncodeFrame(header)).code(), kInvalid);
  EXPECT_EQ(test_->AskRaw({{}, 1}, FrameBuffer(7)).code(), kInvalid);
  EXPECT_NE(test_->AskRaw({{}, 1}, EncodeFrame(wire::FrameHeader())).code(), kOk);
  EXPECT_NE(test_->AskAdmin(wire::ControlRequest()).code(), kOk);
}

}  // namespace
}  // namespace shoal
