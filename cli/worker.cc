#include "worker/worker.h"

#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/model_loader.h"
#include "cli/ops_server.h"
#include "cli/wait_for_end.h"
#include "cli/worker_process.h"
#include "engine/numerics_class.h"
#include "model/import/open_model.h"
#include "nlohmann/json.hpp"
#include "proto/grpc_transport.h"

namespace shoal {
namespace {

constexpr absl::Duration kDrainTime = absl::Seconds(5);

struct WorkerOptions {
  std::string model_path;
  int part = 0;
  int n_parts = 1;
  int replicas = 1;
  std::string peer_listen = "127.0.0.1:0";
  int threads = 0;
  int spin_us = 0;
  std::string activations = "int8";
  std::string ops_listen;
};

absl::StatusOr<Worker::Parts> LoadParts(const WorkerOptions& options) {
  Worker::Parts parts;
  SHOAL_ASSIGN_OR_RETURN(parts.listener,
                         ListenGrpc(options.peer_listen,
                                    {.transport = {.credentials = nullptr,
                                                   .spin = absl::Microseconds(options.spin_us)}}));
  SHOAL_ASSIGN_OR_RETURN(const OpenedModel model, OpenModel(options.model_path));
  const ModelConfig& config = model.config;
  const ModelFile& file = *model.file;
  const bool activations_f32 = options.activations == "f32";
  RowFormat format = RowFormat::kF32;
  if (!activations_f32) {
    SHOAL_ASSIGN_OR_RETURN(format, RowFormatOf(config, file));
  }
  const KernelTable& kernels = SelectedKernels();
  parts.pool =
      std::make_unique<ThreadPool>(options.threads > 0 ? options.threads : DefaultThreads());
  SHOAL_ASSIGN_OR_RETURN(
      std::unique_ptr<LocalExperts> experts,
      LocalExperts::Load(
          config, file,
          {.part = options.part, .n_parts = options.n_parts, .n_replicas = options.replicas},
          kernels, parts.pool.get(), {.format = format, .activations_f32 = activations_f32}));
  parts.served =
      std::make_shared<Served>(ServedModel{.model_id = file.HeaderHash(),
                                           .numerics_class = NumericsClass(format, activations_f32),
                                           .format = format,
                                           .n_layers = config.n_layers,
                                           .n_experts = config.MaxExperts(),
                                           .hidden_dim = config.hidden_dim},
                               std::move(experts));
  parts.served->AdvertiseAll();
  parts.service.isa = std::string(IsaName(kernels.isa));
  parts.service.authenticated = false;
  return parts;
}

absl::Status RunWorker(const WorkerOptions& options) {
  InitLog(absl::StrCat("worker-", options.part));
  EndWaiter end;  // Before any thread starts.
  SHOAL_ASSIGN_OR_RETURN(Worker::Parts parts, LoadParts(options));
  const auto resident_bytes = static_cast<long long>(parts.served->experts().resident_bytes());
  const std::unique_ptr<Worker> worker = Worker::Start(std::move(parts));
  SHOAL_ASSIGN_OR_RETURN(
      const auto ops,
      OpsServer::Start(
          options.ops_listen,
          {.is_ready = [] { return true; },
           .add_metrics = [&worker](Metrics* metrics) { worker->service().AddMetrics(metrics); }}));
  Log(LogLevel::kInfo, "serving",
      {{"peer_listen", worker->address()}, {"resident_bytes", resident_bytes}});
  std::printf("%s\n", nlohmann::json{{"peer_listen", worker->address()}}.dump().c_str());
  std::fflush(stdout);
  end.Wait();
  const bool drained = worker->Drain(MonotonicNow() + kDrainTime);
  Log(drained ? LogLevel::kInfo : LogLevel::kWarning, drained ? "drained" : "drain timed out");
  return absl::OkStatus();
}

}  // namespace

void AddWorkerCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<WorkerOptions>();
  auto process = std::make_shared<WorkerProcessOptions>();
  CLI::App* command = app.add_subcommand(
      "worker",
      "Join a cluster, hold the experts that its coordinator assigns and compute them for routers, "
      "until a signal comes");
  AddNodeOptions(*command, &process->node);
  command->add_option("--peer-listen", process->peer_listen,
                      "Address and port for routers and other workers; port 0, or none, takes the "
                      "one of last time, else a free one");
  command->add_option("--threads", process->threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  command
      ->add_option("--memory-bytes", process->memory_bytes,
                   "Memory for experts; 0: what is free now, less a margin. Takes K, M, G")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
  command
      ->add_option("--read-gb-per-s", process->read_gb_per_s,
                   "How fast it reads memory, for the placement; 0: measured when it joins")
      ->check(CLI::Range(0.0, 1e5));
  command
      ->add_option("--spin-us", process->spin_us,
                   "Poll this long for the next call before sleeping")
      ->check(CLI::Range(0, 10000));
  AddOpsListenOption(command, &process->ops_listen);
  CLI::Option* model = command->add_option(
      "MODEL", options->model_path, "GGUF file, or folder: hold a share of it without any cluster");
  command->add_option("--part", options->part, "Hold experts e with e % n-parts == part")
      ->check(CLI::Range(0, 1023))
      ->needs(model);
  command->add_option("--n-parts", options->n_parts, "Workers that share the experts")
      ->check(CLI::Range(1, 1024))
      ->needs(model);
  command->add_option("--replicas", options->replicas, "Workers that hold each expert")
      ->check(CLI::Range(1, 1024))
      ->needs(model);
  command
      ->add_option(
          "--activations", options->activations,
          "int8, or f32: the reference path that rounds no activation, several times slower")
      ->check(CLI::IsMember({"int8", "f32"}))
      ->needs(model);
  command->callback([options, process, exit_code] {
    if (options->part >= options->n_parts) {
      std::fprintf(stderr, "shoal worker: --part: %d is not in [0, %d), the range of --n-parts\n",
                   options->part, options->n_parts);
      *exit_code = 2;
      return;
    }
    options->peer_listen = process->peer_listen;
    options->threads = process->threads;
    options->spin_us = process->spin_us;
    options->ops_listen = process->ops_listen;
    const absl::Status status =
        options->model_path.empty() ? RunWorkerProcess(*process) : RunWorker(*options);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal worker: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
