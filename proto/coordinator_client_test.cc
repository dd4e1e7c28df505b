#include "proto/coordinator_client.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "proto/cluster_testing.h"
#include "proto/frame_codec.h"
#include "proto/in_process_transport.h"

namespace shoal {
namespace {

// Goal: with its thread and real time: a snapshot arrives, a report that was set is sent without
// waiting for the next period, and an end comes at once.
TEST(CoordinatorClientTest, FollowsAndReportsOnItsOwnThread) {
  std::string folder = testing::TempDir() + "/client_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const TestAuthority ca("c1", absl::Now());
  const NodeIdentity self{NodeRole::kWorker, TestNodeId(2)};
  InProcessNetwork network;
  const auto listener =
      *network.Listen("coordinator:1", {NodeRole::kCoordinator, TestNodeId(0xC0)});
  NodeStore store(MachineFileSystem(), folder);
  Snapshot snapshot = MakeTestSnapshot("c1", 3);
  std::atomic<uint64_t> handed_out{0};
  const auto client = CoordinatorClient::Start(
      {.address = "coordinator:1",
       .credentials = std::make_shared<CredentialSource>(
           ca.Issue(self, absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(24))),
       .new_dialer = [&](const auto& /*source*/) { return network.NewDialer(self); },
       .store = &store,
       .clock = SystemClock(),
       .random = SystemRandom(),
       .on_snapshot = [&](std::shared_ptr<const Snapshot> next) { handed_out = next->epoch; }});
  NodeReport report;
  report.peer_address = "127.0.0.1:7002";
  client->SetReport(report);

  bool reported = false;
  const auto answer = [&](LinkId from, const NodeIdentity& peer, FrameBuffer buffer) {
    EXPECT_EQ(peer, self);
    const auto frame = DecodeFrame(buffer);
    ASSERT_TRUE(frame.ok());
    const wire::ControlRequest& request = frame->header.control_request();
    wire::FrameHeader header;
    header.mutable_control_reply()->set_id(request.id());
    EXPECT_TRUE(listener->Send(StreamKind::kControl, from, EncodeFrame(header)).ok());
    reported |= request.report_status().peer_address() == "127.0.0.1:7002";
    if (!request.has_watch()) return;
    const std::string bytes = SignSnapshot(snapshot, ca.key());
    header.mutable_snapshot_update();
    FrameWriter writer(header, bytes.size());
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(writer.payload().data()));
    EXPECT_TRUE(listener->Send(StreamKind::kControl, from, std::move(writer).Finish()).ok());
  };
  const absl::Time deadline = MonotonicNow() + absl::Seconds(20);
  while ((!reported || client->snapshot() == nullptr || client->counters().reports == 0) &&
         MonotonicNow() < deadline) {
    listener->Poll(StreamKind::kControl, MonotonicNow() + absl::Milliseconds(10), answer);
  }
  EXPECT_TRUE(reported);
  EXPECT_TRUE(client->connected());
  ASSERT_NE(client->snapshot(), nullptr);
  EXPECT_EQ(client->snapshot()->epoch, 3U);
  EXPECT_EQ(handed_out.load(), 3U);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace shoal
