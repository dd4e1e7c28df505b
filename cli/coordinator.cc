#include "coordinator/coordinator.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "base/log.h"
#include "base/status_macros.h"
#include "cli/cluster_json.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/ops_server.h"
#include "cli/text_io.h"
#include "cli/wait_for_end.h"
#include "coordinator/backup.h"
#include "nlohmann/json.hpp"
#include "proto/grpc_transport.h"

namespace shoal {
namespace {

struct CoordinatorOptions {
  std::string data_dir;
  std::string peer_listen = "127.0.0.1:7700";
  std::string ops_listen;
  std::string model;
  int replicas = 0;
};

absl::Status RunCoordinator(const CoordinatorOptions& options) {
  InitLog("coordinator");
  EndWaiter end;  // Before any thread starts.
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<DataDirectory> data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kExclusive));
  const auto listen = [&](std::shared_ptr<CredentialSource> credentials) {
    return ListenGrpc(options.peer_listen,
                      {.transport = {.credentials = std::move(credentials)},
                       .kinds = {StreamKind::kControl, StreamKind::kFetchShard},
                       .admit_anonymous = true});
  };
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Coordinator> coordinator,
                         Coordinator::Start({.data = data.get(),
                                             .clock = SystemClock(),
                                             .random = SystemRandom(),
                                             .replicas = options.replicas,
                                             .model = options.model,
                                             .listen = listen}));
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<OpsServer> ops,
      OpsServer::Start(
          options.ops_listen,
          {.is_ready = [] { return true; },
           .add_metrics = [&](Metrics* metrics) { coordinator->AddMetrics(metrics); },
           .status = [&] { return ToJson(coordinator->view()->status).dump() + "\n"; }}));
  Log(LogLevel::kInfo, "serving",
      {{"peer_listen", coordinator->address()}, {"cluster", coordinator->cluster_id()}});
  nlohmann::json line{{"peer_listen", coordinator->address()}};
  if (ops != nullptr) line["ops_port"] = ops->port();
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
  end.Wait();
  return absl::OkStatus();
}

struct BackupOptions {
  std::string data_dir;
  std::string file;
};

// Beside a running coordinator too, which is why it takes no lock.
absl::Status RunBackup(const BackupOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<DataDirectory> data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kShared));
  SHOAL_ASSIGN_OR_RETURN(const std::string backup, MakeBackup(*data));
  return ReplaceFile(MachineFileSystem(), options.file, backup);
}

absl::Status RunRestore(const BackupOptions& options) {
  constexpr uint64_t kMaxBackupBytes = uint64_t{1} << 30;
  SHOAL_ASSIGN_OR_RETURN(const std::string backup,
                         ReadFile(MachineFileSystem(), options.file, kMaxBackupBytes));
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<DataDirectory> data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kExclusive));
  return RestoreBackup(backup, data.get());
}

void AddBackupCommands(CLI::App* coordinator, int* exit_code) {
  const auto add = [&](const char* name, const char* title, const char* help,
                       absl::Status (*run)(const BackupOptions&)) {
    auto options = std::make_shared<BackupOptions>();
    CLI::App* command = coordinator->add_subcommand(name, help);
    AddDataDirOption(command, &options->data_dir);
    command->add_option("FILE", options->file, "The backup; it holds the cluster's keys")
        ->required();
    command->callback(
        [options, run, title, exit_code] { *exit_code = ReportStatus(title, run(*options)); });
  };
  add("backup", "coordinator backup",
      "Write what nobody can make again into a file, also while the coordinator runs", RunBackup);
  add("restore", "coordinator restore",
      "Put a backup into an empty data directory, before the coordinator starts there", RunRestore);
}

}  // namespace

void AddCoordinatorCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<CoordinatorOptions>();
  CLI::App* command = app.add_subcommand(
      "coordinator",
      "Decide which nodes belong to the cluster and which experts they hold, until a signal comes "
      "or standard input, if that is a pipe, closes");
  AddDataDirOption(command, &options->data_dir);
  command->add_option("--peer-listen", options->peer_listen,
                      "Address and port for nodes and operators; port 0 takes a free one");
  command
      ->add_option("--replicas", options->replicas,
                   "Of each expert, on different workers; 0: as it was, 2 at first")
      ->check(CLI::Range(0, 256));
  command->add_option("--model", options->model,
                      "Id, its first digits, or name of an imported model; empty: as it was");
  AddOpsListenOption(command, &options->ops_listen);
  command->require_subcommand(0, 1);
  AddBackupCommands(command, exit_code);
  command->callback([options, command, exit_code] {
    if (!command->get_subcommands().empty()) return;
    *exit_code = ReportStatus("coordinator", RunCoordinator(*options));
  });
}

}  // namespace shoal
