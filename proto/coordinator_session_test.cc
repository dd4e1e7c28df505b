#include "proto/coordinator_session.h"

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/certificate.h"
#include "base/clock_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/cluster_testing.h"
#include "proto/in_process_transport.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;

const NodeIdentity kSelf{NodeRole::kWorker, TestNodeId(2)};
const NodeIdentity kCoordinator{NodeRole::kCoordinator, TestNodeId(0xC0)};
constexpr char kAddress[] = "coordinator:1";

// A coordinator by script: it remembers what it was asked, and answers as it is told.
class FakeCoordinator {
 public:
  explicit FakeCoordinator(InProcessNetwork* network) : network_(network) {}

  void ComeUp() { listener_ = *network_->Listen(kAddress, kCoordinator); }
  void GoDown() { listener_.reset(); }

  // Answers everything that has come; what it was asked is in `asked`, who asked in `callers`.
  void Serve() {
    const auto take = [&](LinkId from, const NodeIdentity& peer, FrameBuffer buffer) {
      const auto frame = DecodeFrame(buffer);
      ASSERT_TRUE(frame.ok());
      const wire::ControlRequest& request = frame->header.control_request();
      asked.push_back(request);
      callers.push_back(peer);
      link_ = from;
      if (silent) return;
      wire::FrameHeader header;
      wire::ControlReply& reply = *header.mutable_control_reply();
      reply.set_id(request.id());
      reply.set_code(static_cast<uint32_t>(refusal));
      if (request.has_renew())
        reply.mutable_renew()->set_certificate(certify(request.renew().csr()));
      Send(EncodeFrame(header));
    };
    while (listener_ != nullptr && listener_->Poll(StreamKind::kControl, MonotonicNow(), take)) {
    }
  }
  void Send(FrameBuffer frame) {
    EXPECT_TRUE(listener_->Send(StreamKind::kControl, link_, std::move(frame)).ok());
  }
  void SendSnapshot(std::string_view bytes) {
    wire::FrameHeader header;
    header.mutable_snapshot_update();
    FrameWriter writer(header, bytes.size());
    std::memcpy(writer.payload().data(), bytes.data(), bytes.size());
    Send(std::move(writer).Finish());
  }
  std::vector<wire::ReportStatusRequest> Reports() const {
    std::vector<wire::ReportStatusRequest> reports;
    for (const auto& request : asked) {
      if (request.has_report_status()) reports.push_back(request.report_status());
    }
    return reports;
  }
  int CountRenewals() const {
    int n = 0;
    for (const auto& request : asked) n += request.has_renew() ? 1 : 0;
    return n;
  }

  std::vector<wire::ControlRequest> asked;
  std::vector<NodeIdentity> callers;
  bool silent = false;
  absl::StatusCode refusal = absl::StatusCode::kOk;
  std::function<std::string(const std::string& csr)> certify;

 private:
  InProcessNetwork* const network_;
  std::unique_ptr<Listener> listener_;
  LinkId link_ = 0;
};

class CoordinatorSessionTest : public testing::Test {
 protected:
  CoordinatorSessionTest() {
    std::string path = testing::TempDir() + "/session_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    store_.emplace(MachineFileSystem(), folder_ + "/node");
    report_.peer_address = "127.0.0.1:7002";
    report_.memory_bytes = 1000;
    UseCertificate(TestAuthority::kStart - absl::Minutes(5),
                   TestAuthority::kStart + absl::Hours(7 * 24));
    coordinator_.certify = [this](const std::string& csr) {
      return ca_.Sign(csr, kSelf, clock_.WallNow() - absl::Minutes(5),
                      clock_.WallNow() + absl::Hours(7 * 24));
    };
  }
  ~CoordinatorSessionTest() override { std::filesystem::remove_all(folder_); }

