// What two ends of the real transport let each other do: who is let in, which certificate counts,
// and how much a peer may take (FAILURE-MODEL S01 to S03, S15, S16).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/grpc_transport.h"
#include "tests/support/test_credentials.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

absl::Time Soon() { return MonotonicNow() + absl::Seconds(20); }

FrameBuffer OneByte() {
  FrameBuffer frame(1);
  frame.bytes()[0] = std::byte{7};
  return frame;
}

// Polls one kind of stream on a thread and hands each frame to `handle`.
class Node {
 public:
  using Handle = std::function<void(Listener&, LinkId, const NodeIdentity&, FrameBuffer)>;
  Node(StreamKind kind, GrpcListenOptions options, Handle handle) : kind_(kind) {
    options.kinds = {kind};
    auto listener = ListenGrpc("127.0.0.1:0", std::move(options));
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    thread_ = std::thread([this, handle = std::move(handle)] {
      while (!stop_.load()) {
        listener_->Poll(kind_, Soon(), [&](LinkId from, const NodeIdentity& peer, FrameBuffer in) {
          handle(*listener_, from, peer, std::move(in));
        });
      }
    });
  }
  ~Node() {
    stop_.store(true);
    listener_->Wake(kind_);
    thread_.join();
  }
  Endpoint endpoint(NodeRole role, std::string node_id = "") const {
    return {.address = listener_->address(), .role = role, .node_id = std::move(node_id)};
  }

 private:
  const StreamKind kind_;
  std::unique_ptr<Listener> listener_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::string IdOf(const Credentials& credentials) {
  const std::string uri = ReadCertificate(credentials.certificate_pem)->uri_names[0];
  return uri.substr(uri.rfind('/') + 1);
}

class GrpcTlsTest : public testing::Test {
 protected:
  // Echoes, and notes who called.
  std::unique_ptr<Node> StartEcho(StreamKind kind, std::shared_ptr<CredentialSource> source,
                                  bool admit_anonymous = false) {
    return std::make_unique<Node>(
        kind,
        GrpcListenOptions{.transport = {.credentials = std::move(source)},
                          .admit_anonymous = admit_anonymous},
        [this, kind](Listener& listener, LinkId from, const NodeIdentity& peer, FrameBuffer in) {
          {
            const MutexLock lock(&mu_);
            callers_.push_back(peer);
          }
          (void)listener.Send(kind, from, std::move(in));
        });
  }

  std::vector<NodeIdentity> callers() {
    const MutexLock lock(&mu_);
    return callers_;
  }

  // Sends one frame there and back.
  static absl::Status Ask(Dialer& dialer, const Endpoint& to, StreamKind kind) {
    const auto link = dialer.Connect(to, kind, Soon());
    if (!link.ok()) return link.status();
    if (absl::Status sent = dialer.Send(*link, OneByte()); !sent.ok()) return sent;
    const auto event = dialer.Next(Soon());
    if (!event.has_value()) return absl::DeadlineExceededError("no echo");
    dialer.Close(*link);
    return event->status;
  }

  std::unique_ptr<Dialer> DialerOf(NodeRole role, Flaw flaw = Flaw::kNone) const {
    return NewGrpcDialer({.credentials = ca_.Source(role, flaw)});
  }

  const TestCa ca_;
  Mutex mu_;
  std::vector<NodeIdentity> callers_ SHOAL_GUARDED_BY(mu_);
};

TEST_F(GrpcTlsTest, S02_TheCallerIsWhoeverItsCertificateNames) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const Credentials router = ca_.Issue(NodeRole::kRouter);
  const auto dialer = NewGrpcDialer({.credentials = std::make_shared<CredentialSource>(router)});
  ASSERT_TRUE(Ask(*dialer, node->endpoint(NodeRole::kWorker), StreamKind::kRunExperts).ok());
  EXPECT_THAT(callers(), testing::ElementsAre(NodeIdentity{NodeRole::kRouter, IdOf(router)}));
}

TEST_F(GrpcTlsTest, S04_ARoleThatMayCallNothingIsToldSo) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const auto dialer = DialerOf(NodeRole::kWorker);
  const LinkId link = dialer->Dial(node->endpoint(NodeRole::kWorker), StreamKind::kRunExperts);
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->link, link);
  EXPECT_FALSE(event->opened);
  EXPECT_EQ(event->status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(event->status.message()), HasSubstr("worker may not call"));
  EXPECT_EQ(Ask(*dialer, node->endpoint(NodeRole::kWorker), StreamKind::kRunExperts).code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(callers().empty());
}

