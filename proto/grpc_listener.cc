#include <grpcpp/alarm.h>
#include <grpcpp/impl/codegen/rpc_service_method.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "proto/authorization.h"
#include "proto/grpc_status.h"
#include "proto/grpc_tls.h"
#include "proto/grpc_transport.h"
#include "proto/grpc_wait.h"
#include "proto/methods.h"
#include "proto/open_rate.h"

namespace shoal {
namespace {

using RawStream = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

// The methods, their messages left as raw bytes. Any other name is UNIMPLEMENTED.
class FrameService final : public grpc::Service {
 public:
  explicit FrameService(const std::vector<StreamKind>& kinds) : kinds_(kinds) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      AddMethod(new grpc::internal::RpcServiceMethod(
          MethodOf(kinds[i]), grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
      MarkMethodRaw(static_cast<int>(i));
    }
  }
  void Request(StreamKind kind, grpc::ServerContext* context, RawStream* stream,
               grpc::ServerCompletionQueue* queue, void* tag) {
    const auto found = std::find(kinds_.begin(), kinds_.end(), kind);
    RequestAsyncBidiStreaming(static_cast<int>(found - kinds_.begin()), context, stream, queue,
                              queue, tag);
  }

 private:
  const std::vector<StreamKind> kinds_;
};

enum class Op : uint8_t { kAccept, kOpen, kRead, kWrite, kFinish, kWake };

struct ServerLink;
struct Tag {
  ServerLink* link;
  Op op;
};

// One stream and what is under way on it: at most one operation of each kind.
struct ServerLink {
  LinkId id = 0;
  NodeIdentity peer;
  grpc::ServerContext context;
  RawStream stream{&context};
  grpc::ByteBuffer incoming;
  std::deque<grpc::ByteBuffer> outgoing;  // The first is being written when `writing`.
  size_t unsent_bytes = 0;                // Of `outgoing`.
  absl::Time admitted_at;
  bool admitted = false;
  bool writing = false;
  bool peer_done = false;  // Nothing more will be read.
  bool finishing = false;
  Tag accept{this, Op::kAccept};
  Tag open{this, Op::kOpen};
  Tag read{this, Op::kRead};
  Tag write{this, Op::kWrite};
  Tag finish{this, Op::kFinish};
};

// The streams of one kind, driven by the one thread that polls them.
class KindPoller {
 public:
  // `cluster_id`: of the callers' certificates; empty: there are none.
  void Init(StreamKind kind, FrameService* service, std::string cluster_id,
            std::unique_ptr<grpc::ServerCompletionQueue> queue) {
    kind_ = kind;
    cluster_id_ = std::move(cluster_id);
    service_ = service;
    queue_ = std::move(queue);
  }

  void AcceptNext() {
    auto link = std::make_unique<ServerLink>();
    link->id = next_id_++;
    service_->Request(kind_, &link->context, &link->stream, queue_.get(), &link->accept);
    links_.emplace(link->id, std::move(link));
  }

  // As Listener::Poll: returns once a frame was handed over or nothing is left.
  bool Poll(absl::Duration spin, absl::Time deadline, Listener::FrameHandler handler) {
    void* tag = nullptr;
    bool ok = false;
    while (NextCompletion(*queue_, spin, deadline, &tag, &ok)) {
      const Tag completed = *static_cast<Tag*>(tag);
      if (completed.op == Op::kWake) {
        wake_pending_.store(false);
        return false;
      }
      if (Handle(*completed.link, completed.op, ok, handler)) return true;
    }
    return false;
  }

  absl::Status Send(LinkId id, FrameBuffer frame) {
    const auto found = links_.find(id);
    if (found == links_.end() || found->second->finishing) {
      return absl::UnavailableError("link is closed");
    }
    ServerLink& link = *found->second;
    if (link.unsent_bytes + frame.size() > kMaxUnsentBytes) return GiveUp(link);
    link.unsent_bytes += frame.size();
    link.outgoing.push_back(ToByteBuffer(std::move(frame)));
    if (!link.writing) WriteFirst(link);
    return absl::OkStatus();
  }

  bool IsOpen(LinkId id) const {
    const auto found = links_.find(id);
    return found != links_.end() && !found->second->peer_done && !found->second->finishing;
  }

  void Wake() {
    if (!wake_pending_.exchange(true)) {
      alarm_.Set(queue_.get(), gpr_now(GPR_CLOCK_MONOTONIC), &wake_);
    }
  }

