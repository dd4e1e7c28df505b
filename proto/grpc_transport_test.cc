#include "proto/grpc_transport.h"

#include <grpcpp/support/status.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/grpc_status.h"
#include "tests/support/test_credentials.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

FrameBuffer Filled(size_t size, uint8_t value) {
  FrameBuffer frame(size);
  if (size > 0) std::memset(frame.data(), value, size);
  return frame;
}

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

const TestCa& Ca() {
  static const auto* const ca = new TestCa;
  return *ca;
}

GrpcListenOptions WorkerOptions() {
  return {.transport = {.credentials = Ca().Source(NodeRole::kWorker)}};
}

std::unique_ptr<Dialer> NewRouterDialer() {
  return NewGrpcDialer({.credentials = Ca().Source(NodeRole::kRouter)});
}

// Answers every frame with its own bytes, until destroyed.
class EchoServer {
 public:
  explicit EchoServer(StreamKind kind) : kind_(kind) {
    auto listener = ListenGrpc("127.0.0.1:0", WorkerOptions());
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        listener_->Poll(kind_, Soon(), [this](LinkId from, const NodeIdentity&, FrameBuffer frame) {
          (void)listener_->Send(kind_, from, std::move(frame));
        });
      }
    });
  }
  ~EchoServer() {
    stop_.store(true);
    listener_->Wake(kind_);
    thread_.join();
  }
  const std::string& address() const { return listener_->address(); }

 private:
  const StreamKind kind_;
  std::unique_ptr<Listener> listener_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST(GrpcTransportTest, FramesOfManySizesComeBackWholeAndInOrder) {
  EchoServer server(StreamKind::kRunExperts);
  const auto dialer = NewRouterDialer();
  const auto link = dialer->Connect({.address = server.address()}, StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  const size_t sizes[] = {1, 0, 64, 5000, size_t{1} << 20, kMaxMessageBytes, 3};
  for (size_t i = 0; i < std::size(sizes); ++i) {
    ASSERT_TRUE(dialer->Send(*link, Filled(sizes[i], static_cast<uint8_t>(i + 1))).ok());
  }
  for (size_t i = 0; i < std::size(sizes); ++i) {
    const auto event = dialer->Next(Soon());
    ASSERT_TRUE(event.has_value()) << i;
    ASSERT_TRUE(event->status.ok()) << event->status;
    ASSERT_EQ(event->frame.size(), sizes[i]);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(event->frame.data()) % FrameBuffer::kAlignment, 0U);
    for (const std::byte byte : event->frame.bytes()) {
      ASSERT_EQ(byte, static_cast<std::byte>(i + 1));
    }
  }
}

TEST(GrpcTransportTest, HealthStreamsAreServedApart) {
  EchoServer server(StreamKind::kHealth);
  const auto dialer = NewRouterDialer();
  // Nobody polls RunExperts there, so that stream never opens; health answers all the same.
  const LinkId other = dialer->Dial({.address = server.address()}, StreamKind::kRunExperts);
  EXPECT_FALSE(dialer->Send(other, Filled(1, 1)).ok());
  const auto link = dialer->Connect({.address = server.address()}, StreamKind::kHealth, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  ASSERT_TRUE(dialer->Send(*link, Filled(10, 7)).ok());
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->link, *link);
  EXPECT_EQ(event->frame.size(), 10U);
}

TEST(GrpcTransportTest, ServerThatGoesAwayClosesTheLink) {
  auto server = std::make_unique<EchoServer>(StreamKind::kRunExperts);
  const std::string address = server->address();
  const auto dialer = NewRouterDialer();
  const auto link = dialer->Connect({.address = address}, StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  server.reset();
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->link, *link);
  EXPECT_EQ(event->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(event->status.message()), HasSubstr(address));
  EXPECT_EQ(dialer->Send(*link, Filled(1, 1)).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(dialer->Connect({.address = address}, StreamKind::kRunExperts, Soon()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(GrpcTransportTest, ClientThatGoesAwayLeavesTheServerServing) {
  EchoServer server(StreamKind::kRunExperts);
  for (int i = 0; i < 20; ++i) {
    const auto dialer = NewRouterDialer();
    const auto link =
        dialer->Connect({.address = server.address()}, StreamKind::kRunExperts, Soon());
    ASSERT_TRUE(link.ok()) << link.status();
    ASSERT_TRUE(dialer->Send(*link, Filled(100, 1)).ok());
    if (i % 2 == 0) continue;
    ASSERT_TRUE(dialer->Next(Soon()).has_value());
  }
}

TEST(GrpcTransportTest, S14_FrameOverTheCapClosesTheLink) {
  EchoServer server(StreamKind::kRunExperts);
  const auto dialer = NewRouterDialer();
  const auto link = dialer->Connect({.address = server.address()}, StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  ASSERT_TRUE(dialer->Send(*link, Filled(kMaxMessageBytes + 1, 1)).ok());
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->status.code(), absl::StatusCode::kUnavailable);
}

TEST(GrpcTransportTest, TakenPortIsRefused) {
  const auto first = ListenGrpc("127.0.0.1:0", WorkerOptions());
  ASSERT_TRUE(first.ok());
  const auto second = ListenGrpc((*first)->address(), WorkerOptions());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
}

TEST(GrpcTransportTest, S01_OnlyLoopbackAddressesAreTaken) {
  for (const char* address : {"127.0.0.1:0", "127.3.2.1:80", "[::1]:7000"}) {
    EXPECT_TRUE(CheckLoopback(address).ok()) << address;
  }
  for (const char* address :
       {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "localhost:1", "127.evil.example.com:1", "127.0.0.1",
        "127.0.0.1:", "127.0.0.1:x", "", ":", "unix:127.0.0.1:1"}) {
    EXPECT_FALSE(CheckLoopback(address).ok()) << address;
    EXPECT_FALSE(ListenGrpc(address, {}).ok()) << address;
    EXPECT_EQ(NewGrpcDialer({})
                  ->Connect({.address = address}, StreamKind::kHealth, Soon())
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(GrpcStatusTest, StatusesSurviveTheWayThereAndBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "why");
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
}

}  // namespace
}  // namespace shoal
