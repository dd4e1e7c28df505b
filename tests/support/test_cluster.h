#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "model/weight_source.h"
#include "proto/dialer_testing.h"
#include "proto/in_process_transport.h"
#include "router/dispatch/remote_experts.h"
#include "worker/worker.h"

namespace shoal {

// Real workers with their slices of a model, in this process.
class TestCluster {
 public:
  using Listen = std::function<absl::StatusOr<std::unique_ptr<Listener>>(int worker)>;
  using Change = std::function<void(RemoteExperts::Options&)>;

  // Every expert is on `n_replicas` of the workers.
  static std::unique_ptr<TestCluster> Start(const ModelConfig& config, const WeightSource& weights,
                                            int n_workers, const Listen& listen,
                                            int n_replicas = 1);
  // Over `network`, which outlives the result.
  static std::unique_ptr<TestCluster> Start(const ModelConfig& config, const WeightSource& weights,
                                            int n_workers, InProcessNetwork& network,
                                            int n_replicas = 1);

  // What a router needs to reach them.
  const RemoteExperts::Options& options() const { return options_; }
  const std::vector<WorkerMember>& members() const { return members_; }
  // Over those dialers; returns once every expert can be asked.
  static absl::StatusOr<std::unique_ptr<RemoteExperts>> Connect(
      const RemoteExperts::Options& options, std::vector<WorkerMember> members,
      std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health,
      absl::Duration timeout = absl::Seconds(20));
  absl::StatusOr<std::unique_ptr<RemoteExperts>> Connect(
      InProcessNetwork& network, const Change& change = [](RemoteExperts::Options&) {}) const;

  Worker& worker(int i) { return *workers_[i]; }
  void StopWorker(int i) { workers_[i].reset(); }
  // Starts it anew at its old address.
  void StartWorker(int i);

 private:
  RemoteExperts::Options options_;
  std::vector<WorkerMember> members_;
  std::function<std::unique_ptr<Worker>(int)> start_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Passes connections on and nothing else: no frame is sent, none arrives.
class MuteDialer final : public ForwardingDialer {
 public:
  using ForwardingDialer::ForwardingDialer;
  absl::Status Send(LinkId, FrameBuffer) override { return absl::OkStatus(); }

 private:
  std::unique_ptr<Dialer> inner_;
};

// While `silent`, nothing goes to one address and nothing comes from it; its links stay open.
class SilencingDialer final : public ForwardingDialer {
 public:
  SilencingDialer(std::unique_ptr<Dialer> inner, std::string address, std::atomic<bool>* silent)
      : ForwardingDialer(std::move(inner)), address_(std::move(address)), silent_(silent) {}
  LinkId Dial(const Endpoint& to, StreamKind kind) override {
    return Note(to, ForwardingDialer::Dial(to, kind));
  }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time deadline) override {
    auto link = ForwardingDialer::Connect(to, kind, deadline);
    if (link.ok()) Note(to, *link);
    return link;
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    if (Silenced(link)) return absl::OkStatus();
    return ForwardingDialer::Send(link, std::move(frame));
  }
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    std::optional<LinkEvent> event = ForwardingDialer::Next(deadline);
    if (event.has_value() && Silenced(event->link)) return std::nullopt;
    return event;
  }

 private:
  LinkId Note(const Endpoint& to, LinkId link) {
    if (to.address == address_) links_.insert(link);
    return link;
  }
  bool Silenced(LinkId link) const { return silent_->load() && links_.contains(link); }

  const std::string address_;
  std::atomic<bool>* const silent_;
  std::set<LinkId> links_;
};

// Flips a bit of every twentieth frame that arrives.
class DamagingDialer final : public ForwardingDialer {
 public:
  DamagingDialer(std::unique_ptr<Dialer> inner, uint64_t seed)
      : ForwardingDialer(std::move(inner)), rng_(seed) {}
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    std::optional<LinkEvent> event = ForwardingDialer::Next(deadline);
    if (event.has_value() && !event->frame.empty() && rng_() % 20 == 0) {
      event->frame.data()[rng_() % event->frame.size()] ^= std::byte{1};
    }
    return event;
  }

 private:
  std::mt19937_64 rng_;
};

// Hands out, now and then and in random order, copies of frames that arrived before.
class ReplayingDialer final : public ForwardingDialer {
 public:
  ReplayingDialer(std::unique_ptr<Dialer> inner, uint64_t seed)
      : ForwardingDialer(std::move(inner)), rng_(seed) {}
  std::optional<LinkEvent> Next(absl::Time deadline) override;

 private:
  std::mt19937_64 rng_;
  std::vector<LinkEvent> past_;
};

}  // namespace shoal
