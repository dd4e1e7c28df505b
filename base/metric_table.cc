#include "base/metric_table.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

constexpr MetricInfo kTable[] = {
    {"shoal_build_info", MetricKind::kGauge, kEveryMetric, "version, commit, isa",
     "Always 1; the labels say what runs."},
    {"shoal_ready", MetricKind::kGauge, kEveryMetric, "",
     "1: serves, as /readyz says; 0: not, or not yet."},
    {"process_cpu_seconds_total", MetricKind::kCounter, kEveryMetric, "",
     "Processor time of all threads."},
    {"process_resident_memory_bytes", MetricKind::kGauge, kEveryMetric, "", "Memory in use."},
    {"process_virtual_memory_bytes", MetricKind::kGauge, kEveryMetric, "", "Address space in use."},
    {"process_start_time_seconds", MetricKind::kGauge, kEveryMetric, "",
     "When the process started, since 1970."},
    {"process_open_fds", MetricKind::kGauge, kEveryMetric, "", "Open files and sockets."},
    {"process_max_fds", MetricKind::kGauge, kEveryMetric, "", "How many may be open."},
    {"shoal_node_epoch", MetricKind::kGauge, kNodeMetric, "",
     "Epoch of the snapshot that the node follows; 0: none yet."},
    {"shoal_node_snapshot_age_seconds", MetricKind::kGauge, kNodeMetric, "",
     "Since the coordinator issued that snapshot."},
    {"shoal_node_coordinator_connected", MetricKind::kGauge, kNodeMetric, "",
     "1: the line to the coordinator is open."},
    {"shoal_node_coordinator_connections_total", MetricKind::kCounter, kNodeMetric, "",
     "Lines to the coordinator that opened."},
    {"shoal_node_snapshots_total", MetricKind::kCounter, kNodeMetric, "outcome",
     "Snapshots received: taken, stale, refused."},
    {"shoal_node_certificate_left_seconds", MetricKind::kGauge, kNodeMetric, "",
     "Until the certificate of the node expires; below 0: it has."},
    {"shoal_node_certificate_renewals_total", MetricKind::kCounter, kNodeMetric, "",
     "New certificates."},
    {"shoal_node_fetched_bytes_total", MetricKind::kCounter, kNodeMetric, "",
     "Bytes of shards got from other nodes."},
    {"shoal_node_bad_chunks_total", MetricKind::kCounter, kNodeMetric, "",
     "Pieces of shards whose hash differed."},
    {"shoal_router_requests_running", MetricKind::kGauge, kRouterMetric, "",
     "Answers that are computed."},
    {"shoal_router_requests_waiting", MetricKind::kGauge, kRouterMetric, "",
     "Answers that wait for room in the KV cache."},
    {"shoal_router_requests_total", MetricKind::kCounter, kRouterMetric, "finished_reason",
     "Answers that ended: stop, length, abort (the client left), error."},
    {"shoal_router_prompt_tokens_total", MetricKind::kCounter, kRouterMetric, "",
     "Tokens of prompts computed."},
    {"shoal_router_generation_tokens_total", MetricKind::kCounter, kRouterMetric, "",
     "Tokens of answers."},
    {"shoal_router_time_to_first_token_seconds", MetricKind::kHistogram, kRouterMetric, "",
     "From the queue to the first token of an answer."},
    {"shoal_router_inter_token_latency_seconds", MetricKind::kHistogram, kRouterMetric, "",
     "Between two tokens of an answer."},
    {"shoal_router_e2e_request_latency_seconds", MetricKind::kHistogram, kRouterMetric, "",
     "From the queue to the end of an answer."},
    {"shoal_router_request_queue_time_seconds", MetricKind::kHistogram, kRouterMetric, "",
     "Until there was room in the KV cache."},
    {"shoal_router_request_prompt_tokens", MetricKind::kHistogram, kRouterMetric, "",
     "Tokens of a prompt, of answers that ended."},
    {"shoal_router_request_generation_tokens", MetricKind::kHistogram, kRouterMetric, "",
     "Tokens of an answer that ended."},
    {"shoal_router_iteration_tokens", MetricKind::kHistogram, kRouterMetric, "", "Rows of a step."},
    {"shoal_router_steps_total", MetricKind::kCounter, kRouterMetric, "", "Steps of the engine."},
    {"shoal_router_step_seconds_total", MetricKind::kCounter, kRouterMetric, "part",
     "Time in steps, by part: attention, gate, network, experts, head, other."},
    {"shoal_router_kv_cache_usage_ratio", MetricKind::kGauge, kRouterMetric, "",
     "Share of the KV cache that is reserved."},
    {"shoal_router_kv_cache_capacity_tokens", MetricKind::kGauge, kRouterMetric, "",
     "Positions that the KV cache holds."},
    {"shoal_router_kv_cache_bytes", MetricKind::kGauge, kRouterMetric, "",
     "Memory set aside for the KV cache; pages are taken as it fills."},
    {"shoal_router_trunk_memory_bytes", MetricKind::kGauge, kRouterMetric, "",
     "Weights that the router holds: all but the experts of workers."},
    {"shoal_router_context_tokens", MetricKind::kGauge, kRouterMetric, "",
     "Longest prompt with its answer."},
    {"shoal_router_http_connections", MetricKind::kGauge, kRouterMetric, "",
     "Open connections of clients."},
    {"shoal_router_http_responses_total", MetricKind::kCounter, kRouterMetric, "code",
     "Replies to requests, by HTTP status."},
    {"shoal_router_calls_total", MetricKind::kCounter, kRouterMetric, "",
     "Calls to workers, attempts included."},
    {"shoal_router_failed_calls_total", MetricKind::kCounter, kRouterMetric, "",
     "Calls that gave no result."},
    {"shoal_router_retried_calls_total", MetricKind::kCounter, kRouterMetric, "reason",
     "Calls whose experts were sent to another replica: lost, suspect, slow, refused, corrupt."},
    {"shoal_router_dropped_replies_total", MetricKind::kCounter, kRouterMetric, "reason",
     "Replies that entered no sum: duplicate, late, unknown, corrupt."},
    {"shoal_router_lost_workers_total", MetricKind::kCounter, kRouterMetric, "",
     "Links to workers that closed."},
    {"shoal_router_parked_total", MetricKind::kCounter, kRouterMetric, "",
     "Times that rows waited because nobody could be asked."},
    {"shoal_router_call_wait_seconds_total", MetricKind::kCounter, kRouterMetric, "",
     "Time that steps waited for workers."},
    {"shoal_router_worker_up", MetricKind::kGauge, kRouterMetric, "worker",
     "1: the worker answers, in time, and serves the model."},
    {"shoal_router_worker_round_trip_seconds", MetricKind::kGauge, kRouterMetric, "worker",
     "Round trip of a small message, as last timed."},
    {"shoal_router_worker_calls_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Calls sent to the worker."},
    {"shoal_router_worker_failed_calls_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Of those, calls that gave no result."},
    {"shoal_router_worker_retried_calls_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Of those, calls whose experts were sent to another replica."},
    {"shoal_router_worker_answers_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Of those, calls answered with rows."},
    {"shoal_router_worker_rows_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Result rows of those answers."},
    {"shoal_router_worker_sent_bytes_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Bytes of calls."},
    {"shoal_router_worker_received_bytes_total", MetricKind::kCounter, kRouterMetric, "worker",
     "Bytes of replies."},
    {"shoal_router_worker_call_seconds_total", MetricKind::kCounter, kRouterMetric, "worker",
     "From a call to its answer; by answers: the mean latency."},
    {"shoal_router_expert_rows_total", MetricKind::kCounter, kRouterMetric, "layer, experts",
     "Rows given to experts; \"0-6\": those seven together, where there are more than 1,000 "
     "experts in all."},
    {"shoal_router_expert_gate_weight_total", MetricKind::kCounter, kRouterMetric, "layer, experts",
     "Sum of the weights that the gate gave those rows."},
    {"shoal_worker_calls_total", MetricKind::kCounter, kWorkerMetric, "",
     "Calls answered with rows."},
    {"shoal_worker_refused_calls_total", MetricKind::kCounter, kWorkerMetric, "",
     "Calls answered with a refusal."},
    {"shoal_worker_rows_total", MetricKind::kCounter, kWorkerMetric, "", "Result rows computed."},
    {"shoal_worker_received_bytes_total", MetricKind::kCounter, kWorkerMetric, "",
     "Bytes of calls."},
    {"shoal_worker_sent_bytes_total", MetricKind::kCounter, kWorkerMetric, "", "Bytes of replies."},
    {"shoal_worker_compute_seconds_total", MetricKind::kCounter, kWorkerMetric, "",
     "Time inside calls."},
    {"shoal_worker_call_seconds", MetricKind::kHistogram, kWorkerMetric, "",
     "From the arrival of a call to its answer."},
    {"shoal_worker_calls_waiting", MetricKind::kGauge, kWorkerMetric, "",
     "Calls that wait or are computed."},
    {"shoal_worker_draining", MetricKind::kGauge, kWorkerMetric, "", "1: takes no new calls."},
    {"shoal_worker_assigned_experts", MetricKind::kGauge, kWorkerMetric, "", "Experts to hold."},
    {"shoal_worker_resident_experts", MetricKind::kGauge, kWorkerMetric, "", "Of those, served."},
    {"shoal_worker_expert_memory_bytes", MetricKind::kGauge, kWorkerMetric, "",
     "Memory that experts take."},
    {"shoal_worker_memory_limit_bytes", MetricKind::kGauge, kWorkerMetric, "",
     "Memory that experts may take."},
    {"shoal_worker_read_bytes_per_second", MetricKind::kGauge, kWorkerMetric, "",
     "How fast it reads memory, as measured or told."},
    {"shoal_worker_loaded_experts_total", MetricKind::kCounter, kWorkerMetric, "",
     "Experts loaded into memory."},
    {"shoal_worker_failed_loads_total", MetricKind::kCounter, kWorkerMetric, "",
     "Attempts to get or load an expert that failed."},
    {"shoal_worker_corrupt_files_total", MetricKind::kCounter, kWorkerMetric, "",
     "Stored shards found corrupt."},
    {"shoal_worker_shard_bytes_sent_total", MetricKind::kCounter, kWorkerMetric, "",
     "Bytes of shards given to other nodes."},
    {"shoal_coordinator_epoch", MetricKind::kGauge, kCoordinatorMetric, "",
     "Epoch of the snapshot in force."},
    {"shoal_coordinator_snapshot_age_seconds", MetricKind::kGauge, kCoordinatorMetric, "",
     "Since that snapshot was issued."},
    {"shoal_coordinator_members", MetricKind::kGauge, kCoordinatorMetric, "",
     "Nodes in the snapshot."},
    {"shoal_coordinator_nodes", MetricKind::kGauge, kCoordinatorMetric, "role, state",
     "Nodes by state: active, unheard, missing, draining, lost, revoked."},
    {"shoal_coordinator_experts", MetricKind::kGauge, kCoordinatorMetric, "holders",
     "Experts by how many workers that can be reached hold them: 0, 1, 2+."},
    {"shoal_coordinator_replicas", MetricKind::kGauge, kCoordinatorMetric, "",
     "Replicas wanted of each expert."},
    {"shoal_coordinator_settled", MetricKind::kGauge, kCoordinatorMetric, "",
     "1: experts are placed as what is known now says."},
    {"shoal_coordinator_certificate_left_seconds", MetricKind::kGauge, kCoordinatorMetric,
     "certificate", "Until its own certificate (coordinator) and that of the cluster (ca) expire."},
    {"shoal_coordinator_requests_total", MetricKind::kCounter, kCoordinatorMetric, "operation",
     "Requests of nodes and operators."},
    {"shoal_coordinator_refused_requests_total", MetricKind::kCounter, kCoordinatorMetric,
     "operation", "Of those, refused."},
    {"shoal_coordinator_snapshots_sent_total", MetricKind::kCounter, kCoordinatorMetric, "",
     "Snapshots sent to nodes that follow."},
    {"shoal_coordinator_links", MetricKind::kGauge, kCoordinatorMetric, "",
     "Open links of nodes and operators."},
    {"shoal_coordinator_join_tokens", MetricKind::kGauge, kCoordinatorMetric, "",
     "Join tokens that are still good."},
    {"shoal_coordinator_shard_bytes_sent_total", MetricKind::kCounter, kCoordinatorMetric, "",
     "Bytes of shards given to nodes."},
    {"shoal_coordinator_shard_requests_total", MetricKind::kCounter, kCoordinatorMetric, "",
     "Requests for pieces of shards that were answered."},
    {"shoal_coordinator_node_last_seen_seconds", MetricKind::kGauge, kCoordinatorMetric,
     "node, role", "Since the node was last heard."},
    {"shoal_coordinator_node_certificate_left_seconds", MetricKind::kGauge, kCoordinatorMetric,
     "node, role", "Until the certificate of the node expires."},
    {"shoal_coordinator_node_assigned_experts", MetricKind::kGauge, kCoordinatorMetric, "node",
     "Experts that the worker is to hold."},
    {"shoal_coordinator_node_resident_experts", MetricKind::kGauge, kCoordinatorMetric, "node",
     "Experts that the worker says it serves."},
    {"shoal_coordinator_node_memory_bytes", MetricKind::kGauge, kCoordinatorMetric, "node",
     "Memory of the worker for experts."},
    {"shoal_coordinator_node_read_bytes_per_second", MetricKind::kGauge, kCoordinatorMetric, "node",
     "How fast the worker reads memory."},
    {"shoal_coordinator_node_round_trip_seconds", MetricKind::kGauge, kCoordinatorMetric, "node",
     "From the nearest router to the worker."},
};

