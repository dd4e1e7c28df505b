#include "tests/support/test_cluster.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/numerics_class.h"
#include "kernels/kernel_table.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

constexpr char kModelId[] = "0123456789abcdef";

LinkEvent Copy(const LinkEvent& event) {
  LinkEvent copy{event.link, event.status, FrameBuffer(event.frame.size())};
  std::copy(event.frame.bytes().begin(), event.frame.bytes().end(), copy.frame.data());
  return copy;
}

}  // namespace

std::unique_ptr<TestCluster> TestCluster::Start(const ModelConfig& config,
                                                const WeightSource& weights, int n_workers,
                                                const Listen& listen) {
  auto cluster = std::make_unique<TestCluster>();
  const auto format = RowFormatOf(config, weights);
  SHOAL_CHECK(format.ok());
  cluster->options_ = RemoteExperts::OptionsFor(config, *format, SelectedKernels());
  cluster->options_.model_id = kModelId;
  for (int w = 0; w < n_workers; ++w) {
    LoadedExperts loaded =
        LoadExperts(config, weights, {.part = w, .n_parts = n_workers}, {.format = *format});
    auto listener = listen(w);
    SHOAL_CHECK(listener.ok());
    WorkerService::Options service;
    service.served = {.model_id = kModelId,
                      .numerics_class = NumericsClass(*format, /*activations_f32=*/false),
                      .format = *format,
                      .n_layers = config.n_layers,
                      .n_experts = config.n_experts,
                      .hidden_dim = config.hidden_dim};
    cluster->workers_.push_back(Worker::Start({.listener = *std::move(listener),
                                               .pool = std::move(loaded.pool),
                                               .experts = std::move(loaded.experts),
                                               .service = std::move(service)}));
    cluster->options_.addresses.push_back(cluster->workers_.back()->address());
  }
  return cluster;
}

std::unique_ptr<TestCluster> TestCluster::Start(const ModelConfig& config,
                                                const WeightSource& weights, int n_workers,
                                                InProcessNetwork& network) {
  return Start(config, weights, n_workers,
               [&](int w) { return network.Listen("worker-" + std::to_string(w)); });
}

absl::StatusOr<std::unique_ptr<RemoteExperts>> TestCluster::Connect(InProcessNetwork& network,
                                                                    const Change& change) const {
  RemoteExperts::Options options = options_;
  change(options);
  return RemoteExperts::Connect(std::move(options), network.NewDialer(), network.NewDialer());
}

std::optional<LinkEvent> ReplayingDialer::Next(absl::Time deadline) {
  if (!past_.empty() && rng_() % 2 == 0) return Copy(past_[rng_() % past_.size()]);
  std::optional<LinkEvent> event = inner_->Next(deadline);
  if (event.has_value()) past_.push_back(Copy(*event));
  if (past_.size() > 20) past_.erase(past_.begin());
  return event;
}

}  // namespace shoal
