#include "cli/serve.h"

#include <signal.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "cli/dispatch_metrics.h"
#include "cli/load_window.h"
#include "cli/text_options.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "router/http/api_keys.h"
#include "router/router.h"

namespace shoal {
namespace {

constexpr char kApiKeyFile[] = "--api-key-file";
constexpr absl::Duration kDrainLimit = absl::Seconds(300);
constexpr absl::Duration kBeatPeriod = absl::Seconds(1);
constexpr absl::Duration kDrainPeriod = absl::Milliseconds(100);

// The template that was asked for, else the model's; null when there is none.
absl::StatusOr<std::unique_ptr<ChatTemplate>> LoadTemplate(const ServeOptions& options,
                                                           const LoadedModel& model) {
  std::string source;
  if (!options.chat_template_path.empty()) {
    SHOAL_ASSIGN_OR_RETURN(source, ReadTemplateFile(options.chat_template_path));
  } else {
    SHOAL_ASSIGN_OR_RETURN(source, model.chat_template());
  }
  if (source.empty()) return std::unique_ptr<ChatTemplate>();
  auto chat_template = ChatTemplate::Parse(source);
  if (chat_template.ok()) return chat_template;
  return absl::Status(chat_template.status().code(),
                      absl::StrCat("chat template: ", std::string(chat_template.status().message()),
                                   "; --chat-template FILE sets another one"));
}

// Names what decides the bits of an answer: the model and how its cache stores numbers.
std::string Fingerprint(const LoadedModel& model, const std::string& kv_type) {
  return absl::StrCat("fp_", model.model_id().substr(0, 12), "_", kv_type);
}

// Lets the answers that run end. True: another signal came meanwhile.
bool Drain(Signals& signals, Router* router) {
  router->Drain();
  const absl::Time limit = MonotonicNow() + kDrainLimit;
  if (router->n_answers() > 0) Log(LogLevel::kInfo, "drain", {{"answers", router->n_answers()}});
  while (router->n_answers() > 0 && MonotonicNow() < limit) {
    const auto again = signals.WaitUntil(MonotonicNow() + kDrainPeriod);
    if (again.has_value() && *again != SIGCHLD) return true;
  }
  return false;
}

// True: by a signal.
bool RunUntilEnd(Signals& signals, Router* router, const std::function<bool()>& beat) {
  while (true) {
    const std::optional<int> signal = signals.WaitUntil(MonotonicNow() + kBeatPeriod);
    if (signal == SIGINT) return true;
    const bool ended = signal == SIGTERM;
    if (!ended && (signal.has_value() || beat())) continue;
    return Drain(signals, router) || ended;
  }
}

absl::StatusOr<ListenAddress> AddressOf(const ServeOptions& options) {
  return ParseListenAddress(options.listen, !options.api_key_file.empty());
}

// Empty: without keys.
absl::StatusOr<std::optional<ApiKeys>> ReadKeys(const std::string& path) {
  if (path.empty()) return std::optional<ApiKeys>();
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(MachineFileSystem(), path, kMaxApiKeyFileBytes));
  absl::StatusOr<ApiKeys> keys = ApiKeys::Parse(text);
  if (keys.ok()) return std::optional<ApiKeys>(*std::move(keys));
  return absl::InvalidArgumentError(absl::StrCat(std::string(kApiKeyFile), ": ", path, ": ",
                                                 std::string(keys.status().message())));
}

}  // namespace

// What probes ask, whatever is being loaded. Thread-safe.
class RouterProbes::State {
 public:
  void Set(LoadedModel* model, Router* router) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    model_ = model;
    router_ = router;
    window_ = LoadWindow();
  }
  bool IsReady() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (model_ == nullptr) return false;
    return model_->remote_experts() == nullptr || model_->remote_experts()->CheckServable().ok();
  }
  void AddMetrics(Metrics* metrics) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (add_more_) add_more_(metrics);
    if (model_ == nullptr) return;
    absl::Duration network;
    if (const RemoteExperts* experts = model_->remote_experts(); experts != nullptr) {
      network = experts->counters().network;
      AddDispatchMetrics(*experts, metrics);
    }
    router_->AddMetrics(network, metrics);
  }
  std::optional<RouterLoad> ReadLoad() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (model_ == nullptr) return std::nullopt;
    return window_.Update(*router_, model_->remote_experts(), MonotonicNow());
  }
  void SetMore(std::function<void(Metrics*)> add_more) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    add_more_ = std::move(add_more);
  }

 private:
  Mutex mu_;
  LoadedModel* model_ SHOAL_GUARDED_BY(mu_) = nullptr;
  Router* router_ SHOAL_GUARDED_BY(mu_) = nullptr;
  LoadWindow window_ SHOAL_GUARDED_BY(mu_);
  std::function<void(Metrics*)> add_more_ SHOAL_GUARDED_BY(mu_);
};

RouterProbes::RouterProbes() : state_(std::make_unique<State>()) {}
RouterProbes::~RouterProbes() = default;
std::optional<RouterLoad> RouterProbes::ReadLoad() { return state_->ReadLoad(); }