TEST_F(GrpcTlsTest, S02_AnotherNodeOrAuthorityAtTheAddressIsPermissionDenied) {
  const auto source = ca_.Source(NodeRole::kWorker);
  const auto node = StartEcho(StreamKind::kRunExperts, source);
  const auto router = DialerOf(NodeRole::kRouter);
  const Endpoint endpoint = node->endpoint(NodeRole::kWorker);
  const auto ask = [&](Dialer& dialer, const Endpoint& to) {
    const absl::Status status = Ask(dialer, to, StreamKind::kRunExperts);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("another node is there"));
  };
  ask(*router, node->endpoint(NodeRole::kWorker, "0123456789abcdef"));
  ask(*router, node->endpoint(NodeRole::kCoordinator));
  const auto stranger = NewGrpcDialer({.credentials = TestCa().Source(NodeRole::kRouter)});
  ask(*stranger, endpoint);
  const auto expired =
      StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker, Flaw::kExpired));
  ask(*router, expired->endpoint(NodeRole::kWorker));
  EXPECT_TRUE(
      Ask(*router, node->endpoint(NodeRole::kWorker, IdOf(*source->Get())), StreamKind::kRunExperts)
          .ok());
}

TEST_F(GrpcTlsTest, ClosedPortsAndBadAddressesFailAtOnce) {
  std::string address;
  {
    const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
    address = node->endpoint(NodeRole::kWorker).address;
  }
  const auto dialer = DialerOf(NodeRole::kRouter);
  const absl::Time start = MonotonicNow();
  for (const std::string& to : {address, address, address, std::string(), std::string("x")}) {
    dialer->Dial({.address = to}, StreamKind::kRunExperts);
    const auto event = dialer->Next(Soon());
    ASSERT_TRUE(event.has_value()) << to;
    EXPECT_EQ(event->status.code(), absl::StatusCode::kUnavailable) << event->status;
  }
  EXPECT_LT(MonotonicNow() - start, absl::Seconds(5));
}

// Goal: a connect that nobody answers ends long before TCP gives up. Method: a socket that listens
// and whose queue is full, so that the kernel drops what comes.
TEST_F(GrpcTlsTest, SilentAddressesFailWithinSeconds) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(fd, 16), 0);  // Nobody accepts, nobody answers.
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
  const auto dialer = DialerOf(NodeRole::kRouter);
  const absl::Time start = MonotonicNow();
  const auto link = dialer->Connect({.address = absl::StrCat("127.0.0.1:", ntohs(at.sin_port))},
                                    StreamKind::kRunExperts, Soon());
  EXPECT_EQ(link.status().code(), absl::StatusCode::kUnavailable) << link.status();
  EXPECT_LT(MonotonicNow() - start, absl::Seconds(10));
  close(fd);
}

TEST_F(GrpcTlsTest, S03_NewConnectionsSeeTheRenewedCertificateOfAListener) {
  const auto source = ca_.Source(NodeRole::kWorker);
  const std::string old_id = IdOf(*source->Get());
  const auto node = StartEcho(StreamKind::kRunExperts, source);
  const auto dialer = DialerOf(NodeRole::kRouter);
  const auto old_link =
      dialer->Connect(node->endpoint(NodeRole::kWorker, old_id), StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(old_link.ok()) << old_link.status();

  // Another name only so that it can be told from the old one.
  source->Set(ca_.Issue(NodeRole::kWorker));
  const auto other = DialerOf(NodeRole::kRouter);
  EXPECT_TRUE(
      Ask(*other, node->endpoint(NodeRole::kWorker, IdOf(*source->Get())), StreamKind::kRunExperts)
          .ok());
  EXPECT_EQ(Ask(*other, node->endpoint(NodeRole::kWorker, old_id), StreamKind::kRunExperts).code(),
            absl::StatusCode::kPermissionDenied);
  ASSERT_TRUE(dialer->Send(*old_link, OneByte()).ok());  // Open links stay open.
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_TRUE(event->status.ok()) << event->status;
}

TEST_F(GrpcTlsTest, S03_NewLinksUseTheRenewedCertificateOfADialer) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const auto source = ca_.Source(NodeRole::kRouter, Flaw::kExpired);
  const auto dialer = NewGrpcDialer({.credentials = source});
  const Endpoint to = node->endpoint(NodeRole::kWorker);
  EXPECT_FALSE(Ask(*dialer, to, StreamKind::kRunExperts).ok());
  source->Set(ca_.Issue(NodeRole::kRouter));
  EXPECT_TRUE(Ask(*dialer, to, StreamKind::kRunExperts).ok());
  EXPECT_EQ(callers().size(), 1U);
}

TEST_F(GrpcTlsTest, S15_ANodeHasFourLinksOfAKindAndLeavesRoomForOthers) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const Endpoint to = node->endpoint(NodeRole::kWorker);
  const auto router = DialerOf(NodeRole::kRouter);
  std::vector<LinkId> links;
  for (int i = 0; i < kMaxLinksPerPeer; ++i) {
    const auto link = router->Connect(to, StreamKind::kRunExperts, Soon());
    ASSERT_TRUE(link.ok()) << link.status();
    links.push_back(*link);
  }
  const auto fifth = router->Connect(to, StreamKind::kRunExperts, Soon());
  EXPECT_EQ(fifth.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(fifth.status().message()), HasSubstr("from one node"));
  EXPECT_TRUE(Ask(*DialerOf(NodeRole::kRouter), to, StreamKind::kRunExperts).ok());

  router->Close(links[0]);  // Makes room, once the listener has heard of it.
  absl::Status status = absl::UnavailableError("not asked");
  for (const absl::Time until = Soon(); !status.ok() && MonotonicNow() < until;) {
    status = Ask(*router, to, StreamKind::kRunExperts);
  }
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(GrpcTlsTest, S15_CallersWithoutACertificateShareTheirRoom) {
  const auto node = StartEcho(StreamKind::kControl, ca_.Source(NodeRole::kCoordinator),
                              /*admit_anonymous=*/true);
  const Endpoint to = node->endpoint(NodeRole::kCoordinator);
  const auto nobody = DialerOf(NodeRole::kWorker, Flaw::kNoCertificate);
  for (int i = 0; i < kMaxAnonymousLinks; ++i) {
    ASSERT_TRUE(nobody->Connect(to, StreamKind::kControl, Soon()).ok()) << i;
  }
  EXPECT_THAT(std::string(nobody->Connect(to, StreamKind::kControl, Soon()).status().message()),
              HasSubstr("from one node"));
  EXPECT_TRUE(Ask(*DialerOf(NodeRole::kWorker), to, StreamKind::kControl).ok());
}

