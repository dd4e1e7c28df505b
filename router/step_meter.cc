#include "router/step_meter.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace shoal {
namespace {

constexpr int kMaxSeries = 1000;  // Of one metric (S32).

}  // namespace

StepMeter::StepMeter(int n_layers, int n_experts)
    : n_layers_(n_layers),
      n_experts_(n_experts),
      rows_(static_cast<size_t>(n_layers) * n_experts),
      gate_weight_(rows_.size()) {}

void StepMeter::BeginStep() { mark_ = MonotonicNow(); }

void StepMeter::OnPartDone(StepPart part) {
  const absl::Time now = MonotonicNow();
  Add(part_ns_[static_cast<size_t>(part)], absl::ToInt64Nanoseconds(now - mark_));
  mark_ = now;
}

void StepMeter::EndStep(int64_t n_rows) {
  Add(other_ns_, absl::ToInt64Nanoseconds(MonotonicNow() - mark_));
  step_rows_.Observe(static_cast<double>(n_rows));
}

void StepMeter::OnRouting(int layer, const Routing& routing) {
  const size_t first = static_cast<size_t>(layer) * n_experts_;
  for (size_t i = 0; i < routing.topk_ids.size(); ++i) {
    const size_t expert = first + routing.topk_ids[i];
    Add(rows_[expert], 1);
    Add(gate_weight_[expert], routing.topk_weights[i]);
  }
}

StepMeter::Reading StepMeter::Read() const {
  Reading reading;
  for (size_t i = 0; i < part_ns_.size(); ++i) {
    reading.parts[i] = absl::Nanoseconds(part_ns_[i].load(std::memory_order_relaxed));
  }
  reading.other = absl::Nanoseconds(other_ns_.load(std::memory_order_relaxed));
  reading.experts.resize(rows_.size());
  for (size_t i = 0; i < rows_.size(); ++i) {
    reading.experts[i] = {rows_[i].load(std::memory_order_relaxed),
                          gate_weight_[i].load(std::memory_order_relaxed)};
  }
  return reading;
}

void StepMeter::AddMetrics(absl::Duration network, Metrics* metrics) const {
  const Reading reading = Read();
  const auto part = [&](StepPart which) { return reading.parts[static_cast<size_t>(which)]; };
  const auto add = [metrics](const char* name, absl::Duration time) {
    metrics->Add("shoal_router_step_seconds_total", absl::ToDoubleSeconds(time), {{"part", name}});
  };
  network = std::min(network, part(StepPart::kExperts));
  add("attention", part(StepPart::kAttention));
  add("gate", part(StepPart::kGate));
  add("network", network);
  add("experts", part(StepPart::kExperts) - network);
  add("head", part(StepPart::kHead));
  add("other", reading.other + part(StepPart::kEmbed));
  metrics->Add("shoal_router_iteration_tokens", step_rows_.Read());
  AddExpertMetrics(reading.experts, metrics);
}

// Each expert by itself where that is few enough series; else neighbours of a layer together.
void StepMeter::AddExpertMetrics(const std::vector<ExpertLoad>& experts, Metrics* metrics) const {
  const int groups_per_layer = std::max(1, std::min(n_experts_, kMaxSeries / n_layers_));
  const int group = (n_experts_ + groups_per_layer - 1) / groups_per_layer;
  for (int layer = 0; layer < n_layers_; ++layer) {
    for (int begin = 0; begin < n_experts_; begin += group) {
      const int end = std::min(begin + group, n_experts_);
      ExpertLoad sum;
      for (int e = begin; e < end; ++e) {
        const ExpertLoad& load = experts[static_cast<size_t>(layer) * n_experts_ + e];
        sum.rows += load.rows;
        sum.gate_weight += load.gate_weight;
      }
      const std::string name = group == 1 ? absl::StrCat(begin) : absl::StrCat(begin, "-", end - 1);
      const MetricLabels labels = {{"layer", absl::StrCat(layer)}, {"experts", name}};
      metrics->Add("shoal_router_expert_rows_total", static_cast<double>(sum.rows), labels);
      metrics->Add("shoal_router_expert_gate_weight_total", sum.gate_weight, labels);
    }
  }
}

}  // namespace shoal
