#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "proto/grpc_status.h"
#include "proto/grpc_tls.h"
#include "proto/grpc_transport.h"
#include "proto/grpc_wait.h"
#include "proto/methods.h"

namespace shoal {
namespace {

enum class Op : uint8_t { kStart, kOpen, kRead, kWrite, kFinish };

struct ClientLink;
struct Tag {
  ClientLink* link;
  Op op;
};

// One stream and what is under way on it: at most one operation of each kind.
struct ClientLink {
  LinkId id = 0;
  std::string address;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
  grpc::ByteBuffer incoming;
  std::deque<grpc::ByteBuffer> outgoing;  // The first is being written when `writing`.
  size_t unsent_bytes = 0;                // Of `outgoing`.
  grpc::Status finish_status;
  bool opened = false;
  bool writing = false;
  bool closed = false;
  bool quiet_opening = false;  // Connect waits for it: no events about its opening.
  bool given_up = false;       // No events at all.
  Tag start{this, Op::kStart};
  Tag open{this, Op::kOpen};
  Tag read{this, Op::kRead};
  Tag write{this, Op::kWrite};
  Tag finish{this, Op::kFinish};
};

grpc::ChannelArguments ClientArguments() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  args.SetMaxSendMessageSize(static_cast<int>(kMaxMessageBytes));
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);  // Also how long a connect may take.
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // One connection per link.
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, static_cast<int>(kMaxMessageBytes));
  return args;
}

// gRPC reports a failed check of the listener's certificate as any other failure to connect; only
// its words tell (grpc_transport_test.cc holds them).
bool IsUntrusted(const std::string& why) {
  return why.find("is not in peer certificate") != std::string::npos ||
         why.find("certificate verify failed") != std::string::npos;
}

class GrpcDialer final : public Dialer {
 public:
  explicit GrpcDialer(GrpcOptions options) : options_(std::move(options)) {}

  ~GrpcDialer() override {
    for (auto& [id, link] : links_) link->context.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  LinkId Dial(const Endpoint& to, StreamKind kind) override { return Open(to, kind).id; }

  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time deadline) override {
    if (options_.credentials == nullptr) SHOAL_RETURN_IF_ERROR(CheckLoopback(to.address));
    ClientLink& link = Open(to, kind);
    link.quiet_opening = true;
    while (!link.opened && !link.closed) {
      if (!HandleNext(deadline)) {
        link.quiet_opening = false;
        Close(link.id);
        return absl::UnavailableError(absl::StrCat(to.address, ": no answer before the deadline"));
      }
    }
    link.quiet_opening = false;
    if (!link.closed) return link.id;
    const absl::Status why = CloseReason(link);
    Reap(link);
    return why;
  }

  void Close(LinkId id) override {
    std::erase_if(events_, [id](const LinkEvent& event) { return event.link == id; });
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    found->second->given_up = true;
    found->second->context.TryCancel();
  }

  absl::Status Send(LinkId id, FrameBuffer frame) override {
    const auto found = links_.find(id);
    if (found == links_.end()) return absl::UnavailableError("link is closed");
    ClientLink& link = *found->second;
    if (link.closed || link.given_up || !link.opened) {
      return absl::UnavailableError(absl::StrCat(link.address, ": link is closed"));
    }
    if (link.unsent_bytes + frame.size() > kMaxUnsentBytes) {
      link.context.TryCancel();
      return absl::UnavailableError(absl::StrCat(link.address, ": link is closed: its peer left ",
                                                 link.unsent_bytes, " bytes unread"));
    }
    link.unsent_bytes += frame.size();
    link.outgoing.push_back(ToByteBuffer(std::move(frame)));
    if (!link.writing) WriteFirst(link);
    return absl::OkStatus();
  }

  std::optional<LinkEvent> Next(absl::Time deadline) override {
    while (events_.empty()) {
      if (!HandleNext(deadline)) return std::nullopt;
    }
    std::optional<LinkEvent> event(std::move(events_.front()));
    events_.pop_front();
    return event;
  }

 private:
  ClientLink& Open(const Endpoint& to, StreamKind kind) {
    auto link = std::make_unique<ClientLink>();
    link->id = next_id_++;
    link->address = to.address;
    link->stub = std::make_unique<grpc::GenericStub>(NewChannel(to));
    link->stream = link->stub->PrepareCall(&link->context, MethodOf(kind), &queue_);
    link->stream->StartCall(&link->start);
    return *links_.emplace(link->id, std::move(link)).first->second;
  }

