#include "proto/shard_server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "proto/authorization.h"
#include "proto/shard_service.h"

namespace shoal {
namespace {

constexpr StreamKind kKind = StreamKind::kFetchShard;

// Arrivals are looked for now and then, not waited for inside the transport: gRPC would let this
// thread watch the sockets of calls too (worker/worker.cc). While somebody fetches and nobody
// calls, waiting there keeps the link full.
constexpr absl::Duration kIdlePeriod = absl::Milliseconds(20);
constexpr absl::Duration kFetchTime = absl::Milliseconds(200);  // After the last request.
constexpr absl::Duration kFetchPeriod = absl::Milliseconds(5);

}  // namespace

class ShardServer::Impl {
 public:
  explicit Impl(Options options)
      : listener_(options.listener),
        is_busy_(std::move(options.is_busy)),
        service_(options.data, std::move(options.snapshot)) {
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() {
    {
      MutexLock lock(&mu_);
      stop_.store(true);
      stopping_.SignalAll();
    }
    listener_->Wake(kKind);
    thread_.join();
  }

  Counters counters() const { return {bytes_, answers_, overloaded_, unexpected_frames_}; }

 private:
  struct Waiting {
    LinkId from;
    NodeIdentity peer;
    wire::FetchRequest request;
  };

  void Loop() {
    while (!stop_.load()) {
      TakeArrivals(MonotonicNow());
      const absl::Time now = MonotonicNow();
      if (!queue_.empty()) {
        AnswerFirst();
        continue;
      }
      const bool fetched = now < last_arrival_ + kFetchTime;
      if (fetched && !is_busy_()) {
        TakeArrivals(now + kFetchPeriod);
      } else {
        Rest(fetched ? kFetchPeriod : kIdlePeriod);
      }
    }
  }

  void Rest(absl::Duration duration) SHOAL_EXCLUDES(mu_) {
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(duration);
    MutexLock lock(&mu_);
    if (!stop_.load()) stopping_.WaitUntil(&mu_, until);
  }

  // Waits for the first one until the deadline, then takes those that are there.
  void TakeArrivals(absl::Time deadline) {
    const auto take = [this](LinkId from, const NodeIdentity& peer, FrameBuffer buffer) {
      OnFrame(from, peer, buffer);
    };
    bool arrived = listener_->Poll(kKind, deadline, take);
    for (size_t n = 0; arrived && n < kMaxQueuedFetches && !stop_.load(); ++n) {
      arrived = listener_->Poll(kKind, MonotonicNow(), take);
    }
  }

  void OnFrame(LinkId from, const NodeIdentity& peer, const FrameBuffer& buffer) {
    last_arrival_ = MonotonicNow();
    const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
    if (!frame.ok() || !CheckCall(frame->header, kKind, peer).ok()) {
      ++unexpected_frames_;
      return;
    }
    const wire::FetchRequest& request = frame->header.fetch_request();
    const auto n_of_link = std::count_if(queue_.begin(), queue_.end(),
                                         [&](const Waiting& one) { return one.from == from; });
    if (queue_.size() >= kMaxQueuedFetches || n_of_link >= kMaxFetchesPerLink) {
      ++overloaded_;
      Send(from, ShardService::Refusal(request.id(), wire::FETCH_CODE_OVERLOADED, "queue full"));
      return;
    }
    queue_.push_back({from, peer, request});
  }

  void AnswerFirst() {
    const Waiting first = std::move(queue_.front());
    queue_.pop_front();
    if (!listener_->IsOpen(kKind, first.from)) return;
    FrameBuffer reply = service_.Answer(first.peer, first.request);
    const size_t n_bytes = reply.size();
    Send(first.from, std::move(reply));
    bytes_ += n_bytes;
    ++answers_;
  }

  // Whoever has gone needs no answer.
  void Send(LinkId to, FrameBuffer frame) { (void)listener_->Send(kKind, to, std::move(frame)); }

  Listener* const listener_;
  const std::function<bool()> is_busy_;
  ShardService service_;
  std::deque<Waiting> queue_;
  absl::Time last_arrival_ = absl::InfinitePast();
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> answers_{0};
  std::atomic<uint64_t> overloaded_{0};
  std::atomic<uint64_t> unexpected_frames_{0};
  std::atomic<bool> stop_{false};
  Mutex mu_;
  CondVar stopping_;
  std::thread thread_;
};

ShardServer::ShardServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ShardServer::~ShardServer() = default;

std::unique_ptr<ShardServer> ShardServer::Start(Options options) {
  return std::unique_ptr<ShardServer>(new ShardServer(std::make_unique<Impl>(std::move(options))));
}

ShardServer::Counters ShardServer::counters() const { return impl_->counters(); }

}  // namespace shoal
