#include "cli/load_window.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "proto/identity.h"

namespace shoal {
namespace {

constexpr absl::Duration kWindow = absl::Seconds(5);

// Whole thousandths: numbers for people, and equal ones make no new report.
double Rounded(double value) { return std::round(value * 1000) / 1000; }

std::vector<RouterLoad::Expert> Hottest(const StepMeter::Reading& steps, int n_experts) {
  std::vector<RouterLoad::Expert> experts;
  for (size_t first = 0; first < steps.experts.size(); first += n_experts) {
    uint64_t rows = 0;
    int n_used = 0;
    for (int e = 0; e < n_experts; ++e) {
      rows += steps.experts[first + e].rows;
      n_used += steps.experts[first + e].rows > 0 ? 1 : 0;
    }
    if (n_used <= 1) continue;  // A dense layer.
    const double mean = static_cast<double>(rows) / n_experts;
    for (int e = 0; e < n_experts; ++e) {
      const uint64_t own = steps.experts[first + e].rows;
      experts.push_back({.layer = static_cast<int>(first / n_experts),
                         .expert = e,
                         .rows = own,
                         .times_mean = Rounded(static_cast<double>(own) / mean)});
    }
  }
  const auto n = std::min<size_t>(experts.size(), kMaxLoadExperts);
  std::partial_sort(experts.begin(), experts.begin() + static_cast<int64_t>(n), experts.end(),
                    [](const auto& a, const auto& b) { return a.rows > b.rows; });
  experts.resize(n);
  return experts;
}

}  // namespace

LoadWindow::Reading LoadWindow::Read(const StepMeter::Reading& steps, const Router& router,
                                     const RemoteExperts* experts, absl::Time now) {
  Reading reading;
  reading.at = now;
  reading.generation_tokens = router.batcher().requests().n_generation_tokens();
  reading.prompt_tokens = router.batcher().requests().n_prompt_tokens();
  reading.steps = router.batcher().n_steps();
  const auto part = [&](StepPart which) {
    return absl::ToDoubleSeconds(steps.parts[static_cast<size_t>(which)]);
  };
  const double in_experts = part(StepPart::kExperts);
  double network = 0;
  if (experts != nullptr) {
    network = std::min(absl::ToDoubleSeconds(experts->counters().network), in_experts);
    for (const auto& [worker, traffic] : experts->traffic()) {
      reading.workers[worker] = {traffic.answers, traffic.call_time};
    }
  }
  reading.part_s = {part(StepPart::kAttention),
                    part(StepPart::kGate),
                    network,
                    in_experts - network,
                    part(StepPart::kHead),
                    part(StepPart::kEmbed) + absl::ToDoubleSeconds(steps.other)};
  return reading;
}

// Slowest first.
std::vector<RouterLoad::Worker> LoadWindow::Workers(const Reading& from, const Reading& to) {
  const double seconds = absl::ToDoubleSeconds(to.at - from.at);
  std::vector<RouterLoad::Worker> workers;
  for (const auto& [worker, later] : to.workers) {
    const auto found = from.workers.find(worker);
    const auto earlier =
        found == from.workers.end() ? std::pair<uint64_t, absl::Duration>() : found->second;
    if (later.first <= earlier.first || !IsNodeId(worker)) continue;
    const uint64_t n = later.first - earlier.first;
    workers.push_back({.node_id = worker,
                       .calls_per_s = Rounded(static_cast<double>(n) / seconds),
                       .call_s = absl::ToDoubleSeconds((later.second - earlier.second) /
                                                       static_cast<int64_t>(n))});
  }
  std::sort(workers.begin(), workers.end(),
            [](const auto& a, const auto& b) { return a.call_s > b.call_s; });
  if (workers.size() > kMaxLoadWorkers) workers.resize(kMaxLoadWorkers);
  return workers;
}

RouterLoad LoadWindow::Update(const Router& router, const RemoteExperts* experts, absl::Time now) {
  const StepMeter::Reading steps = router.batcher().steps().Read();
  readings_.push_back(Read(steps, router, experts, now));
  while (readings_.size() > 2 && now - readings_[1].at >= kWindow) readings_.pop_front();
  const Reading& from = readings_.front();
  const Reading& to = readings_.back();
  RouterLoad load;
  load.running = router.n_running();
  load.waiting = router.n_waiting();
  load.kv_use = Rounded(router.kv_use());
  const double seconds = absl::ToDoubleSeconds(to.at - from.at);
  if (seconds <= 0 || to.steps == from.steps) return load;
  const auto rate = [&](uint64_t later, uint64_t earlier) {
    return Rounded(static_cast<double>(later - earlier) / seconds);
  };
  load.generation_tokens_per_s = rate(to.generation_tokens, from.generation_tokens);
  load.prompt_tokens_per_s = rate(to.prompt_tokens, from.prompt_tokens);
  load.steps_per_s = rate(to.steps, from.steps);
  for (size_t i = 0; i < load.shares.size(); ++i) {
    load.shares[i] = std::max(to.part_s[i] - from.part_s[i], 0.0);
  }
  const double sum = std::accumulate(load.shares.begin(), load.shares.end(), 0.0);
  for (double& share : load.shares) share = sum > 0 ? Rounded(share / sum) : 0;
  load.hottest = Hottest(steps, router.batcher().steps().n_experts());
  load.workers = Workers(from, to);
  return load;
}

}  // namespace shoal