absl::StatusOr<std::unique_ptr<RouterProbes>> RouterProbes::Start(
    const std::string& listen, std::function<void(Metrics*)> add_more) {
  std::unique_ptr<RouterProbes> probes(new RouterProbes);
  probes->state_->SetMore(std::move(add_more));
  State* const state = probes->state_.get();
  SHOAL_ASSIGN_OR_RETURN(
      probes->server_,
      OpsServer::Start(listen, {.is_ready = [state] { return state->IsReady(); },
                                .add_metrics = [state](Metrics* m) { state->AddMetrics(m); }}));
  return probes;
}

void AddServeOptions(CLI::App* command, ServeOptions* options) {
  command->add_option("--listen", options->listen,
                      "Where the API listens, as ADDRESS:PORT; port 0: any free one");
  command->add_option(kApiKeyFile, options->api_key_file,
                      "File of the keys that let clients in; without it the API needs none, and "
                      "listens on loopback only");
  command
      ->add_option("--threads", options->model.threads,
                   "Compute threads of all processes together; 0: one per core")
      ->check(CLI::Range(0, 1024));
  command
      ->add_option("--ctx-size", options->model.ctx_size,
                   "Longest prompt with its answer, in tokens; 0: the model's, at most 4096")
      ->check(CLI::Range(int64_t{0}, kMaxContext));
  command->add_option("--kv-type", options->kv_type, "What the KV cache stores: f16, f32 or q8_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
  command->add_option("--model-name", options->model_name, "The name that clients use");
  AddOpsListenOption(command, &options->ops_listen);
  command->add_option("--chat-template", options->chat_template_path,
                      "File with a chat template to use instead of the model's");
  AddPreOption(command, &options->pre);
}

absl::Status CheckServeOptions(const ServeOptions& options) {
  SHOAL_RETURN_IF_ERROR(AddressOf(options).status());
  return ReadKeys(options.api_key_file).status();
}

absl::StatusOr<std::unique_ptr<HttpServer>> ListenForRequests(const ServeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ListenAddress address, AddressOf(options));
  return HttpServer::Listen(address);
}

absl::Status Serve(const ServeOptions& options, OnReady on_ready) {
  Signals signals;
  SHOAL_RETURN_IF_ERROR(ListenForRequests(options).status());  // Before a long load.
  SHOAL_ASSIGN_OR_RETURN(const auto probes, RouterProbes::Start(options.ops_listen, {}));
  ModelOptions model_options = options.model;
  SHOAL_ASSIGN_OR_RETURN(model_options.kv_type, ParseKvType(options.kv_type));
  SHOAL_ASSIGN_OR_RETURN(const auto model, LoadedModel::Load(model_options));
  return ServeLoaded(
             options, *model, *probes, signals, [] { return true; }, on_ready)
      .status();
}

absl::StatusOr<bool> ServeLoaded(const ServeOptions& options, LoadedModel& model,
                                 RouterProbes& probes, Signals& signals,
                                 const std::function<bool()>& beat, OnReady on_ready) {
  SHOAL_ASSIGN_OR_RETURN(const ListenAddress address, AddressOf(options));
  SHOAL_ASSIGN_OR_RETURN(const std::optional<ApiKeys> api_keys, ReadKeys(options.api_key_file));
  SHOAL_ASSIGN_OR_RETURN(auto server, HttpServer::Listen(address));
  SHOAL_ASSIGN_OR_RETURN(Vocabulary vocabulary, model.vocabulary());
  SHOAL_ASSIGN_OR_RETURN(const auto tokenizer, CreateTokenizer(std::move(vocabulary), options.pre));
  SHOAL_ASSIGN_OR_RETURN(const auto chat_template, LoadTemplate(options, model));
  const std::string name = options.model_name.empty() ? model.model_name() : options.model_name;
  SHOAL_ASSIGN_OR_RETURN(
      const auto router,
      Router::Create({.engine = &model.engine(),
                      .kv_cache = &model.kv_cache(),
                      .tokenizer = tokenizer.get(),
                      .chat_template = chat_template.get(),
                      .api_keys = api_keys.has_value() ? &*api_keys : nullptr,
                      .model_name = name,
                      .fingerprint = Fingerprint(model, options.kv_type),
                      .context_length = model.ctx_size(),
                      .batch = {.max_step_tokens = options.model.max_step_tokens}},
                     std::move(server)));
  router->Start();
  probes.state_->Set(&model, router.get());
  on_ready(absl::StrCat("http://",
                        address.host.find(':') == std::string::npos
                            ? address.host
                            : absl::StrCat("[", address.host, "]"),
                        ":", router->port()),
           name);
  const bool by_signal = RunUntilEnd(signals, router.get(), beat);
  probes.state_->Set(nullptr, nullptr);
  router->Stop();
  return by_signal;
}

void PrintListening(const std::string& url, const std::string& model) {
  std::printf("%s%s\n%s%s\n", kListeningPrefix, url.c_str(), kServingPrefix, model.c_str());
  std::fflush(stdout);
}

}  // namespace shoal
