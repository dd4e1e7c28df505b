#include "proto/router_load.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "proto/control.pb.h"
#include "proto/identity.h"

namespace shoal {
namespace {

constexpr double kMaxPerSecond = 1e9;
constexpr double kMaxCallSeconds = 3600;

// Also refuses what is no number.
absl::Status CheckRange(std::string_view field, double value, double max) {
  if (value >= 0 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("load.", std::string(field), "=", value, " is not in [0, ", max, "]"));
}

absl::Status CheckNumbers(const wire::RouterLoad& message) {
  const struct {
    std::string_view field;
    double value;
    double max;
  } kChecks[] = {
      {"generation_tokens_per_s", message.generation_tokens_per_s(), kMaxPerSecond},
      {"prompt_tokens_per_s", message.prompt_tokens_per_s(), kMaxPerSecond},
      {"steps_per_s", message.steps_per_s(), kMaxPerSecond},
      {"running", static_cast<double>(message.running()), kMaxBatchSequences},
      {"waiting", static_cast<double>(message.waiting()), kMaxQueuedRequests},
      {"kv_use", message.kv_use(), 1},
      {"hottest", static_cast<double>(message.hottest_size()), kMaxLoadExperts},
      {"workers", static_cast<double>(message.workers_size()), kMaxLoadWorkers},
  };
  for (const auto& check : kChecks) {
    SHOAL_RETURN_IF_ERROR(CheckRange(check.field, check.value, check.max));
  }
  if (message.step_shares_size() == kLoadParts || message.step_shares().empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "load.step_shares has ", message.step_shares_size(), " numbers, not ", kLoadParts));
}

absl::Status ReadExperts(const wire::RouterLoad& message, RouterLoad* load) {
  for (const auto& expert : message.hottest()) {
    SHOAL_RETURN_IF_ERROR(CheckRange("hottest.layer", expert.layer(), kMaxLayers));
    SHOAL_RETURN_IF_ERROR(CheckRange("hottest.expert", expert.expert(), kMaxExperts));
    SHOAL_RETURN_IF_ERROR(CheckRange("hottest.times_mean", expert.times_mean(), kMaxPerSecond));
    load->hottest.push_back({static_cast<int>(expert.layer()), static_cast<int>(expert.expert()),
                             expert.rows(), expert.times_mean()});
  }
  return absl::OkStatus();
}

absl::Status ReadWorkers(const wire::RouterLoad& message, RouterLoad* load) {
  for (const auto& worker : message.workers()) {
    if (!IsNodeId(worker.node_id())) {
      return absl::InvalidArgumentError(
          absl::StrCat("load.workers names ", Quoted(worker.node_id()), ", which is no node's id"));
    }
    SHOAL_RETURN_IF_ERROR(CheckRange("workers.calls_per_s", worker.calls_per_s(), kMaxPerSecond));
    SHOAL_RETURN_IF_ERROR(CheckRange("workers.call_s", worker.call_s(), kMaxCallSeconds));
    load->workers.push_back({worker.node_id(), worker.calls_per_s(), worker.call_s()});
  }
  return absl::OkStatus();
}

}  // namespace

void ToWire(const RouterLoad& load, wire::RouterLoad* message) {
  message->set_generation_tokens_per_s(load.generation_tokens_per_s);
  message->set_prompt_tokens_per_s(load.prompt_tokens_per_s);
  message->set_steps_per_s(load.steps_per_s);
  message->set_running(static_cast<uint32_t>(load.running));
  message->set_waiting(static_cast<uint32_t>(load.waiting));
  message->set_kv_use(load.kv_use);
  for (const double share : load.shares) message->add_step_shares(share);
  for (const RouterLoad::Expert& from : load.hottest) {
    auto& expert = *message->add_hottest();
    expert.set_layer(static_cast<uint32_t>(from.layer));
    expert.set_expert(static_cast<uint32_t>(from.expert));
    expert.set_rows(from.rows);
    expert.set_times_mean(from.times_mean);
  }
  for (const RouterLoad::Worker& from : load.workers) {
    auto& worker = *message->add_workers();
    worker.set_node_id(from.node_id);
    worker.set_calls_per_s(from.calls_per_s);
    worker.set_call_s(from.call_s);
  }
}

absl::StatusOr<RouterLoad> FromWire(const wire::RouterLoad& message) {
  SHOAL_RETURN_IF_ERROR(CheckNumbers(message));
  RouterLoad load;
  load.generation_tokens_per_s = message.generation_tokens_per_s();
  load.prompt_tokens_per_s = message.prompt_tokens_per_s();
  load.steps_per_s = message.steps_per_s();
  load.running = static_cast<int>(message.running());
  load.waiting = static_cast<int>(message.waiting());
  load.kv_use = message.kv_use();
  for (int i = 0; i < message.step_shares_size(); ++i) {
    SHOAL_RETURN_IF_ERROR(CheckRange("step_shares", message.step_shares(i), 1));
    load.shares[static_cast<size_t>(i)] = message.step_shares(i);
  }
  SHOAL_RETURN_IF_ERROR(ReadExperts(message, &load));
  SHOAL_RETURN_IF_ERROR(ReadWorkers(message, &load));
  return load;
}

}  // namespace shoal
