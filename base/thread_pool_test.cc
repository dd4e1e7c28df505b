#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(ThreadPoolTest, CoversEveryItemOnceForOddSizes) {
  for (const int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    for (const int64_t n : {0, 1, 7, 64, 1001}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> hits(n, 0);
        pool.ParallelFor(n, grain, [&](int64_t begin, int64_t end, int thread_idx) {
          ASSERT_EQ(begin % grain, 0);
          ASSERT_LE(end - begin, grain);
          ASSERT_LT(thread_idx, n_threads);
          for (int64_t i = begin; i < end; ++i) ++hits[i];
        });
        EXPECT_EQ(hits, std::vector<int>(n, 1));
      }
    }
  }
}

// Goal: jobs follow one another without losing a wake-up, whether threads spin or sleep.
TEST(ThreadPoolTest, ManyJobsInARow) {
  ThreadPool pool(3);
  std::vector<int64_t> sums(3);
  for (int round = 0; round < 2000; ++round) {
    std::fill(sums.begin(), sums.end(), 0);
    pool.ParallelFor(100, 7, [&](int64_t begin, int64_t end, int thread_idx) {
      for (int64_t i = begin; i < end; ++i) sums[thread_idx] += i;
    });
    ASSERT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 4950);
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Goal: a thread that is held up holds nobody up. Method: whoever takes the first item ends only
// when all others have run, most of its own stretch among them.
TEST(ThreadPoolTest, OthersTakeWhatASlowThreadHasLeft) {
  for (const int n_threads : {2, 3}) {
    ThreadPool pool(n_threads);
    std::atomic<int> done{0};
    pool.ParallelFor(100, 1, [&](int64_t begin, int64_t, int) {
      while (begin == 0 && done.load() < 99) std::this_thread::yield();
      done.fetch_add(1);
    });
    EXPECT_EQ(done.load(), 100);
  }
}

}  // namespace
}  // namespace shoal
