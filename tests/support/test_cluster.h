#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "model/weight_source.h"
#include "proto/in_process_transport.h"
#include "router/dispatch/remote_experts.h"
#include "worker/worker.h"

namespace shoal {

// Real workers with their slices of a model, in this process.
class TestCluster {
 public:
  using Listen = std::function<absl::StatusOr<std::unique_ptr<Listener>>(int worker)>;
  using Change = std::function<void(RemoteExperts::Options&)>;

  static std::unique_ptr<TestCluster> Start(const ModelConfig& config, const WeightSource& weights,
                                            int n_workers, const Listen& listen);
  // Over `network`, which outlives the result.
  static std::unique_ptr<TestCluster> Start(const ModelConfig& config, const WeightSource& weights,
                                            int n_workers, InProcessNetwork& network);

  // What a router needs to reach them.
  const RemoteExperts::Options& options() const { return options_; }
  absl::StatusOr<std::unique_ptr<RemoteExperts>> Connect(
      InProcessNetwork& network, const Change& change = [](RemoteExperts::Options&) {}) const;

  Worker& worker(int i) { return *workers_[i]; }
  void StopWorker(int i) { workers_[i].reset(); }

 private:
  RemoteExperts::Options options_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Passes connections on and nothing else: no frame is sent, none arrives.
class MuteDialer final : public Dialer {
 public:
  explicit MuteDialer(std::unique_ptr<Dialer> inner) : inner_(std::move(inner)) {}
  LinkId Dial(const Endpoint& to, StreamKind kind) override { return inner_->Dial(to, kind); }
  void Close(LinkId link) override { inner_->Close(link); }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time deadline) override {
    return inner_->Connect(to, kind, deadline);
  }
  absl::Status Send(LinkId, FrameBuffer) override { return absl::OkStatus(); }
  std::optional<LinkEvent> Next(absl::Time deadline) override { return inner_->Next(deadline); }

 private:
  std::unique_ptr<Dialer> inner_;
};

// Hands out, now and then and in random order, copies of frames that arrived before.
class ReplayingDialer final : public Dialer {
 public:
  ReplayingDialer(std::unique_ptr<Dialer> inner, uint64_t seed)
      : inner_(std::move(inner)), rng_(seed) {}
  LinkId Dial(const Endpoint& to, StreamKind kind) override { return inner_->Dial(to, kind); }
  void Close(LinkId link) override { inner_->Close(link); }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time deadline) override {
    return inner_->Connect(to, kind, deadline);
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    return inner_->Send(link, std::move(frame));
  }
  std::optional<LinkEvent> Next(absl::Time deadline) override;

 private:
  std::unique_ptr<Dialer> inner_;
  std::mt19937_64 rng_;
  std::vector<LinkEvent> past_;
};

}  // namespace shoal
