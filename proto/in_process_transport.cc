#include "proto/in_process_transport.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "proto/authorization.h"

namespace shoal {
namespace {

// Frames and closings on their way to one reader. Thread-safe; leaf lock.
class EventQueue {
 public:
  void Push(LinkEvent event) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    events_.push_back(std::move(event));
    ready_.Signal();
  }

  void Wake() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    woken_ = true;
    ready_.Signal();
  }

  std::optional<LinkEvent> Pop(absl::Time deadline) SHOAL_EXCLUDES(mu_) {
    const auto until = std::chrono::steady_clock::now() + ToWait(deadline);
    MutexLock lock(&mu_);
    while (events_.empty() && !woken_) {
      if (!ready_.WaitUntil(&mu_, until) && events_.empty()) return std::nullopt;
    }
    woken_ = false;
    if (events_.empty()) return std::nullopt;
    std::optional<LinkEvent> event(std::move(events_.front()));
    events_.pop_front();
    return event;
  }

 private:
  static std::chrono::nanoseconds ToWait(absl::Time deadline) {
    const absl::Duration wait = deadline - MonotonicNow();
    return absl::ToChronoNanoseconds(std::min(wait, absl::Hours(24)));
  }

  Mutex mu_;
  CondVar ready_;
  std::deque<LinkEvent> events_ SHOAL_GUARDED_BY(mu_);
  bool woken_ SHOAL_GUARDED_BY(mu_) = false;
};

using Inbox = std::shared_ptr<EventQueue>;

struct ListenerEnd {
  NodeIdentity self;
  std::array<Inbox, kNStreamKinds> inboxes;
};

}  // namespace

// Who listens where, and which two queues each open link joins. Thread-safe.
class InProcessSwitch {
 public:
  absl::Status Register(const std::string& address, const ListenerEnd& end) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (!listeners_.emplace(address, end).second) {
      return absl::AlreadyExistsError(absl::StrCat(address, ": somebody listens there already"));
    }
    return absl::OkStatus();
  }

  void Unregister(const std::string& address) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    listeners_.erase(address);
  }

  // Never fails here: the dialer's queue says how it went.
  LinkId Open(const Endpoint& to, StreamKind kind, const NodeIdentity& from, const Inbox& dialer)
      SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const LinkId link = next_link_++;
    const auto found = listeners_.find(to.address);
    if (found == listeners_.end()) {
      dialer->Push({link, absl::UnavailableError(to.address + ": nobody listens there"), {}});
    } else if (absl::Status refused = CheckPeers(to, kind, from, found->second.self);
               !refused.ok()) {
      dialer->Push({link, std::move(refused), {}});
    } else {
      links_[link] = {from, dialer, found->second.inboxes[static_cast<size_t>(kind)]};
      dialer->Push({link, absl::OkStatus(), {}, /*opened=*/true});
    }
    return link;
  }

  // Who is at the dialling end; nobody when it has closed.
  NodeIdentity DialerOf(LinkId link) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const auto found = links_.find(link);
    return found == links_.end() ? NodeIdentity{} : found->second.from;
  }

  bool IsOpen(LinkId link) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return links_.contains(link);
  }

  void Close(LinkId link) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    links_.erase(link);
  }

  absl::Status Send(LinkId link, bool to_listener, FrameBuffer frame) SHOAL_EXCLUDES(mu_) {
    if (frame.size() > kMaxMessageBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("frame of ", frame.size(), " bytes is over the cap of ", kMaxMessageBytes));
    }
    Inbox inbox;
    {
      MutexLock lock(&mu_);
      const auto found = links_.find(link);
      if (found == links_.end()) return absl::UnavailableError("link is closed");
      inbox = to_listener ? found->second.listener : found->second.dialer;
    }
    inbox->Push({link, absl::OkStatus(), std::move(frame)});
    return absl::OkStatus();
  }

  // Closes every link that ends at that inbox; dialers at their other ends are told.
  void CloseAll(const Inbox& inbox) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    for (auto it = links_.begin(); it != links_.end();) {
      const Ends& ends = it->second;
      if (ends.dialer != inbox && ends.listener != inbox) {
        ++it;
        continue;
      }
      if (ends.listener == inbox) {
        ends.dialer->Push({it->first, absl::UnavailableError("peer closed the link"), {}});
      }
      it = links_.erase(it);
    }
  }

 private:
  struct Ends {
    NodeIdentity from;
    Inbox dialer;
    Inbox listener;
  };

  static absl::Status CheckPeers(const Endpoint& to, StreamKind kind, const NodeIdentity& from,
                                 const NodeIdentity& there) {
    if (there.role != to.role || (!to.node_id.empty() && there.node_id != to.node_id)) {
      return absl::PermissionDeniedError(to.address + ": another node is there");
    }
    if (!MayOpen(kind, from.role)) {
      return absl::PermissionDeniedError(
          absl::StrCat(to.address, ": a ", std::string(RoleName(from.role)), " may not call that"));
    }
    return absl::OkStatus();
  }

  Mutex mu_;
  std::map<std::string, ListenerEnd> listeners_ SHOAL_GUARDED_BY(mu_);
  std::map<LinkId, Ends> links_ SHOAL_GUARDED_BY(mu_);
  LinkId next_link_ SHOAL_GUARDED_BY(mu_) = 1;
};

