#include "cli/children.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace shoal {

Children::~Children() { Stop(absl::ZeroDuration()); }

absl::StatusOr<Children::Child*> Children::Start(std::string name, std::vector<std::string> args,
                                                 const std::vector<std::string>& first_args,
                                                 const std::string& input) {
  std::vector<std::string> all_args = args;
  all_args.insert(all_args.end(), first_args.begin(), first_args.end());
  SHOAL_ASSIGN_OR_RETURN(auto process, ChildProcess::Start(name, std::move(all_args), input));
  Child& child = children_.emplace_back();
  child.name = std::move(name);
  child.args = std::move(args);
  child.process = std::move(process);
  child.restart.OnStart(MonotonicNow());
  return &child;
}

void Children::Mend() {
  const absl::Time now = MonotonicNow();
  for (Child& child : children_) {
    const std::optional<std::string> how = child.process->Ended();
    if (!how.has_value()) continue;
    child.restart.OnEnd(now);
    if (now < child.restart.at()) continue;
    child.restart.OnStart(now);
    auto next = ChildProcess::Start(child.name, child.args);
    const std::string outcome(next.ok() ? "ok" : next.status().message());
    Log(LogLevel::kWarning, "restarted",
        {{"child", child.name}, {"ended_with", *how}, {"outcome", outcome}});
    if (next.ok()) {
      child.process = *std::move(next);
    } else {
      child.restart.OnEnd(now);
    }
  }
}

absl::Time Children::next_restart() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Child& child : children_) next = std::min(next, child.restart.at());
  return next;
}

std::optional<std::string> Children::Ended() {
  for (const Child& child : children_) {
    if (const std::optional<std::string> how = child.process->Ended()) {
      return absl::StrCat(child.name, ": ", *how);
    }
  }
  return std::nullopt;
}

void Children::WaitForEnd(absl::Time deadline) {
  std::vector<pollfd> ends;
  for (const Child& child : children_) {
    ends.push_back({.fd = child.process->pid_fd(), .events = POLLIN, .revents = 0});
  }
  const auto wait_ms = absl::ToInt64Milliseconds(deadline - MonotonicNow()) + 1;
  poll(ends.data(), ends.size(), static_cast<int>(std::clamp<int64_t>(wait_ms, 0, 60000)));
}

void Children::Stop(absl::Duration time) {
  const absl::Time deadline = MonotonicNow() + time;
  for (size_t i = 1; i < children_.size(); ++i) children_[i].process->Signal(SIGTERM);
  for (size_t i = 1; i < children_.size(); ++i) children_[i].process->WaitUntil(deadline);
  if (!children_.empty()) {
    children_[0].process->Signal(SIGTERM);
    children_[0].process->WaitUntil(deadline);
  }
  children_.clear();  // Kills what is left, and waits for it.
}

void SetArg(Children::Child* child, const std::string& option, std::string value) {
  const auto found = std::find(child->args.begin(), child->args.end(), option);
  SHOAL_CHECK(found != child->args.end() && std::next(found) != child->args.end());
  *std::next(found) = std::move(value);
}

absl::StatusOr<std::string> ReadPeerAddress(ChildProcess& process, absl::Time deadline) {
  SHOAL_ASSIGN_OR_RETURN(const std::string line, process.ReadLine(deadline));
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  const auto found = json.is_object() ? json.find("peer_listen") : json.end();
  if (found == json.end() || !found->is_string()) {
    return absl::InternalError(absl::StrCat(process.name(), ": printed no address"));
  }
  return found->get<std::string>();
}

}  // namespace shoal
