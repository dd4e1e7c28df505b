#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/children.h"
#include "cli/serve.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// A whole cluster on this machine: a coordinator, workers and a router as processes of their own,
// with the same commands, keys and files as on many machines. Who ends by itself is started again.
// Thread-compatible.
class LocalCluster {
 public:
  struct Options {
    ServeOptions serve;    // The router's; its model_path is not used.
    std::string data_dir;  // The coordinator's; those of nodes are in its folder nodes/.
    std::string model_id;  // Imported there.
    int n_workers = 3;
    int replicas = 1;                                  // Workers that hold each expert.
    uint64_t memory_bytes = 0;                         // For the experts of all workers together.
    absl::Duration ready_timeout = absl::Minutes(10);  // Loading a large model from a slow disk.
  };

  // Starts all, and returns when requests are answered. Nodes that an earlier run had more of are
  // revoked; others keep who they are. Unavailable, with the process's name and how it ended, when
  // one does not come up; the others are then stopped.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(Options options);

  const std::string& url() const { return url_; }           // Where requests are answered.
  const std::string& model() const { return model_name_; }  // As clients call it.
  ChildProcess& router() { return *router_->process; }      // Until the next Mend.

  // As of Children.
  void Mend() { children_.Mend(); }
  absl::Time next_restart() const { return children_.next_restart(); }

  // Lets every process finish what it does and ends it; kills those that take longer than
  // FAILURE-MODEL 4 gives a drain. None is left afterwards.
  void Stop();
  ~LocalCluster() { Stop(); }

 private:
  explicit LocalCluster(Options options) : options_(std::move(options)) {}
  absl::Status StartCoordinator(absl::Time deadline);
  absl::Status RevokeSurplus();
  absl::StatusOr<Children::Child*> StartNode(const std::string& role, const std::string& name,
                                             std::vector<std::string> args);
  absl::Status StartWorkers();
  absl::Status WaitUntilHeard(absl::Time deadline);
  absl::Status StartRouter();
  absl::Status WaitUntilPlaced(absl::Time deadline);
  absl::StatusOr<nlohmann::json> ListNodes() const;
  absl::Status CheckStarting(absl::Time deadline);
  absl::StatusOr<std::string> ReadRouter(std::string_view prefix, absl::Time deadline);
  absl::StatusOr<std::string> RunTool(std::vector<std::string> args) const;
  std::string NodeDirectory(const std::string& name) const;
  std::string OpsAddress(int offset) const;

  const Options options_;
  std::string coordinator_address_;
  Children children_;
  std::vector<Children::Child*> workers_;
  Children::Child* router_ = nullptr;
  std::string url_;
  std::string model_name_;
};

}  // namespace shoal
