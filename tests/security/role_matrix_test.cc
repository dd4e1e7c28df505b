// Who may open which stream, and who gets nowhere: every kind of stream of every listener, every
// role, every thing that can be wrong with a certificate, over real connections (FAILURE-MODEL S01
// to S04).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/certificate.h"
#include "base/clock.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/authorization.h"
#include "proto/grpc_transport.h"
#include "proto/join.h"
#include "tests/support/test_credentials.h"

namespace shoal {
namespace {

constexpr NodeRole kRoles[] = {NodeRole::kCoordinator, NodeRole::kRouter, NodeRole::kWorker,
                               NodeRole::kAdmin};
constexpr Flaw kFlaws[] = {Flaw::kNoCertificate, Flaw::kOtherCa,  Flaw::kOtherCluster,
                           Flaw::kExpired,       Flaw::kTwoNames, Flaw::kCaAsLeaf,
                           Flaw::kOtherUsage};

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

// Echoes on all its kinds of streams, and counts the frames it got.
class EchoNode {
 public:
  EchoNode(const TestCa& ca, NodeRole role, std::vector<StreamKind> kinds)
      : role_(role), kinds_(std::move(kinds)) {
    auto listener = ListenGrpc("127.0.0.1:0", {.transport = {.credentials = ca.Source(role)},
                                               .kinds = kinds_,
                                               .admit_anonymous = role == NodeRole::kCoordinator});
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    for (const StreamKind kind : kinds_) {
      threads_.emplace_back([this, kind] { Echo(kind); });
    }
  }
  ~EchoNode() {
    stop_.store(true);
    for (const StreamKind kind : kinds_) listener_->Wake(kind);
    for (std::thread& thread : threads_) thread.join();
  }
  Endpoint endpoint() const { return {.address = listener_->address(), .role = role_}; }
  int n_frames() const { return n_frames_.load(); }
  NodeRole last_caller() const { return last_caller_.load(); }

 private:
  void Echo(StreamKind kind) {
    while (!stop_.load()) {
      listener_->Poll(kind, Soon(), [&](LinkId from, const NodeIdentity& peer, FrameBuffer frame) {
        n_frames_.fetch_add(1);
        last_caller_.store(peer.role);
        (void)listener_->Send(kind, from, std::move(frame));
      });
    }
  }

  const NodeRole role_;
  const std::vector<StreamKind> kinds_;
  std::unique_ptr<Listener> listener_;
  std::atomic<bool> stop_{false};
  std::atomic<int> n_frames_{0};
  std::atomic<NodeRole> last_caller_{NodeRole::kNone};
  std::vector<std::thread> threads_;
};

class RoleMatrixTest : public testing::Test {
 protected:
  // Whether a frame comes back.
  bool Reaches(std::shared_ptr<CredentialSource> who, const Endpoint& to, StreamKind kind) {
    const auto dialer = NewGrpcDialer({.credentials = std::move(who)});
    const auto link = dialer->Connect(to, kind, Soon());
    if (!link.ok()) return false;
    FrameBuffer frame(1);
    frame.bytes()[0] = std::byte{1};
    if (!dialer->Send(*link, std::move(frame)).ok()) return false;
    const auto event = dialer->Next(Soon());
    EXPECT_TRUE(event.has_value());
    return event.has_value() && event->status.ok();
  }

