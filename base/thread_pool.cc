#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {
namespace {

// How often an idle thread looks for work before it sleeps: about 20 us, half of what waking an
// idle core costs. Longer only takes the core from another process of the box.
constexpr int kSpins = 600;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  SHOAL_CHECK_GE(n_threads, 1);
  stretches_ = std::vector<Stretch>(static_cast<size_t>(n_threads));
  for (int i = 1; i < n_threads; ++i) threads_.emplace_back([this, i] { ThreadMain(i); });
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(&mu_);
    stop_.store(true);
    generation_.fetch_add(1);
    wake_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::ParallelFor(int64_t n, int64_t grain, Body body) {
  SHOAL_CHECK_GE(grain, 1);
  const Job job{body, grain};
  if (threads_.empty() || n <= grain) {
    for (int64_t begin = 0; begin < n; begin += grain) {
      body(begin, std::min(begin + grain, n), 0);
    }
    return;
  }
  const auto n_stretches = static_cast<int64_t>(stretches_.size());
  const int64_t n_chunks = (n + grain - 1) / grain;
  for (int64_t i = 0; i < n_stretches; ++i) {
    stretches_[i].next.store(n_chunks * i / n_stretches * grain, std::memory_order_relaxed);
    stretches_[i].end = std::min(n_chunks * (i + 1) / n_stretches * grain, n);
  }
  running_.store(static_cast<int>(threads_.size()));
  job_.store(&job);
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    MutexLock lock(&mu_);
    wake_.SignalAll();
  }
  RunChunks(job, 0);
  for (int spins = 0; running_.load() > 0; ++spins) {
    if (spins < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();  // The last chunks are under way on other threads.
    }
  }
}

void ThreadPool::RunChunks(const Job& job, int thread_idx) {
  for (size_t i = 0; i < stretches_.size(); ++i) {
    Stretch& stretch = stretches_[(thread_idx + i) % stretches_.size()];
    for (;;) {
      const int64_t begin = stretch.next.fetch_add(job.grain);
      if (begin >= stretch.end) break;
      job.body(begin, std::min(begin + job.grain, stretch.end), thread_idx);
    }
  }
}

void ThreadPool::ThreadMain(int thread_idx) {
  uint64_t seen = 0;
  for (;;) {
    for (int spins = 0; generation_.load() == seen && spins < kSpins; ++spins) Pause();
    if (generation_.load() == seen) {
      MutexLock lock(&mu_);
      sleepers_.fetch_add(1);
      while (generation_.load() == seen) wake_.Wait(&mu_);
      sleepers_.fetch_sub(1);
    }
    if (stop_.load()) return;
    ++seen;
    RunChunks(*job_.load(), thread_idx);
    running_.fetch_sub(1);
  }
}

}  // namespace shoal
