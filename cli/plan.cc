// What a model would need and give on boxes that somebody has, or thinks of buying.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/limits.h"
#include "base/memory_bandwidth.h"
#include "base/status_macros.h"
#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/model_loader.h"
#include "cli/node_list.h"
#include "cli/star_model.h"
#include "cli/text_io.h"
#include "engine/kv_cache.h"
#include "model/import/import_plan.h"
#include "model/import/open_model.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxFileBytes = 1 << 20;

struct PlanOptions {
  std::string model;
  std::string nodes_path;
  bool from_cluster = false;
  std::string data_dir;
  std::string kv_type = "f16";
  int64_t ctx_size = 0;
  double link_gbit_per_s = 1;
  StarOptions star;
  bool json = false;
};

double MeasureHere() { return MeasureReadGbPerS(DefaultThreads()); }

absl::StatusOr<StarModel> ReadModel(const PlanOptions& options) {
  std::error_code error;
  if (std::filesystem::exists(options.model, error)) {
    SHOAL_ASSIGN_OR_RETURN(const OpenedModel model, OpenModel(options.model));
    std::vector<ShardInfo> shards;
    for (PlannedShard& shard : PlanShards(*model.file, model.config)) {
      shards.push_back(std::move(shard.info));
    }
    return MakeStarModel(model.config, shards);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<DataDirectory> data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kShared));
  SHOAL_ASSIGN_OR_RETURN(const Sha256Digest id, data->FindModel(options.model));
  SHOAL_ASSIGN_OR_RETURN(const SignedManifest model, data->ReadModel(id));
  return MakeStarModel(model.manifest.config, model.manifest.shards);
}

absl::StatusOr<std::vector<StarNode>> ReadNodesFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("--nodes: cannot read ", path));
  std::string text(static_cast<size_t>(kMaxFileBytes) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (static_cast<int64_t>(text.size()) > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--nodes: ", path, " has more than ", kMaxFileBytes, " bytes"));
  }
  return ReadNodeList(text, path, MeasureHere);
}

// The workers that run now, and a router on a box of its own, as fast as their mean.
absl::StatusOr<std::vector<StarNode>> AskCluster(const PlanOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<AdminClient> client,
                         AdminClient::Open(options.data_dir));
  SHOAL_ASSIGN_OR_RETURN(const wire::ClusterStatus status, client->AskStatus());
  std::vector<StarNode> nodes;
  double read = 0;
  for (const auto& node : status.nodes()) {
    const wire::NodeInfo& info = node.info();
    if (info.role() != wire::ROLE_WORKER || info.state() != "active") continue;
    nodes.push_back({.name = info.node_id(),
                     .memory_bytes = info.memory_bytes(),
                     .read_gb_per_s = info.read_gb_per_s(),
                     .round_trip = absl::Microseconds(static_cast<int64_t>(info.round_trip_us())),
                     .link_gbit_per_s = options.link_gbit_per_s});
    read += info.read_gb_per_s();
  }
  if (nodes.empty()) return absl::FailedPreconditionError("the cluster has no active worker");
  StarNode router{.name = "router",
                  .memory_bytes = kMemoryNotKnown,
                  .read_gb_per_s = read / static_cast<double>(nodes.size()),
                  .round_trip = {},
                  .link_gbit_per_s = options.link_gbit_per_s,
                  .router = true,
                  .worker = false};
  nodes.push_back(std::move(router));
  return nodes;
}

absl::Status FillKv(const StarModel& model, PlanOptions* options) {
  SHOAL_ASSIGN_OR_RETURN(const KvType type, ParseKvType(options->kv_type));
  const ModelConfig& config = model.config;
  const int64_t ctx_size =
      options->ctx_size > 0 ? options->ctx_size : std::min(config.context_length, kDefaultContext);
  if (ctx_size > config.context_length) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--ctx-size: ", ctx_size, " is more than the model's context of ", config.context_length));
  }
  const ModelSlice slice{.layers = {0, config.n_layers},
                         .kv_heads = {0, config.n_kv_heads},
                         .experts = {.part = 0, .n_parts = 0},
                         .vocab = {0, config.vocab_size}};
  const auto bytes = [&](int64_t n) {
    return static_cast<uint64_t>(KvCache::BytesFor(config, slice, type, n));
  };
  options->star.kv_bytes = bytes(kDefaultSequences * ctx_size);
  options->star.position_kv_bytes = bytes(kKeyTile) / kKeyTile;
  options->star.context = std::min(options->star.context, ctx_size);
  return absl::OkStatus();
}

