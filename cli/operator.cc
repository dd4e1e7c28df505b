// What an operator asks of a coordinator: tokens, nodes, the model.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cli/admin_client.h"
#include "cli/cluster_json.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/text_io.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

struct OperatorOptions {
  std::string data_dir;
  std::string role = "worker";
  int uses = 1;
  std::string ttl = "1h";
  std::string node;
  bool force = false;
  std::string model;
  int replicas = 0;
  bool json = false;
};
using Shared = std::shared_ptr<OperatorOptions>;

absl::StatusOr<wire::ControlReply> Ask(const OperatorOptions& options,
                                       wire::ControlRequest request) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<AdminClient> client,
                         AdminClient::Open(options.data_dir));
  return client->Ask(std::move(request));
}

absl::Status CreateToken(const OperatorOptions& options) {
  absl::Duration ttl;
  if (!absl::ParseDuration(options.ttl, &ttl) || ttl < absl::Seconds(1)) {
    return absl::InvalidArgumentError("--ttl: '" + options.ttl +
                                      "' is not a time of 1 s or more, such as 90m or 24h");
  }
  wire::ControlRequest request;
  request.mutable_create_token()->set_role(options.role == "router" ? wire::ROLE_ROUTER
                                                                    : wire::ROLE_WORKER);
  request.mutable_create_token()->set_uses(static_cast<uint32_t>(options.uses));
  request.mutable_create_token()->set_ttl_s(static_cast<uint64_t>(absl::ToInt64Seconds(ttl)));
  SHOAL_ASSIGN_OR_RETURN(const wire::ControlReply reply, Ask(options, std::move(request)));
  std::printf("%s\n", reply.create_token().token().c_str());
  return absl::OkStatus();
}

void PrintNode(const wire::NodeInfo& node) {
  const char* const role = node.role() == wire::ROLE_WORKER ? "worker" : "router";
  std::printf("%-16s  %-6s  %-8s  %-21s  %8s  %6.1f GB/s  %6u/%-6u  %7.2f ms  %5.1f d\n",
              node.node_id().c_str(), role, node.state().c_str(),
              node.peer_address().empty() ? "-" : node.peer_address().c_str(),
              ReadableBytes(node.memory_bytes()).c_str(), node.read_gb_per_s(), node.n_resident(),
              node.n_assigned(), static_cast<double>(node.round_trip_us()) / 1e3,
              static_cast<double>(node.certificate_left_s()) / 86400);
}

