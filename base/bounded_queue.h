#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace shoal {

// The only queue between threads. Full is an answer, never a wait and never growth. Thread-safe.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when the queue is full or closed; `item` is then untouched.
  bool TryPush(T&& item) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    ready_.Signal();
    return true;
  }

  // Waits for an item; empty once the queue is closed and drained.
  std::optional<T> Pop() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    while (items_.empty() && !closed_) ready_.Wait(&mu_);
    return TakeFront();
  }

  // An item if one is there, else nothing at once.
  std::optional<T> TryPop() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return TakeFront();
  }

  // Refuses further items and wakes every waiting Pop. Items already queued are still handed out.
  void Close() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    closed_ = true;
    ready_.SignalAll();
  }

  size_t size() const SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return items_.size();
  }

 private:
  std::optional<T> TakeFront() SHOAL_REQUIRES(mu_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t capacity_;
  mutable Mutex mu_;
  CondVar ready_;
  std::deque<T> items_ SHOAL_GUARDED_BY(mu_);
  bool closed_ SHOAL_GUARDED_BY(mu_) = false;
};

}  // namespace shoal
