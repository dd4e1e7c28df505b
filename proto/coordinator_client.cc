#include "proto/coordinator_client.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "proto/coordinator_session.h"

namespace shoal {

class CoordinatorClient::Impl {
 public:
  explicit Impl(Options options) : session_(std::move(options)) {
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() {
    {
      MutexLock lock(&mu_);
      stop_ = true;
      wake_.SignalAll();
    }
    thread_.join();
  }

  void SetReport(NodeReport report) SHOAL_EXCLUDES(mu_) {
    auto next = std::make_shared<const NodeReport>(std::move(report));
    MutexLock lock(&mu_);
    if (report_ != nullptr && *report_ == *next) return;
    report_ = std::move(next);
    woken_ = true;
    wake_.SignalAll();
  }

  std::shared_ptr<const Snapshot> snapshot() const SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return snapshot_;
  }
  bool connected() const SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return connected_;
  }
  Counters counters() const SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return counters_;
  }

 private:
  void Loop() SHOAL_EXCLUDES(mu_) {
    session_.Start();
    std::shared_ptr<const NodeReport> report;
    while (Rest(&report)) session_.Poll(report.get());
  }

  // Publishes what the session has come to, and waits for the next turn; false: stop.
  bool Rest(std::shared_ptr<const NodeReport>* report) SHOAL_EXCLUDES(mu_) {
    const auto until = std::chrono::steady_clock::now() +
                       absl::ToChronoNanoseconds(CoordinatorSession::kPollPeriod);
    MutexLock lock(&mu_);
    snapshot_ = session_.snapshot();
    connected_ = session_.connected();
    counters_ = session_.counters();
    while (!stop_ && !woken_ && wake_.WaitUntil(&mu_, until)) {
    }
    woken_ = false;
    *report = report_;
    return !stop_;
  }

  CoordinatorSession session_;  // The thread's.
  mutable Mutex mu_;
  CondVar wake_;
  bool stop_ SHOAL_GUARDED_BY(mu_) = false;
  bool woken_ SHOAL_GUARDED_BY(mu_) = true;  // The first turn is at once.
  std::shared_ptr<const NodeReport> report_ SHOAL_GUARDED_BY(mu_);
  std::shared_ptr<const Snapshot> snapshot_ SHOAL_GUARDED_BY(mu_);
  bool connected_ SHOAL_GUARDED_BY(mu_) = false;
  Counters counters_ SHOAL_GUARDED_BY(mu_);
  std::thread thread_;
};

CoordinatorClient::CoordinatorClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CoordinatorClient::~CoordinatorClient() = default;

std::unique_ptr<CoordinatorClient> CoordinatorClient::Start(Options options) {
  return std::unique_ptr<CoordinatorClient>(
      new CoordinatorClient(std::make_unique<Impl>(std::move(options))));
}

void CoordinatorClient::SetReport(NodeReport report) { impl_->SetReport(std::move(report)); }
std::shared_ptr<const Snapshot> CoordinatorClient::snapshot() const { return impl_->snapshot(); }
bool CoordinatorClient::connected() const { return impl_->connected(); }
CoordinatorClient::Counters CoordinatorClient::counters() const { return impl_->counters(); }

}  // namespace shoal
