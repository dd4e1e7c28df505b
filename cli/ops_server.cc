#include "cli/ops_server.h"

#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/build_info.h"
#include "kernels/kernel_table.h"
#include "router/http/server.h"

namespace shoal {
namespace {

std::string MetricsText(const OpsServer::Sources& sources) {
  Metrics metrics;
  metrics.Add("shoal_build_info", 1,
              {{"version", kVersion},
               {"commit", kCommit},
               {"isa", std::string(IsaName(SelectedKernels().isa))}});
  metrics.Add("shoal_ready", sources.is_ready() ? 1 : 0);
  AddProcessMetrics(&metrics);
  sources.add_metrics(&metrics);
  return metrics.Text();
}

HttpReply Answer(const HttpRequest& request, const OpsServer::Sources& sources) {
  const auto plain = [](int status, std::string text) {
    return HttpReply{
        .status = status, .content_type = "text/plain", .body = std::move(text), .fields = {}};
  };
  if (request.method != "GET") return plain(405, "only GET");
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (path == "/health" || path == "/healthz") return plain(200, "ok");
  if (path == "/ready" || path == "/readyz") {
    return sources.is_ready() ? plain(200, "ok") : plain(503, "not ready");
  }
  if (path == "/metrics") {
    HttpReply reply = plain(200, MetricsText(sources));
    reply.content_type = "text/plain; version=0.0.4";
    return reply;
  }
  if (path == "/status" && sources.status) {
    HttpReply reply = plain(200, sources.status());
    reply.content_type = "application/json";
    return reply;
  }
  return plain(404, absl::StrCat("there are /healthz, /readyz, /metrics",
                                 sources.status ? " and /status" : ""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<OpsServer>> OpsServer::Start(const std::string& listen,
                                                            Sources sources) {
  if (listen.empty()) return std::unique_ptr<OpsServer>();
  SHOAL_ASSIGN_OR_RETURN(const ListenAddress address, ParseAnyAddress(listen));
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server, HttpServer::Listen(address));
  server->Start([sources = std::move(sources)](const HttpRequest& request) {
    return Answer(request, sources);
  });
  return std::unique_ptr<OpsServer>(new OpsServer(std::move(server)));
}

OpsServer::OpsServer(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}
OpsServer::~OpsServer() = default;
uint16_t OpsServer::port() const { return server_->port(); }

void AddOpsListenOption(CLI::App* command, std::string* listen) {
  const auto check = [](const std::string& text) {
    if (text.empty()) return std::string();
    const auto address = ParseAnyAddress(text);
    return address.ok() ? std::string() : std::string(address.status().message());
  };
  command
      ->add_option("--ops-listen", *listen,
                   "Where /healthz, /readyz and /metrics answer, in plain HTTP; empty: nowhere")
      ->check(CLI::Validator(check, "ADDRESS:PORT"));
}

}  // namespace shoal
