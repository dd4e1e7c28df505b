#include "proto/join.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/frame_codec.h"
#include "proto/in_process_transport.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCluster[] = "c1";
const std::string kId(16, 'a');
const std::string kSecret(64, 'b');

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

TEST(JoinTokenTest, S05_SurvivesItsText) {
  const JoinToken token{Sha256({}), kId, kSecret};
  const auto parsed = ParseJoinToken(FormatJoinToken(token) + "\n");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->ca_digest, token.ca_digest);
  EXPECT_EQ(parsed->id, kId);
  EXPECT_EQ(parsed->secret, kSecret);
}

TEST(JoinTokenTest, S05_AnythingElseIsRefusedWithoutAnEcho) {
  const std::string good = FormatJoinToken({Sha256({}), kId, kSecret});
  const std::string rest = good.substr(1);
  const std::vector<std::string> wrong = {
      "",
      "1",
      "...",
      absl::StrCat("2", rest),
      absl::StrCat(good, ".a"),
      absl::StrCat(good, "a"),
      good.substr(0, good.size() - 1),
      absl::StrCat(" ", good),
      absl::StrCat("1.", std::string(64, 'A'), ".", kId, ".", kSecret)};
  for (const std::string& text : wrong) {
    const auto parsed = ParseJoinToken(text);
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(parsed.status().message()), Not(HasSubstr("bbbb")));
  }
}

// A coordinator that answers one request to join.
class JoinTest : public testing::Test {
 protected:
  JoinTest() : listener_(*network_.Listen("c", {NodeRole::kCoordinator, std::string(16, '0')})) {}
  ~JoinTest() override {
    if (thread_.joinable()) thread_.join();
  }

  using Answer = std::function<void(const wire::JoinRequest&, wire::ControlReply*)>;
  void Serve(Answer answer) {
    thread_ = std::thread([this, answer = std::move(answer)] {
      listener_->Poll(StreamKind::kControl, Soon(),
                      [&](LinkId from, const NodeIdentity& peer, FrameBuffer frame) {
                        EXPECT_EQ(peer.role, NodeRole::kNone);
                        const auto decoded = DecodeFrame(frame);
                        wire::FrameHeader header;
                        header.mutable_control_reply()->set_id(1);
                        answer(decoded->header.control_request().join(),
                               header.mutable_control_reply());
                        (void)listener_->Send(StreamKind::kControl, from, EncodeFrame(header));
                      });
    });
  }

  absl::StatusOr<Credentials> Join() {
    return JoinCluster(
        {*CertificateDigest(ca_), kId, kSecret}, "c",
        [this](const std::string&, const Sha256Digest& digest,
               absl::Time) -> absl::StatusOr<std::string> {
          if (digest != *CertificateDigest(ca_)) return absl::PermissionDeniedError("other CA");
          return ca_;
        },
        [this](std::shared_ptr<CredentialSource> credentials) {
          EXPECT_EQ(credentials->Get()->ca_pem, ca_);
          EXPECT_EQ(credentials->Get()->certificate_pem, "");
          return network_.NewDialer(NodeIdentity{});
        },
        Ed25519Key::Generate(SystemRandom()), Soon());
  }

  std::string Issue(const Ed25519PublicKey& key) {
    return *IssueLeaf(ca_key_, ca_, key,
                      {IdentityUri(kCluster, {NodeRole::kWorker, std::string(16, '1')}), {}},
                      absl::Now(), absl::Now() + absl::Hours(1), SystemRandom());
  }

  const Ed25519Key ca_key_ = Ed25519Key::Generate(SystemRandom());
  const std::string ca_ =
      *MakeCaCertificate(ca_key_, "CA", absl::Now(), absl::Now() + absl::Hours(1), SystemRandom());
  InProcessNetwork network_;
  std::unique_ptr<Listener> listener_;
  std::thread thread_;
};

TEST_F(JoinTest, S03_TheKeyIsMadeHereAndTheCertificateIsForIt) {
  Serve([this](const wire::JoinRequest& request, wire::ControlReply* reply) {
    EXPECT_EQ(request.token_id(), kId);
    EXPECT_EQ(request.token_secret(), kSecret);
    reply->mutable_join()->set_certificate(Issue(*ReadCsr(request.csr())));
  });
  const auto credentials = Join();
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->cluster_id, kCluster);
  EXPECT_EQ(credentials->ca_pem, ca_);
  EXPECT_EQ(ReadCertificate(credentials->certificate_pem)->public_key,
            Ed25519Key::FromPem(credentials->key_pem)->public_key());
}

TEST_F(JoinTest, TheCoordinatorsReasonIsPassedOn) {
  Serve([](const wire::JoinRequest&, wire::ControlReply* reply) {
    reply->set_code(static_cast<uint32_t>(absl::StatusCode::kPermissionDenied));
    reply->set_message("the token has been used");
  });
  const auto credentials = Join();
  EXPECT_EQ(credentials.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(credentials.status().message()), HasSubstr("has been used"));
}

TEST_F(JoinTest, S05_AnotherCaNeverGetsTheSecret) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const std::string other =
      *MakeCaCertificate(key, "CA", absl::Now(), absl::Now() + absl::Hours(1), SystemRandom());
  bool dialled = false;
  const auto credentials = JoinCluster(
      {*CertificateDigest(other), kId, kSecret}, "c",
      [](const std::string&, const Sha256Digest&, absl::Time) -> absl::StatusOr<std::string> {
        return absl::PermissionDeniedError("other CA");
      },
      [&](std::shared_ptr<CredentialSource>) {
        dialled = true;
        return network_.NewDialer(NodeIdentity{});
      },
      Ed25519Key::Generate(SystemRandom()), Soon());
  EXPECT_EQ(credentials.status(), absl::PermissionDeniedError("other CA"));
  EXPECT_FALSE(dialled);
}

TEST_F(JoinTest, S02_ACertificateOfAnotherAuthorityIsRefused) {
  Serve([](const wire::JoinRequest& request, wire::ControlReply* reply) {
    const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
    const std::string ca =
        *MakeCaCertificate(key, "CA", absl::Now(), absl::Now() + absl::Hours(1), SystemRandom());
    reply->mutable_join()->set_certificate(
        *IssueLeaf(key, ca, *ReadCsr(request.csr()),
                   {IdentityUri(kCluster, {NodeRole::kWorker, std::string(16, '1')}), {}},
                   absl::Now(), absl::Now() + absl::Hours(1), SystemRandom()));
  });
  EXPECT_EQ(Join().status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(JoinTest, ACertificateForAnotherKeyIsRefused) {
  Serve([this](const wire::JoinRequest&, wire::ControlReply* reply) {
    reply->mutable_join()->set_certificate(Issue(ca_key_.public_key()));
  });
  EXPECT_EQ(Join().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace shoal
