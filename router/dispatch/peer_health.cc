#include "router/dispatch/peer_health.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

// How often links are looked after. They are not waited for inside the transport: gRPC lets one
// thread watch all of a process's sockets, and were that this thread, every answer to a call would
// first wake it and then the engine's thread, 40 to 50 us more.
constexpr absl::Duration kLook = absl::Milliseconds(20);
// Only every so often is an answer waited for there, so that round trips are told truly.
constexpr absl::Duration kTimingPeriod = absl::Seconds(5);
constexpr absl::Duration kLeastBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMostBackoff = absl::Seconds(2);
constexpr absl::Duration kMute = absl::Seconds(5);  // A link that says nothing for so long is dead.
constexpr int kMaxEventsPerLook = 1024;             // More wait for the next look.
constexpr absl::Duration kDialTimeout = absl::Seconds(3);
// A look that comes later than this says more about this process than about its peers.
constexpr absl::Duration kOwnPause = absl::Milliseconds(50);

std::chrono::steady_clock::time_point SteadyIn(absl::Duration wait) {
  return std::chrono::steady_clock::now() +
         absl::ToChronoNanoseconds(std::min(wait, absl::Hours(24)));
}

WorkerStatus FromWire(const wire::StatusReply& reply, const std::string& address) {
  WorkerStatus status;
  status.address = address;
  status.model_id = reply.model_id();
  status.numerics_class = reply.numerics_class();
  status.isa = reply.isa();
  status.draining = reply.draining();
  status.calls = reply.calls();
  status.refused_calls = reply.refused_calls();
  status.rows_computed = reply.rows_computed();
  status.bytes_in = reply.bytes_in();
  status.bytes_out = reply.bytes_out();
  status.resident_experts = reply.resident_experts();
  status.resident_expert_bytes = reply.resident_expert_bytes();
  status.rss_bytes = reply.rss_bytes();
  status.incarnation = reply.incarnation();
  status.compute = absl::Nanoseconds(static_cast<int64_t>(reply.compute_ns()));
  return status;
}

bool SameNode(const WorkerMember& a, const WorkerMember& b) {
  return a.node_id == b.node_id && a.address == b.address;
}

}  // namespace

std::string NameOf(const WorkerMember& member, int index) {
  return member.node_id.empty()
             ? absl::StrCat("worker ", index, " (", member.address, ")")
             : absl::StrCat("worker ", member.node_id, " (", member.address, ")");
}

PeerHealth::PeerHealth(Options options, std::unique_ptr<Dialer> dialer)
    : options_(std::move(options)), dialer_(std::move(dialer)) {
  thread_ = std::thread([this] { ThreadMain(); });
}

PeerHealth::~PeerHealth() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
    wake_.SignalAll();
  }
  thread_.join();
}

void PeerHealth::SetMembers(std::vector<WorkerMember> members) {
  members.resize(std::min(members.size(), size_t{kMaxWorkers}));
  MutexLock lock(&mu_);
  members_ = std::move(members);
  members_changed_ = true;
  wake_.SignalAll();
}

std::shared_ptr<const PeerViews> PeerHealth::views() const {
  MutexLock lock(&mu_);
  return views_;
}

absl::StatusOr<std::shared_ptr<const PeerViews>> PeerHealth::Ask(absl::Time deadline) {
  const absl::Time begin = options_.clock->Now();
  const auto until = SteadyIn(deadline - begin);
  MutexLock lock(&mu_);
  ask_now_ = true;
  wake_.SignalAll();
  while (true) {
    const auto silent = std::find_if(views_->begin(), views_->end(),
                                     [begin](const PeerView& view) { return view.asked < begin; });
    if (!members_changed_ && silent == views_->end()) return views_;
    if (published_.WaitUntil(&mu_, until)) continue;
    if (silent == views_->end()) return absl::UnavailableError("no status before the deadline");
    return absl::UnavailableError(
        absl::StrCat(NameOf(silent->member, static_cast<int>(silent - views_->begin())),
                     ": no status before the deadline; ", std::string(silent->trouble.message())));
  }
}