// A box like the last that only holds experts.
struct OneMore {
  std::string like;
  double tokens_per_s = 0;
};
absl::StatusOr<OneMore> PlanOneMore(const StarModel& model, const StarPlan& plan,
                                    const StarOptions& options) {
  std::vector<StarNode> nodes = plan.nodes;
  int like = static_cast<int>(nodes.size()) - 1;
  while (like > 0 && (like == plan.router || !nodes[static_cast<size_t>(like)].worker)) --like;
  StarNode more = nodes[static_cast<size_t>(like)];
  const std::string name = more.name;
  more.name = absl::StrCat(name, "+1");
  more.router = false;
  more.worker = true;
  nodes[static_cast<size_t>(plan.router)].router = true;
  nodes.push_back(std::move(more));
  SHOAL_ASSIGN_OR_RETURN(const StarPlan larger, PlanStar(model, std::move(nodes), options));
  return OneMore{name, larger.prediction.tokens_per_s()};
}

// The quickest of those boxes that could do it alone.
struct Alone {
  std::string name;
  double tokens_per_s = 0;
};
Alone BestAlone(const StarModel& model, const StarPlan& plan, const StarOptions& options) {
  Alone best;
  for (const StarNode& node : plan.nodes) {
    const auto rate = PredictAlone(model, node, options);
    if (rate.has_value() && *rate > best.tokens_per_s) best = {node.name, *rate};
  }
  return best;
}

Json PlanJson(const StarModel& model, const StarPlan& plan, const StarOptions& options,
              const absl::StatusOr<OneMore>& more) {
  Json nodes = Json::array();
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const StarNode& node = plan.nodes[i];
    const bool router = static_cast<int>(i) == plan.router;
    nodes.push_back(
        {{"name", node.name},
         {"router", router},
         {"worker", node.worker},
         {"memory_bytes",
          node.memory_bytes == kMemoryNotKnown ? Json(nullptr) : Json(node.memory_bytes)},
         {"experts", plan.n_experts[i]},
         {"expert_bytes", plan.expert_bytes[i]},
         {"trunk_bytes", router ? model.trunk_bytes : 0},
         {"kv_bytes", router ? options.kv_bytes : 0},
         {"read_gb_per_s", node.read_gb_per_s},
         {"round_trip_ms", absl::ToDoubleMilliseconds(node.round_trip)},
         {"link_gbit_per_s", node.link_gbit_per_s}});
  }
  const StarPrediction& p = plan.prediction;
  const Alone alone = BestAlone(model, plan, options);
  Json json = {{"nodes", std::move(nodes)},
               {"replicas", plan.placement.replicas},
               {"warning", plan.placement.warning},
               {"decode_tokens_per_s", p.tokens_per_s()},
               {"token_ms",
                {{"trunk", absl::ToDoubleMilliseconds(p.trunk)},
                 {"experts", absl::ToDoubleMilliseconds(p.experts)},
                 {"imbalance", absl::ToDoubleMilliseconds(p.imbalance)},
                 {"round_trips", absl::ToDoubleMilliseconds(p.round_trips)},
                 {"transfer", absl::ToDoubleMilliseconds(p.transfer)}}},
               {"prompt_tokens", options.prompt_tokens},
               {"time_to_first_token_ms", absl::ToDoubleMilliseconds(p.first_token)},
               {"limit", p.Limit()}};
  json["one_more"] = more.ok()
                         ? Json{{"like", more->like}, {"decode_tokens_per_s", more->tokens_per_s}}
                         : Json(nullptr);
  json["alone"] = alone.name.empty()
                      ? Json(nullptr)
                      : Json{{"name", alone.name}, {"decode_tokens_per_s", alone.tokens_per_s}};
  json["one_box_is_better"] = alone.tokens_per_s > p.tokens_per_s();
  return json;
}

