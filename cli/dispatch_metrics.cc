#include "cli/dispatch_metrics.h"

#include <string>

namespace shoal {
namespace {

void AddTotals(const DispatchCounters& counters, Metrics* metrics) {
  const auto add = [metrics](std::string_view name, auto value, MetricLabels labels = {}) {
    metrics->Add(name, static_cast<double>(value), std::move(labels));
  };
  add("shoal_router_calls_total", counters.calls);
  add("shoal_router_failed_calls_total", counters.failed_calls);
  constexpr std::string_view kRetried = "shoal_router_retried_calls_total";
  add(kRetried, counters.retried.lost, {{"reason", "lost"}});
  add(kRetried, counters.retried.suspect, {{"reason", "suspect"}});
  add(kRetried, counters.retried.slow, {{"reason", "slow"}});
  add(kRetried, counters.retried.refused, {{"reason", "refused"}});
  add(kRetried, counters.retried.corrupt, {{"reason", "corrupt"}});
  constexpr std::string_view kDropped = "shoal_router_dropped_replies_total";
  add(kDropped, counters.dropped.duplicate, {{"reason", "duplicate"}});
  add(kDropped, counters.dropped.late, {{"reason", "late"}});
  add(kDropped, counters.dropped.unknown, {{"reason", "unknown"}});
  add(kDropped, counters.dropped.corrupt, {{"reason", "corrupt"}});
  add("shoal_router_lost_workers_total", counters.lost_workers);
  add("shoal_router_parked_total", counters.parked);
  add("shoal_router_call_wait_seconds_total", absl::ToDoubleSeconds(counters.wait));
}

}  // namespace

void AddDispatchMetrics(const RemoteExperts& experts, Metrics* metrics) {
  AddTotals(experts.counters(), metrics);
  for (const auto& [worker, traffic] : experts.traffic()) {
    const auto add = [&, &id = worker](std::string_view name, auto value) {
      metrics->Add(name, static_cast<double>(value), {{"worker", id}});
    };
    add("shoal_router_worker_calls_total", traffic.calls);
    add("shoal_router_worker_failed_calls_total", traffic.failed_calls);
    add("shoal_router_worker_retried_calls_total", traffic.retried_calls);
    add("shoal_router_worker_answers_total", traffic.answers);
    add("shoal_router_worker_rows_total", traffic.rows);
    add("shoal_router_worker_sent_bytes_total", traffic.bytes_out);
    add("shoal_router_worker_received_bytes_total", traffic.bytes_in);
    add("shoal_router_worker_call_seconds_total", absl::ToDoubleSeconds(traffic.call_time));
  }
  for (const PeerView& view : *experts.peers()) {
    const WorkerMember& member = view.member;
    const MetricLabels labels = {
        {"worker", member.node_id.empty() ? member.address : member.node_id}};
    metrics->Add("shoal_router_worker_up", view.reachable ? 1 : 0, labels);
    metrics->Add("shoal_router_worker_round_trip_seconds", absl::ToDoubleSeconds(view.round_trip),
                 labels);
  }
}

}  // namespace shoal