std::string_view NameOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    default:
      return "histogram";
  }
}

// The table of those that belong to just these roles.
void AppendSection(std::string_view heading, uint8_t roles, std::string* page) {
  absl::StrAppend(page, "\n## ", std::string(heading), "\n\n",
                  "| name | type | labels | what it says |\n| --- | --- | --- | --- |\n");
  for (const MetricInfo& info : kTable) {
    if (info.roles != roles) continue;
    absl::StrAppend(page, "| `", std::string(info.name), "` | ", std::string(NameOf(info.kind)),
                    " | ", std::string(info.labels), " | ", std::string(info.help), " |\n");
  }
}

constexpr std::string_view kIntroduction =
    "# Metrics\n\n"
    "What each process answers to `GET /metrics` on its `--ops-listen`, in the text format of "
    "Prometheus.\n"
    "`/healthz` (or `/health`) beside it says that the process runs, `/readyz` (or `/ready`) that "
    "it serves. This page is made of\n"
    "the table in `base/metric_table.cc`; a test fails where the two differ.\n\n"
    "Times are seconds, sizes bytes, of this process since it started. A metric has at most 1,000 "
    "series: where a model has more\n"
    "experts than that, neighbours of a layer share a series (`experts=\"0-6\"`). No metric holds "
    "text of prompts or answers.\n"
    "Names are close to those of vLLM where both count the same: "
    "`vllm:time_to_first_token_seconds` "
    "is here\n"
    "`shoal_router_time_to_first_token_seconds`.\n";

}  // namespace

std::span<const MetricInfo> MetricTable() { return kTable; }

const MetricInfo* FindMetric(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTable), std::end(kTable),
                                   [name](const MetricInfo& info) { return info.name == name; });
  return found == std::end(kTable) ? nullptr : found;
}

std::string MetricsPage() {
  std::string page(kIntroduction);
  AppendSection("Every process", kEveryMetric, &page);
  AppendSection("Routers and workers of a cluster", kNodeMetric, &page);
  AppendSection("Router", kRouterMetric, &page);
  AppendSection("Worker", kWorkerMetric, &page);
  AppendSection("Coordinator", kCoordinatorMetric, &page);
  return page;
}

}  // namespace shoal