std::string PlanText(const Json& plan) {
  std::string text =
      absl::StrFormat("%-16s  %-13s  %9s  %9s  %7s  %9s  %10s  %9s\n", "node", "runs", "memory",
                      "used", "experts", "reads", "round trip", "link");
  for (const Json& node : plan["nodes"]) {
    const bool router = node["router"].get<bool>();
    const bool worker = node["worker"].get<bool>();
    const auto bytes = [&node](const char* key) { return node[key].get<uint64_t>(); };
    absl::StrAppendFormat(
        &text, "%-16s  %-13s  %9s  %9s  %7d  %4.1f GB/s  %7.2f ms  %4.1f Gbit\n",
        node["name"].get<std::string>(),
        router ? (worker ? "router,worker" : "router") : (worker ? "worker" : "nothing"),
        node["memory_bytes"].is_null() ? "not known" : ReadableBytes(bytes("memory_bytes")),
        ReadableBytes(bytes("expert_bytes") + bytes("trunk_bytes") + bytes("kv_bytes")),
        node["experts"].get<int>(), node["read_gb_per_s"].get<double>(),
        node["round_trip_ms"].get<double>(), node["link_gbit_per_s"].get<double>());
  }
  const auto number = [&plan](const char* key) { return plan[key].get<double>(); };
  absl::StrAppendFormat(&text, "\nreplicas of each expert: %d\n", plan["replicas"].get<int>());
  if (const auto warning = plan["warning"].get<std::string>(); !warning.empty()) {
    absl::StrAppend(&text, "warning: ", warning, "\n");
  }
  absl::StrAppendFormat(&text, "decode: %.1f tokens/s; a token takes",
                        number("decode_tokens_per_s"));
  for (const auto& [part, ms] : plan["token_ms"].items()) {
    absl::StrAppendFormat(&text, "  %s %.1f ms", part == "round_trips" ? "round trips" : part,
                          ms.get<double>());
  }
  absl::StrAppendFormat(&text, "\nfirst token of a prompt of %.0f: %.2f s\nlimit: %s\n",
                        number("prompt_tokens"), number("time_to_first_token_ms") / 1e3,
                        plan["limit"].get<std::string>());
  if (const Json& more = plan["one_more"]; more.is_object()) {
    const auto rate = more["decode_tokens_per_s"].get<double>();
    absl::StrAppendFormat(&text, "one more box like %s: %.1f tokens/s (%+.0f %%)\n",
                          more["like"].get<std::string>(), rate,
                          100 * (rate / number("decode_tokens_per_s") - 1));
  }
  if (const Json& alone = plan["alone"]; alone.is_object()) {
    absl::StrAppendFormat(
        &text, "%s alone: %.1f tokens/s%s\n", alone["name"].get<std::string>(),
        alone["decode_tokens_per_s"].get<double>(),
        plan["one_box_is_better"].get<bool>() ? ": one box is better than this cluster" : "");
  } else {
    absl::StrAppend(&text, "none of these boxes holds the model alone\n");
  }
  return text;
}

absl::Status RunPlan(PlanOptions options) {
  if (options.from_cluster == !options.nodes_path.empty()) {
    return absl::InvalidArgumentError("give --nodes FILE or --from-cluster, one of the two");
  }
  SHOAL_ASSIGN_OR_RETURN(const StarModel model, ReadModel(options));
  SHOAL_RETURN_IF_ERROR(FillKv(model, &options));
  std::vector<StarNode> nodes;
  if (options.from_cluster) {
    SHOAL_ASSIGN_OR_RETURN(nodes, AskCluster(options));
  } else {
    SHOAL_ASSIGN_OR_RETURN(nodes, ReadNodesFile(options.nodes_path));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const StarNode& a, const StarNode& b) { return a.name < b.name; });
  SHOAL_ASSIGN_OR_RETURN(const StarPlan plan, PlanStar(model, std::move(nodes), options.star));
  const Json json = PlanJson(model, plan, options.star, PlanOneMore(model, plan, options.star));
  return WriteStandardOutput(options.json ? json.dump() + "\n" : PlanText(json));
}

}  // namespace

void AddPlanCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "Predict placement, memory and tokens/s of a model on boxes, before anything is loaded");
  command
      ->add_option("MODEL", options->model,
                   "GGUF file, folder of safetensors, or id or name of an imported model")
      ->required();
  command->add_option("--nodes", options->nodes_path,
                      "YAML file with the boxes: docs/operations.md says its keys");
  command->add_flag("--from-cluster", options->from_cluster,
                    "The workers that run now, as the coordinator of --data-dir knows them");
  AddDataDirOption(command, &options->data_dir);
  command->add_option("--replicas", options->star.replicas, "Of each expert, on different boxes")
      ->check(CLI::Range(1, 256));
  command->add_option("--prompt", options->star.prompt_tokens, "Tokens of the prompt to predict")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command->add_option("--depth", options->star.context, "Tokens of context while it decodes")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command
      ->add_option("--ctx-size", options->ctx_size,
                   "Longest prompt with its answer; 0: the model's, at most 4096")
      ->check(CLI::Range(int64_t{0}, kMaxContext));
  command->add_option("--kv-type", options->kv_type, "What the cache stores: f16, f32 or q8_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
  command
      ->add_option("--link-gbit-per-s", options->link_gbit_per_s,
                   "Of every box, with --from-cluster: a cluster does not know its cables")
      ->check(CLI::Range(1e-3, 1e5));
  command->add_flag("--json", options->json, "As one line of JSON");
  command->callback([options, exit_code] { *exit_code = ReportStatus("plan", RunPlan(*options)); });
}

}  // namespace shoal