  void ShutdownQueue() {
    if (queue_ == nullptr) return;
    queue_->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
    }
  }

 private:
  // True when a frame was handed over.
  bool Handle(ServerLink& link, Op op, bool ok, Listener::FrameHandler handler) {
    switch (op) {
      case Op::kAccept:
        if (ok) Accept(link);
        return false;
      case Op::kOpen:
        Continue(link, ok);
        return false;
      case Op::kRead:
        return HandleRead(link, ok, handler);
      case Op::kWrite:
        link.unsent_bytes -= link.outgoing.front().Length();
        link.outgoing.pop_front();
        Continue(link, ok);
        return false;
      case Op::kFinish:
        links_.erase(link.id);
        return false;
      case Op::kWake:
        return false;
    }
    return false;
  }

  // Lets the stream in, which the caller learns from its first metadata, or ends it.
  void Accept(ServerLink& link) {
    AcceptNext();
    absl::Status refused = CheckPeer(link);
    if (refused.ok()) refused = CheckRoom(link);
    if (!refused.ok()) {
      link.finishing = true;
      return link.stream.Finish(ToGrpcStatus(refused), &link.finish);
    }
    link.admitted = true;
    link.admitted_at = MonotonicNow();
    link.writing = true;
    link.context.AddInitialMetadata(kOpenedKey, "1");
    link.stream.SendInitialMetadata(&link.open);
    link.stream.Read(&link.incoming, &link.read);
  }

  // Learns who opened the stream, and whether he may.
  absl::Status CheckPeer(ServerLink& link) const {
    if (cluster_id_.empty()) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(link.peer, PeerOf(*link.context.auth_context(), cluster_id_));
    if (MayOpen(kind_, link.peer.role)) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("a node of role ",
                                                    std::string(RoleName(link.peer.role)),
                                                    " may not call ", MethodOf(kind_)));
  }

  // Joining takes one question: who has no certificate and stays would keep others from it.
  void EndOldAnonymousLinks() {
    const absl::Time now = MonotonicNow();
    for (auto& [id, link] : links_) {
      if (link->admitted && link->peer.role == NodeRole::kNone &&
          now - link->admitted_at > kMaxAnonymousTime) {
        link->context.TryCancel();
      }
    }
  }

  // The caps of S15 and S16.
  absl::Status CheckRoom(const ServerLink& link) {
    const std::string from = link.context.peer();  // "ipv4:127.0.0.1:5555"
    if (!rate_.Admit(from.substr(0, from.rfind(':')), MonotonicNow())) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxOpensPerSecond, " streams a second from one address"));
    }
    const auto admitted = [&](const auto& entry) { return entry.second->admitted; };
    if (std::count_if(links_.begin(), links_.end(), admitted) >= kMaxLinks) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxLinks, " open streams of one kind"));
    }
    if (cluster_id_.empty()) return absl::OkStatus();  // Peers have no names.
    EndOldAnonymousLinks();
    const auto of_peer = [&](const auto& entry) {
      return entry.second->admitted && entry.second->peer == link.peer;
    };
    const int cap = link.peer.role == NodeRole::kNone ? kMaxAnonymousLinks : kMaxLinksPerPeer;
    if (std::count_if(links_.begin(), links_.end(), of_peer) >= cap) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", cap, " open streams of one kind from one node"));
    }
    return absl::OkStatus();
  }

  bool HandleRead(ServerLink& link, bool ok, Listener::FrameHandler handler) {
    if (!ok) {
      link.peer_done = true;
      FinishWhenDone(link);
      return false;
    }
    FrameBuffer frame = ToFrameBuffer(link.incoming);
    link.stream.Read(&link.incoming, &link.read);
    handler(link.id, link.peer, std::move(frame));
    return true;
  }

  void WriteFirst(ServerLink& link) {
    link.writing = true;
    link.stream.Write(link.outgoing.front(), &link.write);
  }

  // After whatever was written: the next frame, or the end.
  void Continue(ServerLink& link, bool ok) {
    link.writing = false;
    if (!ok) {  // Broken: the read under way reports it.
      link.outgoing.clear();
      link.unsent_bytes = 0;
    }
    if (!link.outgoing.empty()) WriteFirst(link);
    FinishWhenDone(link);
  }

  // For a peer that sends but does not read: what waits for it would grow for ever.
  static absl::Status GiveUp(ServerLink& link) {
    link.context.TryCancel();
    return absl::UnavailableError(
        absl::StrCat("link is closed: its peer left ", link.unsent_bytes, " bytes unread"));
  }

  void FinishWhenDone(ServerLink& link) {
    if (!link.peer_done || link.writing || link.finishing) return;
    link.finishing = true;
    link.stream.Finish(grpc::Status::OK, &link.finish);
  }

  StreamKind kind_ = StreamKind::kRunExperts;
  std::string cluster_id_;
  FrameService* service_ = nullptr;
  LinkId next_id_ = 1;
  std::map<LinkId, std::unique_ptr<ServerLink>> links_;  // And the one that nobody opened yet.
  OpenRate rate_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  Tag wake_{nullptr, Op::kWake};
  std::atomic<bool> wake_pending_{false};
  grpc::Alarm alarm_;
};