void PeerHealth::ThreadMain() {
  while (true) {
    TakeInMembers();
    now_ = options_.clock->Now();
    // Twice nothing: what one look reads from a socket, the next one may hand over.
    for (int n_empty = 0, n_events = 0; n_empty < 2 && n_events < kMaxEventsPerLook; ++n_events) {
      const std::optional<LinkEvent> event = dialer_->Next(now_);
      event.has_value() ? OnEvent(*event) : static_cast<void>(++n_empty);
    }
    if (now_ - last_look_ > kLook + kOwnPause) {
      for (Peer& peer : peers_) peer.pulse.Excuse(now_ - last_look_ - kLook);
    }
    last_look_ = now_;
    for (Peer& peer : peers_) Tend(peer);
    if (now_ >= timing_at_) TimeRoundTrips();
    if (seen_) Publish();
    SleepUntilNextLook();
    MutexLock lock(&mu_);
    if (stop_) return;
  }
}

// Asks everybody, and takes each answer as it comes, for one look at most.
void PeerHealth::TimeRoundTrips() {
  timing_at_ = now_ + kTimingPeriod;
  int n_asked = 0;
  for (Peer& peer : peers_) {
    if (peer.state != LinkState::kOpen) continue;
    peer.pulse.AskAtOnce();
    Tend(peer);
    ++n_asked;
  }
  const absl::Time until = now_ + kLook;
  timing_ = true;
  for (int n_events = 0; n_events < n_asked && now_ < until; ++n_events) {
    const std::optional<LinkEvent> event = dialer_->Next(until);
    now_ = options_.clock->Now();
    if (event.has_value()) OnEvent(*event);
  }
  timing_ = false;
}

void PeerHealth::TakeInMembers() {
  std::vector<WorkerMember> members;
  {
    MutexLock lock(&mu_);
    if (std::exchange(ask_now_, false)) {
      for (Peer& peer : peers_) peer.pulse.AskAtOnce();
    }
    if (!members_changed_) return;
    members = members_;
  }
  std::vector<Peer> peers;
  for (const WorkerMember& member : members) {
    const auto known = std::find_if(peers_.begin(), peers_.end(), [&](const Peer& peer) {
      return SameNode(peer.view.member, member);
    });
    Peer& peer = peers.emplace_back();
    if (known != peers_.end()) {
      peer = std::move(*known);
      peers_.erase(known);
    } else {
      peer.view.trouble = absl::UnavailableError("not reached yet");
      peer.view.asked = absl::InfinitePast();
    }
    peer.view.member = member;
    peer.view.draining = member.draining || peer.view.status.draining;
  }
  for (const Peer& gone : peers_) {
    if (gone.state != LinkState::kDown) dialer_->Close(gone.link);
  }
  peers_ = std::move(peers);
  seen_ = matters_ = true;
  Publish();
  MutexLock lock(&mu_);
  members_changed_ = members_ != members;
}

void PeerHealth::OnEvent(const LinkEvent& event) {
  const auto peer = std::find_if(peers_.begin(), peers_.end(), [&](const Peer& candidate) {
    return candidate.state != LinkState::kDown && candidate.link == event.link;
  });
  if (peer == peers_.end()) return;
  if (!event.status.ok()) return LinkLost(*peer, event.status);
  if (event.opened) {
    peer->state = LinkState::kOpen;
    peer->pulse.Reset(now_);
    timing_at_ = now_;
    return;
  }
  const absl::StatusOr<Frame> frame = DecodeFrame(event.frame);
  if (frame.ok() && frame->header.has_status_reply()) {
    OnAnswer(*peer, frame->header.status_reply());
  }
}

