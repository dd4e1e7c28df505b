// What a cluster is doing: who belongs, who holds what, how fast it is and what keeps it from being
// faster.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "cli/admin_client.h"
#include "cli/cluster_json.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/http_get.h"
#include "cli/signals.h"
#include "cli/text_io.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kHottestShown = 8;

struct StatusOptions {
  std::string url;
  std::string data_dir;
  double period_s = 2;
  bool watch = false;
  bool json = false;
};

absl::StatusOr<Json> ReadStatus(const StatusOptions& options) {
  if (options.url.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<AdminClient> client,
                           AdminClient::Open(options.data_dir));
    SHOAL_ASSIGN_OR_RETURN(const wire::ClusterStatus status, client->AskStatus());
    return ToJson(status);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text, HttpGet(options.url, "/status"));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("nodes") || !json["nodes"].is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--url: ", options.url, " answers no status; it has to be a coordinator's --ops-listen"));
  }
  return json;
}

std::string Text(const Json& json, const char* key) { return json.value(key, std::string("-")); }
double Number(const Json& json, const char* key) { return json.value(key, 0.0); }

std::string NodeLine(const Json& node) {
  return absl::StrFormat(
      "%-16s  %-6s  %-8s  %-21s  %8s  %6.1f GB/s  %6.0f/%-6.0f  %7.2f ms  %5.1f d\n",
      Text(node, "node_id"), Text(node, "role"), Text(node, "state"),
      Text(node, "peer_address").empty() ? "-" : Text(node, "peer_address"),
      ReadableBytes(static_cast<uint64_t>(Number(node, "memory_bytes"))),
      Number(node, "read_gb_per_s"), Number(node, "resident"), Number(node, "assigned"),
      Number(node, "round_trip_us") / 1e3, Number(node, "certificate_left_s") / 86400);
}

// What one router does, and where its time goes.
std::string RouterText(const Json& node) {
  const Json& load = node["load"];
  std::string text = absl::StrFormat(
      "router %s: %.1f tokens/s generated, %.1f read; %.0f answers run, %.0f wait; KV cache %.0f "
      "%% "
      "reserved\n  limit now: %s\n",
      Text(node, "node_id"), Number(load, "generation_tokens_per_s"),
      Number(load, "prompt_tokens_per_s"), Number(load, "running"), Number(load, "waiting"),
      100 * Number(load, "kv_use"), Text(load, "limit"));
  if (Number(load, "steps_per_s") <= 0) return text;
  absl::StrAppend(&text, "  a step:");
  for (const auto& [part, share] : load["step_shares"].items()) {
    absl::StrAppendFormat(&text, "  %s %.0f %%", part, 100 * share.get<double>());
  }
  absl::StrAppend(&text, "\n  workers, slowest first:");
  for (const Json& worker : load["slowest_workers"]) {
    absl::StrAppendFormat(&text, "  %s %.2f ms", Text(worker, "node_id"),
                          Number(worker, "call_ms"));
  }
  absl::StrAppend(&text, "\n  hottest experts (layer/expert, times the mean of their layer):");
  size_t n = 0;
  for (const Json& expert : load["hottest_experts"]) {
    if (n++ == kHottestShown) break;
    absl::StrAppendFormat(&text, "  %.0f/%.0f %.1fx", Number(expert, "layer"),
                          Number(expert, "expert"), Number(expert, "times_mean"));
  }
  return text + "\n";
}

// "0/0-7 1/0-7": layers with the same experts together.
std::string HoldsText(const Json& node) {
  const Json holds = node.value("holds", Json::array());
  std::string text;
  for (size_t begin = 0; begin < holds.size();) {
    size_t end = begin + 1;
    while (end < holds.size() && holds[end] == holds[begin]) ++end;
    const std::string layers = end - begin > 1 ? absl::StrCat("layers ", begin, "-", end - 1)
                                               : absl::StrCat("layer ", begin);
    absl::StrAppend(
        &text, "  ", layers, ": ",
        holds[begin].get<std::string>().empty() ? "none" : holds[begin].get<std::string>(), "\n");
    begin = end;
  }
  return text.empty() ? "" : absl::StrCat("worker ", Text(node, "node_id"), " holds\n", text);
}

std::string StatusText(const Json& status) {
  const std::string model = Text(status, "model_name");
  std::string text = absl::StrFormat(
      "cluster %s  epoch %.0f  model %s  replicas %.0f\n%s%s\n", Text(status, "cluster_id"),
      Number(status, "epoch"),
      model.empty() ? "none"
                    : absl::StrCat(model, " (", Text(status, "model_id").substr(0, 12), ")"),
      Number(status, "replicas"), Text(status, "placement"),
      status.value("settled", false) ? "" : " (not settled yet)");
  const Json holders = status.value("experts_by_holders", Json::object());
  absl::StrAppendFormat(&text, "experts held by nobody %.0f, by one worker %.0f, by more %.0f\n\n",
                        Number(holders, "none"), Number(holders, "one"), Number(holders, "more"));
  absl::StrAppendFormat(&text, "%-16s  %-6s  %-8s  %-21s  %8s  %11s  %-13s  %10s  %7s\n", "node",
                        "role", "state", "address", "memory", "reads", "held/assigned",
                        "round trip", "cert");
  for (const Json& node : status["nodes"]) text += NodeLine(node);
  text += "\n";
  for (const Json& node : status["nodes"]) {
    if (node.contains("load")) text += RouterText(node);
  }
  for (const Json& node : status["nodes"]) text += HoldsText(node);
  return text;
}

absl::Status PrintStatus(const StatusOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Json status, ReadStatus(options));
  std::string text = options.json ? status.dump() + "\n" : StatusText(status);
  if (options.watch && !options.json) text = "\x1b[H\x1b[2J" + text;  // Home, and a clear screen.
  return WriteStandardOutput(text);
}

absl::Status RunStatus(const StatusOptions& options) {
  if (!options.watch) return PrintStatus(options);
  Signals signals;
  while (true) {
    SHOAL_RETURN_IF_ERROR(PrintStatus(options));
    if (signals.WaitUntil(MonotonicNow() + absl::Seconds(options.period_s)).has_value()) {
      return absl::OkStatus();
    }
  }
}

}  // namespace

void AddStatusCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command = app.add_subcommand(
      "status", "Print what a cluster does: nodes, who holds what, tokens/s and what limits them");
  command->add_option("--url", options->url,
                      "http://HOST:PORT of a coordinator's --ops-listen; empty: the coordinator of "
                      "--data-dir is asked, on its machine");
  AddDataDirOption(command, &options->data_dir);
  command->add_flag("--watch", options->watch, "Again and again, until Ctrl-C");
  command->add_option("--period", options->period_s, "Seconds between two looks of --watch")
      ->check(CLI::Range(0.1, 3600.0));
  command->add_flag("--json", options->json, "As one line of JSON");
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("status", RunStatus(*options)); });
}

}  // namespace shoal
