#include "proto/in_process_transport.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "base/status_macros.h"

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
using ListenerInboxes = std::array<Inbox, kNStreamKinds>;

}  // namespace

// Who listens where, and which two queues each open link joins. Thread-safe.
class InProcessSwitch {
 public:
  absl::Status Register(const std::string& address, const ListenerInboxes& inboxes)
      SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (!listeners_.emplace(address, inboxes).second) {
      return absl::AlreadyExistsError(absl::StrCat(address, ": somebody listens there already"));
    }
    return absl::OkStatus();
  }

  void Unregister(const std::string& address) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    listeners_.erase(address);
  }

  absl::StatusOr<LinkId> Open(const std::string& address, StreamKind kind, const Inbox& dialer)
      SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const auto found = listeners_.find(address);
    if (found == listeners_.end()) {
      return absl::UnavailableError(absl::StrCat(address, ": nobody listens there"));
    }
    links_[next_link_] = {dialer, found->second[static_cast<size_t>(kind)]};
    return next_link_++;
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
    Inbox dialer;
    Inbox listener;
  };

  Mutex mu_;
  std::map<std::string, ListenerInboxes> listeners_ SHOAL_GUARDED_BY(mu_);
  std::map<LinkId, Ends> links_ SHOAL_GUARDED_BY(mu_);
  LinkId next_link_ SHOAL_GUARDED_BY(mu_) = 1;
};

namespace {

class InProcessDialer final : public Dialer {
 public:
  explicit InProcessDialer(InProcessSwitch* network) : network_(network) {}
  ~InProcessDialer() override { network_->CloseAll(inbox_); }

  absl::StatusOr<LinkId> Connect(const std::string& address, StreamKind kind,
                                 absl::Time /*deadline*/) override {
    return network_->Open(address, kind, inbox_);
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    return network_->Send(link, /*to_listener=*/true, std::move(frame));
  }
  std::optional<LinkEvent> Next(absl::Time deadline) override { return inbox_->Pop(deadline); }

 private:
  InProcessSwitch* const network_;
  const Inbox inbox_ = std::make_shared<EventQueue>();
};

class InProcessListener final : public Listener {
 public:
  InProcessListener(InProcessSwitch* network, std::string address, ListenerInboxes inboxes)
      : network_(network), address_(std::move(address)), inboxes_(std::move(inboxes)) {}
  ~InProcessListener() override {
    network_->Unregister(address_);
    for (const Inbox& inbox : inboxes_) network_->CloseAll(inbox);
  }

  const std::string& address() const override { return address_; }
  bool Poll(StreamKind kind, absl::Time deadline, FrameHandler handler) override {
    std::optional<LinkEvent> event = inbox(kind).Pop(deadline);
    if (event.has_value()) handler(event->link, std::move(event->frame));
    return event.has_value();
  }
  absl::Status Send(StreamKind /*kind*/, LinkId link, FrameBuffer frame) override {
    return network_->Send(link, /*to_listener=*/false, std::move(frame));
  }
  void Wake(StreamKind kind) override { inbox(kind).Wake(); }

 private:
  EventQueue& inbox(StreamKind kind) { return *inboxes_[static_cast<size_t>(kind)]; }

  InProcessSwitch* const network_;
  const std::string address_;
  const ListenerInboxes inboxes_;
};

}  // namespace

InProcessNetwork::InProcessNetwork() : switch_(std::make_unique<InProcessSwitch>()) {}
InProcessNetwork::~InProcessNetwork() = default;

absl::StatusOr<std::unique_ptr<Listener>> InProcessNetwork::Listen(const std::string& address) {
  ListenerInboxes inboxes;
  for (Inbox& inbox : inboxes) inbox = std::make_shared<EventQueue>();
  SHOAL_RETURN_IF_ERROR(switch_->Register(address, inboxes));
  return std::make_unique<InProcessListener>(switch_.get(), address, std::move(inboxes));
}

std::unique_ptr<Dialer> InProcessNetwork::NewDialer() {
  return std::make_unique<InProcessDialer>(switch_.get());
}

}  // namespace shoal