void PeerHealth::OnAnswer(Peer& peer, const wire::StatusReply& reply) {
  const std::optional<absl::Time> asked = peer.pulse.OnAnswer(reply.id(), now_);
  if (!asked.has_value()) return;
  seen_ = true;
  peer.backoff = absl::ZeroDuration();
  PeerView& view = peer.view;
  view.status = FromWire(reply, view.member.address);
  view.asked = *asked;
  if (timing_) view.round_trip = now_ - *asked;
  absl::Status fit = CheckFit(reply);
  absl::StatusOr<ExpertSet> resident =
      ExpertSet::FromBytes(reply.resident(), options_.n_layers, options_.n_experts);
  if (fit.ok() && !resident.ok()) fit = resident.status();
  const bool draining = view.member.draining || reply.draining();
  matters_ |= view.unfit != !fit.ok();
  view.unfit = !fit.ok();
  if (fit.ok() && (draining != view.draining || *resident != view.resident)) {
    view.resident = *std::move(resident);
    matters_ = true;
  }
  view.draining = draining;
  const bool fits = fit.ok();  // Before it is moved from.
  SetReachable(peer, fits, std::move(fit));
}

absl::Status PeerHealth::CheckFit(const wire::StatusReply& reply) const {
  if (reply.model_id() != options_.model_id) {
    return absl::FailedPreconditionError(absl::StrCat("serves model ", Quoted(reply.model_id()),
                                                      ", not ", Quoted(options_.model_id)));
  }
  if (reply.numerics_class() != options_.numerics_class) {
    return absl::FailedPreconditionError(absl::StrCat("is of numerics class ",
                                                      Quoted(reply.numerics_class()), ", not ",
                                                      Quoted(options_.numerics_class)));
  }
  return absl::OkStatus();
}

// Dials, asks, and notices silence.
void PeerHealth::Tend(Peer& peer) {
  if (peer.state == LinkState::kDown && now_ >= peer.redial_at) {
    peer.link = dialer_->Dial({.address = peer.view.member.address,
                               .role = NodeRole::kWorker,
                               .node_id = peer.view.member.node_id},
                              StreamKind::kHealth);
    peer.state = LinkState::kDialling;
    peer.dialled_at = now_;
    return;
  }
  if (peer.state == LinkState::kDialling && now_ - peer.dialled_at > kDialTimeout) {
    dialer_->Close(peer.link);
    return LinkLost(peer, absl::UnavailableError("does not answer"));
  }
  if (peer.state != LinkState::kOpen) return;
  if (peer.pulse.Silent(now_)) {
    SetReachable(peer, false, absl::UnavailableError("has fallen silent"));
  }
  if (peer.pulse.SilentFor(now_) > kMute) {
    dialer_->Close(peer.link);
    return LinkLost(peer, absl::UnavailableError("has not answered; its link is opened anew"));
  }
  if (!peer.pulse.Due(now_)) return;
  wire::FrameHeader header;
  header.mutable_status_request()->set_id(peer.pulse.Ask(now_));
  // A link that has closed says so itself.
  (void)dialer_->Send(peer.link, EncodeFrame(header));
}

void PeerHealth::LinkLost(Peer& peer, const absl::Status& why) {
  peer.state = LinkState::kDown;
  peer.backoff = std::clamp(peer.backoff * 2, kLeastBackoff, kMostBackoff);
  peer.redial_at = now_ + peer.backoff;
  SetReachable(peer, false, why);
}

void PeerHealth::SetReachable(Peer& peer, bool reachable, absl::Status why) {
  matters_ |= peer.view.reachable != reachable;
  seen_ |= peer.view.reachable != reachable || peer.view.trouble != why;
  peer.view.reachable = reachable;
  peer.view.trouble = std::move(why);
}

void PeerHealth::Publish() {
  auto views = std::make_shared<PeerViews>();
  for (const Peer& peer : peers_) views->push_back(peer.view);
  MutexLock lock(&mu_);
  views_ = std::move(views);
  if (std::exchange(matters_, false)) version_.fetch_add(1, std::memory_order_release);
  seen_ = false;
  published_.SignalAll();
}

void PeerHealth::SleepUntilNextLook() {
  MutexLock lock(&mu_);
  if (stop_ || members_changed_ || ask_now_) return;
  wake_.WaitUntil(&mu_, SteadyIn(kLook));
}

}  // namespace shoal
