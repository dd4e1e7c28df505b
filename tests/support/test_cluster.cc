#include "tests/support/test_cluster.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "engine/numerics_class.h"
#include "kernels/kernel_table.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

constexpr char kModelId[] = "0123456789abcdef";

LinkEvent Copy(const LinkEvent& event) {
  LinkEvent copy{event.link, event.status, FrameBuffer(event.frame.size()), event.opened};
  std::copy(event.frame.bytes().begin(), event.frame.bytes().end(), copy.frame.data());
  return copy;
}

}  // namespace

std::unique_ptr<TestCluster> TestCluster::Start(const ModelConfig& config,
                                                const WeightSource& weights, int n_workers,
                                                const Listen& listen, int n_replicas) {
  auto cluster = std::make_unique<TestCluster>();
  const auto format = RowFormatOf(config, weights);
  SHOAL_CHECK(format.ok());
  cluster->options_ = RemoteExperts::OptionsFor(config, *format, SelectedKernels());
  cluster->options_.model_id = kModelId;
  cluster->start_ = [=, &weights, format = *format](int w) {
    LoadedExperts loaded =
        LoadExperts(config, weights, {.part = w, .n_parts = n_workers, .n_replicas = n_replicas},
                    {.format = format});
    auto listener = listen(w);
    SHOAL_CHECK(listener.ok());
    auto served = std::make_shared<Served>(
        ServedModel{.model_id = kModelId,
                    .numerics_class = NumericsClass(format, /*activations_f32=*/false),
                    .format = format,
                    .n_layers = config.n_layers,
                    .n_experts = config.MaxExperts(),
                    .hidden_dim = config.hidden_dim},
        std::move(loaded.experts));
    served->AdvertiseAll();
    WorkerService::Options service;
    service.authenticated = false;  // Some of these networks carry no certificates.
    return Worker::Start({.listener = *std::move(listener),
                          .pool = std::move(loaded.pool),
                          .served = std::move(served),
                          .service = std::move(service)});
  };
  for (int w = 0; w < n_workers; ++w) {
    cluster->workers_.push_back(cluster->start_(w));
    cluster->members_.push_back({.node_id = {}, .address = cluster->workers_[w]->address()});
  }
  return cluster;
}

std::unique_ptr<TestCluster> TestCluster::Start(const ModelConfig& config,
                                                const WeightSource& weights, int n_workers,
                                                InProcessNetwork& network, int n_replicas) {
  return Start(
      config, weights, n_workers,
      [&network](int w) { return network.Listen("worker-" + std::to_string(w)); }, n_replicas);
}

void TestCluster::StartWorker(int i) { workers_[i] = start_(i); }

absl::StatusOr<std::unique_ptr<RemoteExperts>> TestCluster::Connect(
    const RemoteExperts::Options& options, std::vector<WorkerMember> members,
    std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health, absl::Duration timeout) {
  auto remote = RemoteExperts::Create(options, std::move(calls), std::move(health));
  if (!remote.ok()) return remote.status();
  (*remote)->SetMembers(std::move(members));
  if (absl::Status servable = (*remote)->WaitUntilServable(MonotonicNow() + timeout);
      !servable.ok()) {
    return servable;
  }
  return remote;
}

absl::StatusOr<std::unique_ptr<RemoteExperts>> TestCluster::Connect(InProcessNetwork& network,
                                                                    const Change& change) const {
  RemoteExperts::Options options = options_;
  change(options);
  return Connect(options, members_, network.NewDialer(), network.NewDialer());
}

std::optional<LinkEvent> ReplayingDialer::Next(absl::Time deadline) {
  if (!past_.empty() && rng_() % 2 == 0) return Copy(past_[rng_() % past_.size()]);
  std::optional<LinkEvent> event = ForwardingDialer::Next(deadline);
  if (event.has_value()) past_.push_back(Copy(*event));
  if (past_.size() > 20) past_.erase(past_.begin());
  return event;
}

}  // namespace shoal