class GrpcListener final : public Listener {
 public:
  explicit GrpcListener(GrpcListenOptions options)
      : options_(std::move(options)), service_(options_.kinds) {}

  ~GrpcListener() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    for (KindPoller& poller : pollers_) poller.ShutdownQueue();
  }

  absl::Status Start(const std::string& address) {
    grpc::ServerBuilder builder;
    int port = 0;
    std::string cluster_id;
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (options_.transport.credentials != nullptr) {
      cluster_id = options_.transport.credentials->Get()->cluster_id;
      tls_ = std::make_unique<ServerTls>(options_.transport.credentials, options_.admit_anonymous);
      credentials = tls_->credentials();
    }
    builder.AddListeningPort(address, credentials, &port);
    builder.RegisterService(&service_);
    SetArguments(builder);
    for (const StreamKind kind : options_.kinds) {
      poller(kind).Init(kind, &service_, cluster_id, builder.AddCompletionQueue());
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return absl::UnavailableError(absl::StrCat(
          address, ": cannot listen there; is the port taken? Port 0 takes a free one"));
    }
    address_ = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
    for (const StreamKind kind : options_.kinds) poller(kind).AcceptNext();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  bool Poll(StreamKind kind, absl::Time deadline, FrameHandler handler) override {
    return poller(kind).Poll(options_.transport.spin, deadline, handler);
  }
  absl::Status Send(StreamKind kind, LinkId link, FrameBuffer frame) override {
    return poller(kind).Send(link, std::move(frame));
  }
  bool IsOpen(StreamKind kind, LinkId link) override { return poller(kind).IsOpen(link); }
  void Wake(StreamKind kind) override { poller(kind).Wake(); }

 private:
  static void SetArguments(grpc::ServerBuilder& builder) {
    builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
    builder.SetMaxSendMessageSize(static_cast<int>(kMaxMessageBytes));
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // A taken port is an error.
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 10'000);  // Without any stream.
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 4000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // Who was revoked, or has a new certificate, comes again within that time.
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 3'600'000);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 600'000);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                               static_cast<int>(kMaxMessageBytes));
  }

  KindPoller& poller(StreamKind kind) { return pollers_[static_cast<size_t>(kind)]; }

  const GrpcListenOptions options_;
  std::string address_;
  FrameService service_;
  std::array<KindPoller, kNStreamKinds> pollers_;
  std::unique_ptr<ServerTls> tls_;
  std::unique_ptr<grpc::Server> server_;
};

bool IsLoopbackHost(const std::string& host) {
  if (host == "[::1]") return true;
  if (host.rfind("127.", 0) != 0) return false;
  int dots = 0;
  for (const char c : host) {
    if (c == '.')
      ++dots;
    else if (c < '0' || c > '9')
      return false;
  }
  return dots == 3;
}

}  // namespace

absl::Status CheckLoopback(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size() ||
      address.find_first_not_of("0123456789", colon + 1) != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", address, "' is not an address with a port, such as 127.0.0.1:7000"));
  }
  if (!IsLoopbackHost(address.substr(0, colon))) {
    return absl::InvalidArgumentError(
        absl::StrCat(address,
                     ": not a loopback address; without a cluster's credentials links are not "
                     "encrypted, so use 127.0.0.1 or [::1]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Listener>> ListenGrpc(const std::string& address,
                                                     GrpcListenOptions options) {
  if (options.transport.credentials == nullptr) SHOAL_RETURN_IF_ERROR(CheckLoopback(address));
  PrepareGrpc();
  if (options.kinds.empty()) options.kinds = {StreamKind::kRunExperts, StreamKind::kHealth};
  auto listener = std::make_unique<GrpcListener>(std::move(options));
  SHOAL_RETURN_IF_ERROR(listener->Start(address));
  return listener;
}

}  // namespace shoal
