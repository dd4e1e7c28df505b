#include "router/dispatch/worker_links.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace shoal {
namespace {

constexpr absl::Duration kLeastBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMostBackoff = absl::Seconds(2);
constexpr absl::Duration kDialTimeout = absl::Seconds(3);
constexpr size_t kCorruptFrames = 3;
constexpr absl::Duration kCorruptWindow = absl::Seconds(60);
constexpr absl::Duration kLeastEjection = absl::Seconds(5);
constexpr absl::Duration kMostEjection = absl::Seconds(60);

}  // namespace

bool WorkerLinks::Sync(const PeerViews& views, std::vector<LinkId>* gone) {
  // Places that become free now are given away next time only: calls that are being ended still
  // name those who had them.
  std::vector<bool> kept(workers_.size(), false);
  std::vector<const PeerView*> added;
  for (const PeerView& view : views) {
    const auto known = std::find_if(workers_.begin(), workers_.end(), [&](const Worker& worker) {
      return worker.present && worker.member.node_id == view.member.node_id &&
             worker.member.address == view.member.address;
    });
    if (known == workers_.end()) {
      added.push_back(&view);
      continue;
    }
    kept[known - workers_.begin()] = true;
    Follow(*known, view);
  }
  bool complete = true;
  for (const PeerView* view : added) {
    const int place = FreePlace(kept.size());
    if (place < 0) {
      complete = false;
      continue;
    }
    Worker& worker = workers_[place];
    worker = Worker{};
    worker.present = true;
    worker.member = view->member;
    worker.name = NameOf(view->member, place);
    if (static_cast<size_t>(place) < kept.size()) kept[place] = true;
    Follow(worker, *view);
  }
  for (size_t place = 0; place < kept.size(); ++place) {
    Worker& worker = workers_[place];
    if (!worker.present || kept[place]) continue;
    worker.present = false;
    worker.waiting.clear();
    worker.n_outstanding = 0;
    if (worker.state != State::kDown) {
      dialer_->Close(worker.link);
      gone->push_back(worker.link);
    }
    worker.state = State::kDown;
  }
  speeds_.clear();
  for (const Worker& worker : workers_) speeds_.push_back(worker.member.speed);
  return complete;
}

// A free place, or -1.
int WorkerLinks::FreePlace(size_t n_before) {
  for (size_t place = 0; place < n_before; ++place) {
    if (!workers_[place].present) return static_cast<int>(place);
  }
  if (workers_.size() == size_t{kMaxWorkers}) return -1;
  workers_.emplace_back();
  return static_cast<int>(workers_.size()) - 1;
}

void WorkerLinks::Follow(Worker& worker, const PeerView& view) {
  if (view.reachable && !worker.reachable) {  // It is back: no reason to wait with anything.
    worker.overdue_until = absl::InfinitePast();
    worker.redial_at = absl::InfinitePast();
    worker.backoff = absl::ZeroDuration();
  }
  worker.member = view.member;
  worker.reachable = view.reachable;
  worker.unfit = view.unfit;
  worker.draining = view.draining;
  worker.resident = view.resident;
}

void WorkerLinks::BeginStep() {
  for (Worker& worker : workers_) {
    worker.n_outstanding = 0;
    worker.waiting.clear();
  }
}

void WorkerLinks::Dial(absl::Time now) {
  for (Worker& worker : workers_) {
    if (!worker.present || worker.state == State::kOpen) continue;
    if (worker.state == State::kDialling && now - worker.dialled_at > kDialTimeout) {
      dialer_->Close(worker.link);
      OnClosed(worker, absl::UnavailableError("does not answer"), now);
    }
    if (worker.state != State::kDown || now < worker.redial_at) continue;
    worker.link = dialer_->Dial({.address = worker.member.address,
                                 .role = NodeRole::kWorker,
                                 .node_id = worker.member.node_id},
                                StreamKind::kRunExperts);
    worker.state = State::kDialling;
    worker.dialled_at = now;
  }
}

WorkerLinks::Worker* WorkerLinks::Find(LinkId link) {
  for (Worker& worker : workers_) {
    if (worker.present && worker.state != State::kDown && worker.link == link) return &worker;
  }
  return nullptr;
}

void WorkerLinks::OnOpened(Worker& worker) {
  worker.state = State::kOpen;
  worker.backoff = absl::ZeroDuration();
  worker.overdue_until = absl::InfinitePast();
}

void WorkerLinks::OnClosed(Worker& worker, const absl::Status& why, absl::Time now) {
  worker.state = State::kDown;
  worker.closed = why;
  worker.n_outstanding = 0;
  worker.waiting.clear();
  worker.backoff = std::clamp(worker.backoff * 2, kLeastBackoff, kMostBackoff);
  worker.redial_at = now + worker.backoff;
}

void WorkerLinks::OnCorrupt(Worker& worker, absl::Time now) {
  worker.corrupt.push_back(now);
  std::erase_if(worker.corrupt, [now](absl::Time at) { return now - at > kCorruptWindow; });
  if (worker.corrupt.size() < kCorruptFrames) return;
  worker.corrupt.clear();
  if (now - worker.ejected_until > kCorruptWindow) worker.ejection = absl::ZeroDuration();
  worker.ejection = std::clamp(worker.ejection * 2, kLeastEjection, kMostEjection);
  worker.ejected_until = now + worker.ejection;
  Log(LogLevel::kError, "worker ejected",
      {{"worker", worker.name},
       {"why", "3 corrupt frames within 60 s"},
       {"seconds", absl::ToDoubleSeconds(worker.ejection)}});
}

std::string WorkerLinks::Troubles() const {
  std::string text;
  for (const Worker& worker : workers_) {
    if (!worker.present || worker.state == State::kOpen) continue;
    absl::StrAppend(&text, "; ", worker.name, ": ", std::string(worker.closed.message()));
  }
  return text;
}

int WorkerLinks::Penalty(const Worker& worker, absl::Time now) {
  return (worker.draining ? kDraining : 0) +
         (!worker.reachable || now < worker.overdue_until ? kSilent : 0) +
         (now < worker.ejected_until ? kEjected : 0);
}

std::span<const int> WorkerLinks::Candidates(int layer, int expert, const WorkerSet& excluded,
                                             absl::Time now) {
  candidates_.clear();
  int least = kDraining + kSilent + kEjected;
  for (int place = 0; place < size(); ++place) {
    const Worker& worker = workers_[place];
    if (!worker.present || worker.unfit || worker.state != State::kOpen || excluded[place] ||
        !worker.resident.Contains(layer, expert)) {
      continue;
    }
    const int penalty = Penalty(worker, now);
    if (penalty < least) candidates_.clear();
    if (penalty <= least) candidates_.push_back(place);
    least = std::min(least, penalty);
  }
  return candidates_;
}

}  // namespace shoal