absl::Status ListNodes(const OperatorOptions& options) {
  wire::ControlRequest request;
  request.mutable_list_nodes();
  SHOAL_ASSIGN_OR_RETURN(const wire::ControlReply reply, Ask(options, std::move(request)));
  const wire::ListNodesReply& list = reply.list_nodes();
  if (options.json) {
    nlohmann::ordered_json json = ToJson(list, reply.message());
    json["nodes"] = nlohmann::ordered_json::array();
    for (const wire::NodeInfo& node : list.nodes()) json["nodes"].push_back(ToJson(node));
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  std::printf("cluster %s  epoch %llu  model %s  replicas %u\n%s\n\n", list.cluster_id().c_str(),
              static_cast<unsigned long long>(list.epoch()),
              list.model_id().empty()
                  ? "none"
                  : absl::StrFormat("%s (%s)", list.model_name(),
                                    absl::BytesToHexString(list.model_id()).substr(0, 12))
                        .c_str(),
              list.replicas(), reply.message().c_str());
  std::printf("%-16s  %-6s  %-8s  %-21s  %8s  %11s  %-13s  %10s  %7s\n", "node", "role", "state",
              "address", "memory", "reads", "held/assigned", "round trip", "cert");
  for (const wire::NodeInfo& node : list.nodes()) PrintNode(node);
  return absl::OkStatus();
}

absl::Status DrainNode(const OperatorOptions& options, bool undo) {
  wire::ControlRequest request;
  request.mutable_drain()->set_node_id(options.node);
  request.mutable_drain()->set_undo(undo);
  request.mutable_drain()->set_force(options.force);
  return Ask(options, std::move(request)).status();
}

absl::Status RevokeNode(const OperatorOptions& options) {
  wire::ControlRequest request;
  request.mutable_revoke()->set_node_id(options.node);
  return Ask(options, std::move(request)).status();
}

absl::Status SetModel(const OperatorOptions& options) {
  wire::ControlRequest request;
  request.mutable_set_model()->set_model(options.model);
  request.mutable_set_model()->set_replicas(static_cast<uint32_t>(options.replicas));
  SHOAL_ASSIGN_OR_RETURN(const wire::ControlReply reply, Ask(options, std::move(request)));
  std::printf("%s\n", absl::BytesToHexString(reply.set_model().model_id()).c_str());
  return absl::OkStatus();
}

// Adds `shoal GROUP NAME`; `name_in_errors` is both.
template <typename Run>
CLI::App* AddAction(CLI::App* group, const Shared& options, int* exit_code, const char* name,
                    const char* name_in_errors, const char* help, Run run) {
  CLI::App* action = group->add_subcommand(name, help);
  AddDataDirOption(action, &options->data_dir);
  action->callback([options, exit_code, name_in_errors, run] {
    *exit_code = ReportStatus(name_in_errors, run(*options));
  });
  return action;
}

}  // namespace

void AddTokenCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<OperatorOptions>();
  CLI::App* group = app.add_subcommand("token", "Join tokens, on the coordinator's machine");
  group->require_subcommand(1);
  CLI::App* create = AddAction(group, options, exit_code, "create", "token create",
                               "Print a token that lets nodes join", CreateToken);
  create->add_option("--role", options->role, "worker or router")
      ->check(CLI::IsMember({"worker", "router"}));
  create->add_option("--uses", options->uses, "Nodes that may join with it")
      ->check(CLI::Range(1, 100000));
  create->add_option("--ttl", options->ttl, "How long it is good for: 90m, 24h");
}

void AddNodeCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<OperatorOptions>();
  CLI::App* group =
      app.add_subcommand("node", "Nodes of the cluster, on the coordinator's machine");
  group->require_subcommand(1);
  CLI::App* list = AddAction(group, options, exit_code, "list", "node list",
                             "Print the nodes and how experts are placed", ListNodes);
  list->add_flag("--json", options->json, "As one line of JSON");
  CLI::App* drain = AddAction(group, options, exit_code, "drain", "node drain",
                              "Move a worker's experts elsewhere",
                              [](const OperatorOptions& o) { return DrainNode(o, false); });
  drain->add_flag("--force", options->force, "Even where it holds the last replica of an expert");
  CLI::App* undrain = AddAction(group, options, exit_code, "undrain", "node undrain",
                                "Let a drained worker serve again",
                                [](const OperatorOptions& o) { return DrainNode(o, true); });
  CLI::App* revoke = AddAction(group, options, exit_code, "revoke", "node revoke",
                               "Bar a node from the cluster for good", RevokeNode);
  for (CLI::App* action : {drain, undrain, revoke}) {
    action->add_option("NODE", options->node, "Node id, as `shoal node list` prints it")
        ->required();
  }
}

void AddModelCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<OperatorOptions>();
  CLI::App* group =
      app.add_subcommand("model", "What the cluster serves, on the coordinator's machine");
  group->require_subcommand(1);
  CLI::App* set = AddAction(group, options, exit_code, "set", "model set",
                            "Serve an imported model; prints its id", SetModel);
  set->add_option("MODEL", options->model, "Id, its first 8 digits or more, or name")->required();
  set->add_option("--replicas", options->replicas, "Of each expert; 0: as it is")
      ->check(CLI::Range(0, 256));
}

}  // namespace shoal
