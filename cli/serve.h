#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cli/model_loader.h"

namespace CLI {
class App;
}

namespace shoal {

// What a router needs to know; the options of `shoal router`, and of `shoal up`, which hands them
// on.
struct ServeOptions {
  ModelOptions model;
  std::string listen = "127.0.0.1:8080";
  std::string kv_type = "f16";
  std::string model_name;          // Empty: as the file says.
  std::string chat_template_path;  // Empty: the file's own template.
  std::string ops_listen;          // Empty: no port for probes.
};

// Adds them to `command`; `options` outlives the parse. A bad value is bad usage.
void AddServeOptions(CLI::App* command, ServeOptions* options);

// Takes the port, loads the model, and answers requests until SIGINT, which stops at once, or
// SIGTERM, which lets running answers end first. `on_ready` gets the URL and the model's name once
// requests are answered.
absl::Status Serve(
    const ServeOptions& options,
    absl::FunctionRef<void(const std::string& url, const std::string& model)> on_ready);

// Says on standard output where the API is and which model it serves, one line each. `shoal up`
// reads both from its router.
void PrintListening(const std::string& url, const std::string& model);
inline constexpr char kListeningPrefix[] = "listening on ";
inline constexpr char kServingPrefix[] = "serving ";

}  // namespace shoal
