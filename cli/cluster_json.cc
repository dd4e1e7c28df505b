#include "cli/cluster_json.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/expert_set.h"
#include "nlohmann/json.hpp"
#include "proto/router_load.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

const char* NameOf(wire::Role role) { return role == wire::ROLE_WORKER ? "worker" : "router"; }

// "0-3,7" of one layer.
std::string Ranges(const ExpertSet& set, int layer) {
  std::string text;
  for (int e = 0; e < set.n_experts(); ++e) {
    if (!set.Contains(layer, e)) continue;
    int end = e;
    while (set.Contains(layer, end + 1)) ++end;
    absl::StrAppend(&text, text.empty() ? "" : ",", e, end > e ? absl::StrCat("-", end) : "");
    e = end;
  }
  return text;
}

// Layer by layer.
Json HoldsJson(const wire::ClusterStatus::Node& node, const wire::ClusterStatus& status) {
  const auto set = ExpertSet::FromBytes(node.assigned(), static_cast<int>(status.n_layers()),
                                        static_cast<int>(status.n_experts()));
  Json layers = Json::array();
  if (!set.ok() || set->empty()) return layers;
  for (int layer = 0; layer < set->n_layers(); ++layer) layers.push_back(Ranges(*set, layer));
  return layers;
}

Json LoadJson(const wire::RouterLoad& load) {
  Json shares = Json::object();
  for (int i = 0; i < load.step_shares_size() && i < kLoadParts; ++i) {
    shares[kLoadPartNames[static_cast<size_t>(i)]] = load.step_shares(i);
  }
  Json hottest = Json::array();
  for (const auto& expert : load.hottest()) {
    hottest.push_back({{"layer", expert.layer()},
                       {"expert", expert.expert()},
                       {"rows", expert.rows()},
                       {"times_mean", expert.times_mean()}});
  }
  Json workers = Json::array();
  for (const auto& worker : load.workers()) {
    workers.push_back({{"node_id", worker.node_id()},
                       {"calls_per_s", worker.calls_per_s()},
                       {"call_ms", worker.call_s() * 1e3}});
  }
  return {{"generation_tokens_per_s", load.generation_tokens_per_s()},
          {"prompt_tokens_per_s", load.prompt_tokens_per_s()},
          {"steps_per_s", load.steps_per_s()},
          {"running", load.running()},
          {"waiting", load.waiting()},
          {"kv_use", load.kv_use()},
          {"step_shares", std::move(shares)},
          {"limit", LimitOf(load)},
          {"slowest_workers", std::move(workers)},
          {"hottest_experts", std::move(hottest)}};
}

}  // namespace

std::string LimitOf(const wire::RouterLoad& load) {
  if (load.steps_per_s() <= 0 || load.step_shares_size() != kLoadParts) {
    return load.waiting() > 0 ? "answers wait and no step runs: see the router's log"
                              : "nothing to do";
  }
  const auto largest = std::max_element(load.step_shares().begin(), load.step_shares().end());
  const auto part = static_cast<size_t>(std::distance(load.step_shares().begin(), largest));
  std::string text;
  switch (part) {
    case 2:
      text = "the way to the workers";
      break;
    case 3:
      text = load.workers_size() > 0
                 ? absl::StrFormat("experts, on worker %s most (%.2f ms a call)",
                                   load.workers(0).node_id(), load.workers(0).call_s() * 1e3)
                 : "experts";
      break;
    case 5:
      text = "the router's sampling and answers";
      break;
    default:
      text = absl::StrCat("the router's own part: ", kLoadPartNames[part]);
  }
  absl::StrAppendFormat(&text, ", %.0f %% of a step", 100 * *largest);
  if (load.waiting() > 0) {
    absl::StrAppendFormat(&text, "; %d answers wait for room in the KV cache", load.waiting());
  }
  return text;
}

Json ToJson(const wire::NodeInfo& node) {
  return {{"node_id", node.node_id()},
          {"role", NameOf(node.role())},
          {"state", node.state()},
          {"peer_address", node.peer_address()},
          {"last_seen_ms", node.last_seen_ms()},
          {"memory_bytes", node.memory_bytes()},
          {"read_gb_per_s", node.read_gb_per_s()},
          {"assigned", node.n_assigned()},
          {"resident", node.n_resident()},
          {"round_trip_us", node.round_trip_us()},
          {"certificate_left_s", node.certificate_left_s()}};
}

Json ToJson(const wire::ListNodesReply& cluster, const std::string& placement) {
  return {{"cluster_id", cluster.cluster_id()},
          {"epoch", cluster.epoch()},
          {"model_id", absl::BytesToHexString(cluster.model_id())},
          {"model_name", cluster.model_name()},
          {"replicas", cluster.replicas()},
          {"placement", placement},
          {"settled", cluster.settled()}};
}

Json ToJson(const wire::ClusterStatus& status) {
  Json json = ToJson(status.cluster(), status.placement());
  Json holders = Json::object();
  constexpr const char* kHolders[] = {"none", "one", "more"};
  for (int i = 0; i < status.experts_by_holders_size() && i < 3; ++i) {
    holders[kHolders[i]] = status.experts_by_holders(i);
  }
  json["experts_by_holders"] = std::move(holders);
  Json nodes = Json::array();
  double generated = 0;
  double read = 0;
  for (const auto& node : status.nodes()) {
    Json one = ToJson(node.info());
    if (node.info().role() == wire::ROLE_WORKER) one["holds"] = HoldsJson(node, status);
    if (node.has_load()) {
      one["load"] = LoadJson(node.load());
      generated += node.load().generation_tokens_per_s();
      read += node.load().prompt_tokens_per_s();
    }
    nodes.push_back(std::move(one));
  }
  json["generation_tokens_per_s"] = generated;
  json["prompt_tokens_per_s"] = read;
  json["nodes"] = std::move(nodes);
  return json;
}

}  // namespace shoal
