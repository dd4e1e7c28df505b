#include "router/admission.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace shoal {

absl::Status Admission::Submit(std::shared_ptr<Generation> generation) {
  MutexLock lock(&mu_);
  if (closed_) return absl::UnavailableError("the router is stopping");
  if (queue_.size() >= max_queued_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(queue_.size(), " requests wait for room, at most ", max_queued_, " may"));
  }
  queue_.push_back(std::move(generation));
  ++n_changes_;
  changed_.SignalAll();
  return absl::OkStatus();
}

std::optional<Admission::Admitted> Admission::Next() {
  MutexLock lock(&mu_);
  if (queue_.empty()) return std::nullopt;
  auto kv = kv_cache_->Reserve(queue_.front()->n_positions_max());
  if (!kv.ok()) return std::nullopt;
  Admitted admitted{std::move(queue_.front()), *std::move(kv)};
  queue_.pop_front();
  return admitted;
}

std::vector<std::shared_ptr<Generation>> Admission::DropCancelled() {
  MutexLock lock(&mu_);
  const auto stays = [](const auto& generation) { return !generation->cancelled(); };
  const auto gone = std::stable_partition(queue_.begin(), queue_.end(), stays);
  std::vector<std::shared_ptr<Generation>> dropped(gone, queue_.end());
  queue_.erase(gone, queue_.end());
  return dropped;
}

void Admission::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
}

std::deque<std::shared_ptr<Generation>> Admission::TakeQueued() {
  MutexLock lock(&mu_);
  return std::exchange(queue_, {});
}

size_t Admission::n_queued() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

uint64_t Admission::n_changes() const {
  MutexLock lock(&mu_);
  return n_changes_;
}

void Admission::Wake() {
  MutexLock lock(&mu_);
  ++n_changes_;
  changed_.SignalAll();
}

void Admission::WaitForChange(uint64_t seen) {
  MutexLock lock(&mu_);
  while (n_changes_ == seen) changed_.Wait(&mu_);
}

}  // namespace shoal