  void UseCertificate(absl::Time from, absl::Time until) {
    credentials_ = std::make_shared<CredentialSource>(ca_.Issue(kSelf, from, until));
  }
  void StartSession() {
    session_.emplace(CoordinatorClient::Options{
        .address = kAddress,
        .credentials = credentials_,
        .new_dialer =
            [this](std::shared_ptr<CredentialSource> source) {
              const bool anonymous = source->Get()->certificate_pem.empty();
              return network_.NewDialer(anonymous ? NodeIdentity{} : kSelf);
            },
        .store = &*store_,
        .clock = &clock_,
        .random = SystemRandom(),
        .on_snapshot =
            [this](std::shared_ptr<const Snapshot> next) {
              epochs_.push_back(next->epoch);
              // It is on disk before anybody acts on it.
              const auto kept = store_->ReadSnapshot(*credentials_->Get());
              stored_epochs_.push_back(kept.ok() && kept->has_value() ? (*kept)->epoch : 0);
            }});
    session_->Start();
  }
  // Both sides, until nothing is left to do at this point in time.
  void Settle() {
    for (int i = 0; i < 6; ++i) {
      session_->Poll(has_report_ ? &report_ : nullptr);
      coordinator_.Serve();
    }
    session_->Poll(has_report_ ? &report_ : nullptr);
  }
  // Time goes by in steps of the poll period.
  void Live(absl::Duration time) {
    for (absl::Duration gone; gone < time; gone += CoordinatorSession::kPollPeriod) {
      clock_.Advance(CoordinatorSession::kPollPeriod);
      session_->Poll(has_report_ ? &report_ : nullptr);
      coordinator_.Serve();
    }
    Settle();
  }
  void StartConnected() {
    coordinator_.ComeUp();
    StartSession();
    Settle();
    ASSERT_TRUE(session_->connected());
  }
  std::string SnapshotBytes(uint64_t epoch) const {
    return SignSnapshot(MakeTestSnapshot(ca_.cluster_id(), epoch), ca_.key());
  }

  const TestAuthority ca_;
  ManualClock clock_;
  InProcessNetwork network_;
  FakeCoordinator coordinator_{&network_};
  std::string folder_;
  std::optional<NodeStore> store_;
  std::shared_ptr<CredentialSource> credentials_;
  NodeReport report_;
  bool has_report_ = true;
  std::vector<uint64_t> epochs_;
  std::vector<uint64_t> stored_epochs_;
  std::optional<CoordinatorSession> session_;
};

TEST_F(CoordinatorSessionTest, WatchesFromWhatItKnowsAndReports) {
  ASSERT_TRUE(store_->WriteSnapshot(SnapshotBytes(4), *credentials_->Get()).ok());
  StartConnected();
  ASSERT_GE(coordinator_.asked.size(), 2U);
  EXPECT_EQ(coordinator_.asked[0].watch().known_epoch(), 4U);
  ASSERT_EQ(coordinator_.Reports().size(), 1U);
  EXPECT_EQ(coordinator_.Reports()[0].peer_address(), "127.0.0.1:7002");
  EXPECT_EQ(coordinator_.Reports()[0].epoch(), 4U);
}

TEST_F(CoordinatorSessionTest, NewerSnapshotsAreOnDiskBeforeTheyAreHandedOut) {
  StartConnected();
  for (const uint64_t epoch : {1, 2, 9}) {
    coordinator_.SendSnapshot(SnapshotBytes(epoch));
    Settle();
  }
  EXPECT_THAT(epochs_, ElementsAre(1, 2, 9));
  EXPECT_THAT(stored_epochs_, ElementsAre(1, 2, 9));
  EXPECT_EQ(coordinator_.Reports().back().epoch(), 9U);  // Said at once.
}

TEST_F(CoordinatorSessionTest, I9_OlderEpochsAreRefusedAndCounted) {
  StartConnected();
  coordinator_.SendSnapshot(SnapshotBytes(5));
  coordinator_.SendSnapshot(SnapshotBytes(4));
  coordinator_.SendSnapshot(SnapshotBytes(5));
  Settle();
  EXPECT_THAT(epochs_, ElementsAre(5));
  EXPECT_EQ(session_->counters().stale_snapshots, 2U);
}

TEST_F(CoordinatorSessionTest, BadSignaturesAreRefusedAndCounted) {
  StartConnected();
  const TestAuthority other;
  coordinator_.SendSnapshot(SignSnapshot(MakeTestSnapshot("c1", 9), other.key()));
  coordinator_.SendSnapshot(SignSnapshot(MakeTestSnapshot("c2", 9), ca_.key()));
  coordinator_.SendSnapshot("not a snapshot");
  Settle();
  EXPECT_THAT(epochs_, ElementsAre());
  EXPECT_EQ(session_->counters().refused_snapshots, 3U);
  EXPECT_TRUE(session_->connected());
}

