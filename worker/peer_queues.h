#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/mutex.h"

namespace shoal {

// What waits for one thread, a line for each peer: whoever sends much waits behind itself, since
// peers take turns. Calls and bytes are counted from Push to Done and bounded, for each peer and
// for all together (S15). Thread-safe.
template <typename T>
class PeerQueues {
 public:
  struct Popped {
    std::string peer;
    size_t n_bytes = 0;
    T item;
  };

  // ResourceExhausted, naming the bound, when there is no room; `item` is then untouched.
  absl::Status Push(const std::string& peer, size_t n_bytes, T&& item) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (n_calls_ >= kMaxCalls) {
      return absl::ResourceExhaustedError(
          absl::StrCat("calls of all peers here have reached ", kMaxCalls));
    }
    if (n_bytes > kMaxCallBytes - n_bytes_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("calls of all peers here would exceed ", kMaxCallBytes, " bytes"));
    }
    Line& line = lines_[peer];
    if (line.n_calls >= kMaxCallsPerPeer) {
      return absl::ResourceExhaustedError(
          absl::StrCat("this peer's calls here have reached ", kMaxCallsPerPeer));
    }
    if (n_bytes > kMaxCallBytesPerPeer - line.n_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("this peer's calls here would exceed ", kMaxCallBytesPerPeer, " bytes"));
    }
    if (line.waiting.empty()) turns_.push_back(peer);
    Count(line, 1, n_bytes);
    line.waiting.push_back({peer, n_bytes, std::move(item)});
    return absl::OkStatus();
  }

  // The next in turn, if anything waits. It is counted until Done.
  std::optional<Popped> TryPop() SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (turns_.empty()) return std::nullopt;
    Line& line = lines_[turns_.front()];
    std::optional<Popped> popped(std::move(line.waiting.front()));
    line.waiting.pop_front();
    if (!line.waiting.empty()) turns_.push_back(turns_.front());
    turns_.pop_front();
    return popped;
  }

  void Done(const std::string& peer, size_t n_bytes) SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    const auto line = lines_.find(peer);
    Count(line->second, -1, -n_bytes);
    if (line->second.n_calls == 0) lines_.erase(line);
  }

 private:
  struct Line {
    std::deque<Popped> waiting;
    int n_calls = 0;
    size_t n_bytes = 0;
  };

  // Unsigned arithmetic wraps: a negative number of bytes is taken away.
  void Count(Line& line, int n_calls, size_t n_bytes) SHOAL_REQUIRES(mu_) {
    line.n_calls += n_calls;
    line.n_bytes += n_bytes;
    n_calls_ += n_calls;
    n_bytes_ += n_bytes;
  }

  Mutex mu_;
  std::map<std::string, Line> lines_ SHOAL_GUARDED_BY(mu_);  // Of peers that have calls here.
  std::deque<std::string> turns_ SHOAL_GUARDED_BY(mu_);      // Peers whose line is not empty.
  int n_calls_ SHOAL_GUARDED_BY(mu_) = 0;
  size_t n_bytes_ SHOAL_GUARDED_BY(mu_) = 0;
};

}  // namespace shoal