// Goal: what a peer does not read does not pile up at the listener. Method: one frame makes the
// listener answer with as much as it can, while the caller reads nothing.
TEST_F(GrpcTlsTest, S15_APeerThatReadsNothingLosesItsLink) {
  std::atomic<size_t> n_sent{0};
  std::atomic<bool> refused{false};
  const Node node(StreamKind::kRunExperts,
                  {.transport = {.credentials = ca_.Source(NodeRole::kWorker)}},
                  [&](Listener& listener, LinkId from, const NodeIdentity&, FrameBuffer) {
                    for (int i = 0; i < 1000 && !refused.load(); ++i) {
                      FrameBuffer reply(size_t{4} << 20);
                      std::memset(reply.data(), 1, reply.size());
                      const absl::Status status =
                          listener.Send(StreamKind::kRunExperts, from, std::move(reply));
                      refused.store(status.code() == absl::StatusCode::kUnavailable);
                      if (status.ok()) n_sent.fetch_add(1);
                    }
                  });
  const auto dialer = DialerOf(NodeRole::kRouter);
  const auto link =
      dialer->Connect(node.endpoint(NodeRole::kWorker), StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  ASSERT_TRUE(dialer->Send(*link, OneByte()).ok());
  while (!refused.load()) std::this_thread::yield();
  EXPECT_LE(n_sent.load() * (size_t{4} << 20), kMaxUnsentBytes);
  bool closed = false;  // What was sent before may come; the end does.
  while (!closed) {
    const auto event = dialer->Next(Soon());
    ASSERT_TRUE(event.has_value());
    closed = !event->status.ok();
  }
  EXPECT_FALSE(dialer->Send(*link, OneByte()).ok());
}

TEST_F(GrpcTlsTest, S15_AListenerThatReadsNothingLosesTheLink) {
  std::atomic<bool> go_on{false};
  const Node node(StreamKind::kRunExperts,
                  {.transport = {.credentials = ca_.Source(NodeRole::kWorker)}},
                  [&](Listener&, LinkId, const NodeIdentity&, FrameBuffer) {
                    while (!go_on.load()) std::this_thread::yield();
                  });
  const auto dialer = DialerOf(NodeRole::kRouter);
  const auto link =
      dialer->Connect(node.endpoint(NodeRole::kWorker), StreamKind::kRunExperts, Soon());
  ASSERT_TRUE(link.ok()) << link.status();
  absl::Status status;
  size_t n_sent = 0;
  while (status.ok() && n_sent < 1000) {
    FrameBuffer frame(size_t{4} << 20);
    std::memset(frame.data(), 1, frame.size());
    status = dialer->Send(*link, std::move(frame));
    if (status.ok()) ++n_sent;
  }
  go_on.store(true);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(n_sent * (size_t{4} << 20), kMaxUnsentBytes);
  const auto event = dialer->Next(Soon());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(GrpcTlsTest, MethodsThatANodeDoesNotServeAreRefused) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const auto dialer = DialerOf(NodeRole::kRouter);
  EXPECT_EQ(Ask(*dialer, node->endpoint(NodeRole::kWorker), StreamKind::kControl).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(GrpcTlsTest, NoEventOfAClosedLinkComes) {
  const auto node = StartEcho(StreamKind::kRunExperts, ca_.Source(NodeRole::kWorker));
  const Endpoint to = node->endpoint(NodeRole::kWorker);
  const auto dialer = DialerOf(NodeRole::kRouter);
  for (int i = 0; i < 30; ++i) {
    const LinkId gone =
        dialer->Dial(i % 2 == 0 ? to : Endpoint{.address = "127.0.0.1:1"}, StreamKind::kRunExperts);
    dialer->Close(gone);
    const auto link = dialer->Connect(to, StreamKind::kRunExperts, Soon());
    if (!link.ok()) continue;  // The listener has not yet heard that the others are closed.
    ASSERT_TRUE(dialer->Send(*link, OneByte()).ok());
    const auto event = dialer->Next(Soon());
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->link, *link);
    dialer->Close(*link);
  }
  EXPECT_GT(callers().size(), 0U);
}

}  // namespace
}  // namespace shoal