TEST_F(CoordinatorSessionTest, F16_StartsFromDiskWithTheCoordinatorDown) {
  ASSERT_TRUE(store_->WriteSnapshot(SnapshotBytes(4), *credentials_->Get()).ok());
  StartSession();
  EXPECT_THAT(epochs_, ElementsAre(4));
  Live(absl::Minutes(1));
  EXPECT_FALSE(session_->connected());
  EXPECT_EQ(session_->snapshot()->epoch, 4U);
  coordinator_.ComeUp();
  Live(absl::Seconds(3));
  EXPECT_TRUE(session_->connected());
}

TEST_F(CoordinatorSessionTest, ASnapshotOlderThanSevenDaysWaitsForTheCoordinator) {
  ASSERT_TRUE(store_->WriteSnapshot(SnapshotBytes(4), *credentials_->Get()).ok());
  clock_.Advance(absl::Hours(7 * 24 + 1));
  StartSession();
  EXPECT_THAT(epochs_, ElementsAre());
}

TEST_F(CoordinatorSessionTest, ABoxThatBootsIn1970UsesItsSnapshot) {
  ASSERT_TRUE(store_->WriteSnapshot(SnapshotBytes(4), *credentials_->Get()).ok());
  clock_.SetWall(absl::UnixEpoch());
  StartSession();
  EXPECT_THAT(epochs_, ElementsAre(4));
}

TEST_F(CoordinatorSessionTest, ReportsEveryThreeSecondsAndAtOnceWhenSomethingChanged) {
  StartConnected();
  Live(absl::Milliseconds(2900));
  EXPECT_EQ(coordinator_.Reports().size(), 1U);
  Live(absl::Milliseconds(200));
  EXPECT_EQ(coordinator_.Reports().size(), 2U);
  report_.draining = true;
  Settle();
  ASSERT_EQ(coordinator_.Reports().size(), 3U);
  EXPECT_TRUE(coordinator_.Reports().back().draining());
  Settle();
  EXPECT_EQ(coordinator_.Reports().size(), 3U);
}

// Goal: a report that was under way when the line broke is made again.
TEST_F(CoordinatorSessionTest, NoReportIsLostWithTheLine) {
  StartConnected();
  coordinator_.silent = true;
  report_.memory_bytes = 2000;
  session_->Poll(&report_);
  coordinator_.Serve();  // Heard, not answered: the node cannot know.
  coordinator_.GoDown();
  Live(absl::Seconds(1));
  EXPECT_FALSE(session_->connected());
  coordinator_.asked.clear();
  coordinator_.silent = false;
  coordinator_.ComeUp();
  Live(absl::Seconds(3));
  ASSERT_GE(coordinator_.Reports().size(), 1U);
  EXPECT_EQ(coordinator_.Reports()[0].memory_bytes(), 2000U);
  EXPECT_EQ(session_->counters().connections, 2U);
}

TEST_F(CoordinatorSessionTest, ASilentCoordinatorIsGivenUpAndDialledAgain) {
  StartConnected();
  coordinator_.silent = true;
  Live(absl::Seconds(20));
  coordinator_.silent = false;
  Live(absl::Seconds(5));
  EXPECT_TRUE(session_->connected());
  EXPECT_GE(session_->counters().connections, 2U);
}

TEST_F(CoordinatorSessionTest, WaitsBetweenAttempts100MsTo2S) {
  StartSession();
  // Nobody is there: attempts by attempts, the dialer says so at once.
  Live(absl::Minutes(1));
  coordinator_.ComeUp();
  absl::Duration waited;
  while (!session_->connected() && waited < absl::Seconds(10)) {
    Live(absl::Milliseconds(25));
    waited += absl::Milliseconds(25);
  }
  EXPECT_LE(waited, absl::Seconds(2) + absl::Milliseconds(50));
}

