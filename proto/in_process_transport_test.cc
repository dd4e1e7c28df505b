#include "proto/in_process_transport.h"

#include <atomic>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "base/limits.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

FrameBuffer Text(const std::string& text) {
  FrameBuffer frame(text.size());
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(frame.data()));
  return frame;
}

std::string AsText(const FrameBuffer& frame) {
  return {reinterpret_cast<const char*>(frame.data()), frame.size()};
}

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

TEST(InProcessTransportTest, AnswersReachTheLinkThatAsked) {
  InProcessNetwork network;
  auto listener = *network.Listen("a");
  std::atomic<bool> stop{false};
  std::thread server([&] {
    while (!stop.load()) {
      listener->Poll(
          StreamKind::kRunExperts, Soon(),
          [&](LinkId from, const NodeIdentity&, FrameBuffer frame) {
            EXPECT_TRUE(
                listener->Send(StreamKind::kRunExperts, from, Text("re:" + AsText(frame))).ok());
          });
    }
  });
  auto dialer = network.NewDialer();
  const LinkId first = *dialer->Connect({.address = "a"}, StreamKind::kRunExperts, Soon());
  const LinkId second = *dialer->Connect({.address = "a"}, StreamKind::kRunExperts, Soon());
  for (const LinkId link : {second, first, second}) {
    ASSERT_TRUE(dialer->Send(link, Text("x")).ok());
    const auto event = dialer->Next(Soon());
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->link, link);
    EXPECT_EQ(AsText(event->frame), "re:x");
  }
  stop.store(true);
  listener->Wake(StreamKind::kRunExperts);
  server.join();
}

TEST(InProcessTransportTest, AbsentListenerIsUnavailable) {
  InProcessNetwork network;
  EXPECT_EQ(
      network.NewDialer()->Connect({.address = "b"}, StreamKind::kHealth, Soon()).status().code(),
      absl::StatusCode::kUnavailable);
}

TEST(InProcessTransportTest, TakenAddressIsRefused) {
  InProcessNetwork network;
  const auto listener = *network.Listen("a");
  EXPECT_EQ(network.Listen("a").status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(InProcessTransportTest, ClosedListenerIsReportedOnce) {
  InProcessNetwork network;
  auto listener = *network.Listen("a");
  auto dialer = network.NewDialer();
  const LinkId link = *dialer->Connect({.address = "a"}, StreamKind::kRunExperts, Soon());
  listener.reset();
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->link, link);
  EXPECT_EQ(event->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(dialer->Next(absl::Now()).has_value());
  EXPECT_EQ(dialer->Send(link, Text("x")).code(), absl::StatusCode::kUnavailable);
}

TEST(InProcessTransportTest, NextReturnsNothingAtItsDeadline) {
  InProcessNetwork network;
  auto dialer = network.NewDialer();
  EXPECT_FALSE(dialer->Next(absl::Now() + absl::Milliseconds(5)).has_value());
}

TEST(InProcessTransportTest, S14_FrameOverTheCapIsRefused) {
  InProcessNetwork network;
  auto listener = *network.Listen("a");
  auto dialer = network.NewDialer();
  const LinkId link = *dialer->Connect({.address = "a"}, StreamKind::kRunExperts, Soon());
  EXPECT_EQ(dialer->Send(link, FrameBuffer(kMaxMessageBytes + 1)).code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace shoal
