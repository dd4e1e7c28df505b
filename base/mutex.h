#pragma once

#include <condition_variable>
#include <mutex>

// Clang's thread-safety annotations; other compilers ignore them.
#if defined(__clang__)
#define SHOAL_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define SHOAL_THREAD_ANNOTATION(x)
#endif
#define SHOAL_GUARDED_BY(x) SHOAL_THREAD_ANNOTATION(guarded_by(x))
#define SHOAL_REQUIRES(...) SHOAL_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define SHOAL_EXCLUDES(...) SHOAL_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define SHOAL_ACQUIRED_BEFORE(...) SHOAL_THREAD_ANNOTATION(acquired_before(__VA_ARGS__))
#define SHOAL_NO_THREAD_SAFETY_ANALYSIS SHOAL_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace shoal {

// std::mutex that clang can reason about. Under the race detector the packaged absl::Mutex reports
// races that are not there, which is why this is not that.
class SHOAL_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void Lock() SHOAL_THREAD_ANNOTATION(acquire_capability()) { mu_.lock(); }
  void Unlock() SHOAL_THREAD_ANNOTATION(release_capability()) { mu_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

class SHOAL_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex* mu) SHOAL_THREAD_ANNOTATION(acquire_capability(mu)) : mu_(mu) {
    mu_->Lock();
  }
  ~MutexLock() SHOAL_THREAD_ANNOTATION(release_capability()) { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

class CondVar {
 public:
  // Releases `mu`, waits for a signal (or spuriously), takes `mu` again. Call in a loop.
  void Wait(Mutex* mu) SHOAL_REQUIRES(mu) SHOAL_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // As Wait, but at most until `deadline`; false when that passed first.
  template <typename TimePoint>
  bool WaitUntil(Mutex* mu, TimePoint deadline) SHOAL_REQUIRES(mu) SHOAL_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const bool signalled = cv_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return signalled;
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace shoal