// Goal: replies that are late, double or to nothing change nothing.
TEST_F(CoordinatorSessionTest, F23_UnexpectedRepliesAreDroppedAndCounted) {
  StartConnected();
  const uint64_t reports = session_->counters().reports;
  wire::FrameHeader header;
  header.mutable_control_reply()->set_id(coordinator_.asked[0].id());
  coordinator_.Send(EncodeFrame(header));
  header.mutable_control_reply()->set_id(999);
  header.mutable_control_reply()->mutable_renew()->set_certificate("mine");
  coordinator_.Send(EncodeFrame(header));
  Settle();
  EXPECT_EQ(session_->counters().unexpected_frames, 2U);
  EXPECT_EQ(session_->counters().reports, reports);
  EXPECT_EQ(session_->counters().renewals, 0U);
  EXPECT_TRUE(session_->connected());
}

// --- Certificates.

TEST_F(CoordinatorSessionTest, RenewsFromHalfOfTheLifeOn) {
  StartConnected();
  const std::string before = credentials_->Get()->certificate_pem;
  clock_.Advance(absl::Hours(7 * 24) * 0.49);
  Live(absl::Seconds(6));
  EXPECT_EQ(coordinator_.CountRenewals(), 0);
  clock_.Advance(absl::Hours(7 * 24) * 0.12);
  Live(absl::Seconds(10));  // The line may have to be opened anew.
  EXPECT_EQ(coordinator_.CountRenewals(), 1);
  EXPECT_EQ(session_->counters().renewals, 1U);
  EXPECT_NE(credentials_->Get()->certificate_pem, before);
  EXPECT_EQ((*store_->ReadCredentials())->certificate_pem, credentials_->Get()->certificate_pem);
  Live(absl::Minutes(5));
  EXPECT_EQ(coordinator_.CountRenewals(), 1);
}

TEST_F(CoordinatorSessionTest, AnExpiredCertificateIsRenewedWithoutOne) {
  clock_.Advance(absl::Hours(8 * 24));
  StartSession();
  coordinator_.ComeUp();
  Live(absl::Seconds(3));
  ASSERT_GE(coordinator_.asked.size(), 2U);
  EXPECT_TRUE(coordinator_.asked[0].has_renew());
  EXPECT_EQ(coordinator_.callers[0].role, NodeRole::kNone);
  EXPECT_TRUE(coordinator_.asked[1].has_watch());
  EXPECT_EQ(coordinator_.callers[1], kSelf);
  EXPECT_TRUE(session_->connected());
  EXPECT_GT(ReadCertificate(credentials_->Get()->certificate_pem)->not_after, clock_.WallNow());
}

TEST_F(CoordinatorSessionTest, ACertificateForAnotherKeyOrNodeIsRefused) {
  clock_.Advance(absl::Hours(8 * 24));
  const std::string before = credentials_->Get()->certificate_pem;
  const absl::Time until = clock_.WallNow() + absl::Hours(24);
  const std::string other_key = ca_.Issue(kSelf, clock_.WallNow(), until).certificate_pem;
  StartSession();
  coordinator_.ComeUp();
  coordinator_.certify = [&](const std::string&) { return other_key; };
  Live(absl::Seconds(2));
  coordinator_.certify = [&](const std::string& csr) {
    return ca_.Sign(csr, {NodeRole::kRouter, TestNodeId(2)}, clock_.WallNow(), until);
  };
  Live(absl::Seconds(4));
  coordinator_.certify = [&](const std::string&) { return "junk"; };
  Live(absl::Seconds(4));
  EXPECT_GE(coordinator_.CountRenewals(), 3);
  EXPECT_EQ(credentials_->Get()->certificate_pem, before);
  EXPECT_EQ(session_->counters().renewals, 0U);
}

TEST_F(CoordinatorSessionTest, ARefusedRenewalIsTriedAgainAMinuteLaterAndTheLineStays) {
  StartConnected();
  coordinator_.certify = [](const std::string&) { return "junk"; };
  clock_.Advance(absl::Hours(7 * 24) * 0.65);
  Live(absl::Seconds(15));
  EXPECT_EQ(coordinator_.CountRenewals(), 1);
  EXPECT_TRUE(session_->connected());
  Live(absl::Seconds(90));
  EXPECT_GE(coordinator_.CountRenewals(), 2);
  EXPECT_LE(coordinator_.CountRenewals(), 4);
}

}  // namespace
}  // namespace shoal
