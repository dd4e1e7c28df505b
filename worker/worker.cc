#include "worker/worker.h"

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace shoal {
namespace {

// How often health is looked after. It is not waited for inside the transport: gRPC lets one thread
// watch all of a process's sockets, and were that this thread, each call would first wake it and
// then the compute thread, 40 to 50 us more. A router expects a sign of life every 100 ms.
constexpr std::chrono::milliseconds kHealthPeriod{20};
constexpr int kMaxFramesPerRound = 256;  // Taken in between two calls.

}  // namespace

std::unique_ptr<Worker> Worker::Start(Parts parts) {
  std::unique_ptr<Worker> worker(new Worker(std::move(parts)));
  worker->compute_thread_ = std::thread([w = worker.get()] { w->ComputeLoop(); });
  worker->health_thread_ = std::thread([w = worker.get()] { w->HealthLoop(); });
  return worker;
}

Worker::Worker(Parts parts) : parts_(std::move(parts)), service_(parts_.service) {
  service_.Serve(std::move(parts_.served));
}

Worker::~Worker() {
  {
    MutexLock lock(&mu_);
    stop_.store(true);
    stopping_.SignalAll();
  }
  parts_.listener->Wake(StreamKind::kRunExperts);
  compute_thread_.join();
  health_thread_.join();
  parts_.listener.reset();  // Before the service: no frame may arrive for it any more.
}

void Worker::ComputeLoop() {
  constexpr StreamKind kKind = StreamKind::kRunExperts;
  const auto take_in = [this](LinkId from, const NodeIdentity& peer, FrameBuffer frame) {
    service_.OnRunExperts(peer, std::move(frame), ReplyTo(kKind, from));
  };
  bool computed = false;
  while (!stop_.load()) {
    // Everything that has arrived is taken in first, so that deadlines count from arrival and a
    // full queue is answered at once; not so much that a peer could keep others from being served.
    bool arrived =
        parts_.listener->Poll(kKind, computed ? MonotonicNow() : absl::InfiniteFuture(), take_in);
    for (int n = 0; arrived && n < kMaxFramesPerRound; ++n) {
      arrived = parts_.listener->Poll(kKind, MonotonicNow(), take_in);
    }
    computed = service_.RunNext();
  }
}

void Worker::HealthLoop() {
  constexpr StreamKind kKind = StreamKind::kHealth;
  const auto answer = [this](LinkId from, const NodeIdentity& peer, FrameBuffer frame) {
    service_.OnHealth(peer, frame, ReplyTo(kKind, from));
  };
  while (!stop_.load()) {
    for (int n = 0; n < kMaxFramesPerRound; ++n) {
      if (!parts_.listener->Poll(kKind, MonotonicNow(), answer)) break;
    }
    MutexLock lock(&mu_);
    if (!stop_.load()) stopping_.WaitUntil(&mu_, std::chrono::steady_clock::now() + kHealthPeriod);
  }
}

WorkerService::Reply Worker::ReplyTo(StreamKind kind, LinkId link) {
  return [this, kind, link](FrameBuffer frame) {
    // A caller that has gone needs no answer.
    (void)parts_.listener->Send(kind, link, std::move(frame));
  };
}

}  // namespace shoal