  const TestCa ca_;
  EchoNode coordinator_{
      ca_, NodeRole::kCoordinator, {StreamKind::kControl, StreamKind::kFetchShard}};
  EchoNode worker_{ca_,
                   NodeRole::kWorker,
                   {StreamKind::kRunExperts, StreamKind::kHealth, StreamKind::kFetchShard}};
};

// The table of FAILURE-MODEL S04 by stream, written out: not derived from the code under test.
struct Row {
  StreamKind kind;
  bool coordinator, router, worker, admin, nobody;
};
constexpr Row kTable[] = {
    {StreamKind::kRunExperts, false, true, false, false, false},
    {StreamKind::kHealth, false, true, false, false, false},
    {StreamKind::kControl, true, true, true, true, true},
    {StreamKind::kFetchShard, true, true, true, false, false},
};

bool Expected(const Row& row, NodeRole role) {
  switch (role) {
    case NodeRole::kCoordinator:
      return row.coordinator;
    case NodeRole::kRouter:
      return row.router;
    case NodeRole::kWorker:
      return row.worker;
    case NodeRole::kAdmin:
      return row.admin;
    case NodeRole::kNone:
      return row.nobody;
  }
  return false;
}

TEST_F(RoleMatrixTest, S04_ARightCertificateOpensWhatItsRoleMay) {
  for (const EchoNode* node : {&coordinator_, &worker_}) {
    for (const Row& row : kTable) {
      const bool served = node == &coordinator_ ? row.kind == StreamKind::kControl ||
                                                      row.kind == StreamKind::kFetchShard
                                                : row.kind != StreamKind::kControl;
      for (const NodeRole role : kRoles) {
        SCOPED_TRACE(testing::Message()
                     << "stream " << static_cast<int>(row.kind) << ", role " << RoleName(role));
        const bool reached = Reaches(ca_.Source(role), node->endpoint(), row.kind);
        EXPECT_EQ(reached, served && Expected(row, role));
        if (reached) {
          EXPECT_EQ(node->last_caller(), role);
        }
      }
    }
  }
}

TEST_F(RoleMatrixTest, S02_WithoutARightCertificateNothingOpens) {
  for (const EchoNode* node : {&coordinator_, &worker_}) {
    for (const Row& row : kTable) {
      for (const NodeRole role : kRoles) {
        for (const Flaw flaw : kFlaws) {
          SCOPED_TRACE(testing::Message() << "stream " << static_cast<int>(row.kind) << ", role "
                                          << RoleName(role) << ", flaw " << static_cast<int>(flaw));
          const int before = node->n_frames();
          // Only the coordinator lets callers in who have none, and only to ask to join.
          const bool may = flaw == Flaw::kNoCertificate && node == &coordinator_ && row.nobody;
          EXPECT_EQ(Reaches(ca_.Source(role, flaw), node->endpoint(), row.kind), may);
          EXPECT_EQ(node->n_frames(), before + (may ? 1 : 0));
          if (may) {
            EXPECT_EQ(node->last_caller(), NodeRole::kNone);
          }
        }
      }
    }
  }
}

TEST_F(RoleMatrixTest, S02_ADialerReachesTheNodeItMeansOrNobody) {
  const auto router = ca_.Source(NodeRole::kRouter);
  Endpoint wrong_role = worker_.endpoint();
  wrong_role.role = NodeRole::kCoordinator;
  EXPECT_FALSE(Reaches(router, wrong_role, StreamKind::kHealth));
  Endpoint wrong_node = worker_.endpoint();
  wrong_node.node_id = "0123456789abcdef";
  EXPECT_FALSE(Reaches(router, wrong_node, StreamKind::kHealth));
  EXPECT_EQ(worker_.n_frames(), 0);
  EXPECT_FALSE(Reaches(TestCa().Source(NodeRole::kRouter), worker_.endpoint(),
                       StreamKind::kHealth));  // Trusts another CA.
}

TEST(MethodTableTest, S04_SaysWhatTheSpecificationSays) {
  // coordinator, router, worker, admin, nobody.
  const std::map<std::string, std::vector<bool>> expected = {
      {"Join", {false, false, false, false, true}},
      {"Renew", {false, true, true, false, true}},
      {"ReportStatus", {false, true, true, false, false}},
      {"Watch", {true, true, true, false, false}},
      {"CreateToken", {false, false, false, true, false}},
      {"ListNodes", {false, false, false, true, false}},
      {"ClusterStatus", {false, false, false, true, false}},
      {"SetModel", {false, false, false, true, false}},
      {"Drain", {false, false, false, true, false}},
      {"Revoke", {false, false, false, true, false}},
      {"RunExperts", {false, true, false, false, false}},
      {"Health", {false, true, false, false, false}},
      {"FetchShard", {true, true, true, false, false}},
  };
  ASSERT_EQ(MethodRules().size(), expected.size());
  for (const MethodRule& rule : MethodRules()) {
    const auto found = expected.find(std::string(rule.name));
    ASSERT_NE(found, expected.end()) << rule.name;
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(MayCall(rule.method, kRoles[i]), found->second[i]) << rule.name << " " << i;
    }
    EXPECT_EQ(MayCall(rule.method, NodeRole::kNone), found->second[4]) << rule.name;
  }
}

// Shakes hands by hand, with that version of TLS only. True if it came about.
bool Handshake(const std::string& address, const Credentials& credentials, int version) {
  const size_t colon = address.rfind(':');
  const int port = std::stoi(address.substr(colon + 1));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  const auto load = [](const std::string& pem) {
    return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  };
  BIO* certificate_bio = load(credentials.certificate_pem);
  X509* certificate = PEM_read_bio_X509(certificate_bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, certificate);
  BIO* key_bio = load(credentials.key_pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_PrivateKey(context, key);
  SSL* ssl = SSL_new(context);
  constexpr unsigned char kAlpn[] = "\x02h2";
  SSL_set_alpn_protos(ssl, kAlpn, 3);
  SSL_set_fd(ssl, fd);
  const bool done = SSL_connect(ssl) == 1;
  SSL_free(ssl);
  SSL_CTX_free(context);
  EVP_PKEY_free(key);
  X509_free(certificate);
  BIO_free(certificate_bio);
  BIO_free(key_bio);
  close(fd);
  ERR_clear_error();
  return done;
}

TEST_F(RoleMatrixTest, S05_TheCoordinatorIsKnownByTheDigestOfItsCa) {
  const Sha256Digest right = *CertificateDigest(ca_.ca_pem());
  const std::string address = coordinator_.endpoint().address;
  const auto fetched = FetchCaCertificate(address, right, MonotonicNow() + absl::Seconds(20));
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(*CertificateDigest(*fetched), right);
}

// Goal: a node that meets another coordinator than its token is for never shows it the secret.
// Method: a listener of another CA, which counts the frames it gets.
TEST_F(RoleMatrixTest, S05_AnotherCaNeverGetsTheSecret) {
  const TestCa other;
  const EchoNode impostor(other, NodeRole::kCoordinator, {StreamKind::kControl});
  const JoinToken token{*CertificateDigest(ca_.ca_pem()), std::string(16, 'a'),
                        std::string(64, 'b')};
  const auto joined = JoinCluster(
      token, impostor.endpoint().address, FetchCaCertificate,
      [](std::shared_ptr<CredentialSource> credentials) {
        return NewGrpcDialer({.credentials = std::move(credentials)});
      },
      Ed25519Key::Generate(SystemRandom()), MonotonicNow() + absl::Seconds(20));
  EXPECT_EQ(joined.status().code(), absl::StatusCode::kPermissionDenied) << joined.status();
  EXPECT_EQ(impostor.n_frames(), 0);
}

TEST_F(RoleMatrixTest, S01_OnlyTls13ShakesHands) {
  const Credentials router = ca_.Issue(NodeRole::kRouter);
  for (const EchoNode* node : {&coordinator_, &worker_}) {
    EXPECT_TRUE(Handshake(node->endpoint().address, router, TLS1_3_VERSION));
    EXPECT_FALSE(Handshake(node->endpoint().address, router, TLS1_2_VERSION));
  }
}

}  // namespace
}  // namespace shoal