namespace {

class InProcessDialer final : public Dialer {
 public:
  InProcessDialer(InProcessSwitch* network, NodeIdentity self)
      : network_(network), self_(std::move(self)) {}
  ~InProcessDialer() override { network_->CloseAll(inbox_); }

  LinkId Dial(const Endpoint& to, StreamKind kind) override {
    return network_->Open(to, kind, self_, inbox_);
  }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time /*deadline*/) override {
    const LinkId link = Dial(to, kind);
    while (true) {  // How it went is in the inbox already.
      std::optional<LinkEvent> event = inbox_->Pop(MonotonicNow());
      if (!event.has_value()) return absl::UnavailableError(to.address + ": closed");
      if (event->link != link) {
        earlier_.push_back(*std::move(event));
      } else if (event->status.ok()) {
        return link;
      } else {
        return event->status;
      }
    }
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    return network_->Send(link, /*to_listener=*/true, std::move(frame));
  }
  void Close(LinkId link) override {
    network_->Close(link);
    closed_.insert(link);
  }
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    while (true) {
      std::optional<LinkEvent> event;
      if (!earlier_.empty()) {
        event.emplace(std::move(earlier_.front()));
        earlier_.pop_front();
      } else {
        event = inbox_->Pop(deadline);
      }
      if (!event.has_value() || !closed_.contains(event->link)) return event;
    }
  }

 private:
  InProcessSwitch* const network_;
  const NodeIdentity self_;
  const Inbox inbox_ = std::make_shared<EventQueue>();
  std::deque<LinkEvent> earlier_;  // Taken from the inbox while Connect waited.
  std::set<LinkId> closed_;
};

class InProcessListener final : public Listener {
 public:
  InProcessListener(InProcessSwitch* network, std::string address, ListenerEnd end)
      : network_(network), address_(std::move(address)), end_(std::move(end)) {}
  ~InProcessListener() override {
    network_->Unregister(address_);
    for (const Inbox& inbox : end_.inboxes) network_->CloseAll(inbox);
  }

  const std::string& address() const override { return address_; }
  bool Poll(StreamKind kind, absl::Time deadline, FrameHandler handler) override {
    std::optional<LinkEvent> event = inbox(kind).Pop(deadline);
    if (!event.has_value()) return false;
    handler(event->link, network_->DialerOf(event->link), std::move(event->frame));
    return true;
  }
  absl::Status Send(StreamKind /*kind*/, LinkId link, FrameBuffer frame) override {
    return network_->Send(link, /*to_listener=*/false, std::move(frame));
  }
  bool IsOpen(StreamKind /*kind*/, LinkId link) override { return network_->IsOpen(link); }
  void Wake(StreamKind kind) override { inbox(kind).Wake(); }

 private:
  EventQueue& inbox(StreamKind kind) { return *end_.inboxes[static_cast<size_t>(kind)]; }

  InProcessSwitch* const network_;
  const std::string address_;
  const ListenerEnd end_;
};

}  // namespace

InProcessNetwork::InProcessNetwork() : switch_(std::make_unique<InProcessSwitch>()) {}
InProcessNetwork::~InProcessNetwork() = default;

const NodeIdentity InProcessNetwork::kTestWorker{NodeRole::kWorker, "0000000000000001"};
const NodeIdentity InProcessNetwork::kTestRouter{NodeRole::kRouter, "0000000000000002"};

absl::StatusOr<std::unique_ptr<Listener>> InProcessNetwork::Listen(const std::string& address,
                                                                   NodeIdentity self) {
  ListenerEnd end{.self = std::move(self), .inboxes = {}};
  for (Inbox& inbox : end.inboxes) inbox = std::make_shared<EventQueue>();
  SHOAL_RETURN_IF_ERROR(switch_->Register(address, end));
  return std::make_unique<InProcessListener>(switch_.get(), address, std::move(end));
}

std::unique_ptr<Dialer> InProcessNetwork::NewDialer(NodeIdentity self) {
  return std::make_unique<InProcessDialer>(switch_.get(), std::move(self));
}

}  // namespace shoal
