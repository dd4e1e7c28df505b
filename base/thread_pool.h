#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/mutex.h"

namespace shoal {

// A fixed set of compute threads. The caller is thread 0 and works too, so a pool of one starts no
// thread. Each thread begins with a stretch of its own, so that it reads memory in a row; who is
// done takes chunks of the others' stretches, so that a slow core holds up nothing but the chunk it
// is at. Results may not depend on who computed what.
// Thread-compatible: one ParallelFor at a time.
class ThreadPool {
 public:
  // n_threads >= 1, the caller's included.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls fn(begin, end, thread_idx) over disjoint ranges that together cover [0, n), each at most
  // `grain` long and starting at a multiple of it. Returns when all have run.
  // thread_idx is in [0, n_threads()) and is held by one call at a time: an index for scratch.
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int thread_idx)>;
  void ParallelFor(int64_t n, int64_t grain, Body body);

 private:
  struct Job {
    Body body;
    int64_t grain;
  };
  // What a thread begins with; on a cache line of its own.
  struct alignas(64) Stretch {
    std::atomic<int64_t> next{0};  // First item not yet handed out.
    int64_t end = 0;
  };

  void ThreadMain(int thread_idx);
  void RunChunks(const Job& job, int thread_idx);

  std::vector<std::thread> threads_;
  std::atomic<const Job*> job_{nullptr};
  std::vector<Stretch> stretches_;       // One a thread; written between jobs only.
  std::atomic<uint64_t> generation_{0};  // Grows by one with each job; what sleepers wait for.
  std::atomic<int> running_{0};          // Threads that have not finished the current job.
  std::atomic<bool> stop_{false};
  Mutex mu_;
  CondVar wake_;
  std::atomic<int> sleepers_{0};
};

}  // namespace shoal