  // Asks TLS for the name of whom it wants to reach: nobody else has a certificate with it.
  std::shared_ptr<grpc::Channel> NewChannel(const Endpoint& to) const {
    grpc::ChannelArguments args = ClientArguments();
    if (options_.credentials == nullptr) {
      return grpc::CreateCustomChannel(to.address, grpc::InsecureChannelCredentials(), args);
    }
    args.SetSslTargetNameOverride(to.node_id.empty() ? RoleDnsName(to.role)
                                                     : NodeDnsName({to.role, to.node_id}));
    return grpc::CreateCustomChannel(to.address, ChannelCredentialsOf(*options_.credentials->Get()),
                                     args);
  }

  void WriteFirst(ClientLink& link) {
    link.writing = true;
    link.stream->Write(link.outgoing.front(), &link.write);
  }

  // Waits for one completion and acts on it; false at the deadline.
  bool HandleNext(absl::Time deadline) {
    void* tag = nullptr;
    bool ok = false;
    if (!NextCompletion(queue_, options_.spin, deadline, &tag, &ok)) return false;
    const Tag& completed = *static_cast<Tag*>(tag);
    Handle(*completed.link, completed.op, ok);
    return true;
  }

  void Handle(ClientLink& link, Op op, bool ok) {
    switch (op) {
      case Op::kStart:
        if (!ok) return Finish(link);
        return link.stream->ReadInitialMetadata(&link.open);
      case Op::kOpen:
        // A stream that was refused has metadata too, but not this.
        link.opened = ok && link.context.GetServerInitialMetadata().count(kOpenedKey) > 0;
        if (!link.opened) return Finish(link);
        if (!link.quiet_opening) Tell({link.id, absl::OkStatus(), {}, /*opened=*/true});
        return link.stream->Read(&link.incoming, &link.read);
      case Op::kRead:
        if (!ok) return Finish(link);
        Tell({link.id, absl::OkStatus(), ToFrameBuffer(link.incoming)});
        return link.stream->Read(&link.incoming, &link.read);
      case Op::kWrite:
        HandleWritten(link, ok);
        return Reap(link);
      case Op::kFinish:
        link.closed = true;
        if (link.opened || !link.quiet_opening) Tell({link.id, CloseReason(link), {}});
        return Reap(link);
    }
  }

  void HandleWritten(ClientLink& link, bool ok) {
    link.writing = false;
    link.unsent_bytes -= link.outgoing.front().Length();
    link.outgoing.pop_front();
    if (!ok) {  // A broken stream: the read under way reports it.
      link.outgoing.clear();
      link.unsent_bytes = 0;
    }
    if (!link.outgoing.empty()) WriteFirst(link);
  }

  void Tell(LinkEvent event) {
    if (!links_.at(event.link)->given_up) events_.push_back(std::move(event));
  }

  // Forgets a link that has closed, once nothing of it is under way.
  void Reap(const ClientLink& link) {
    if (link.closed && !link.writing && !link.quiet_opening) links_.erase(link.id);
  }

  void Finish(ClientLink& link) { link.stream->Finish(&link.finish_status, &link.finish); }

  static absl::Status CloseReason(const ClientLink& link) {
    const absl::Status status = FromGrpcStatus(link.finish_status);
    const std::string why(status.ok() ? "peer closed the link" : status.message());
    if (status.code() == absl::StatusCode::kPermissionDenied) {
      return absl::PermissionDeniedError(absl::StrCat(link.address, ": ", why));
    }
    if (IsUntrusted(why)) {
      return absl::PermissionDeniedError(
          absl::StrCat(link.address, ": another node is there: ", why));
    }
    return absl::UnavailableError(absl::StrCat(link.address, ": ", why));
  }

  const GrpcOptions options_;
  LinkId next_id_ = 1;
  std::map<LinkId, std::unique_ptr<ClientLink>> links_;
  std::deque<LinkEvent> events_;
  grpc::CompletionQueue queue_;  // Destroyed before the links: its tags point into them.
};

}  // namespace

std::unique_ptr<Dialer> NewGrpcDialer(GrpcOptions options) {
  PrepareGrpc();
  return std::make_unique<GrpcDialer>(std::move(options));
}

}  // namespace shoal
