#include "router/dispatch/replica_picker.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

struct Problem {
  std::vector<double> speeds;
  std::vector<std::vector<int>> candidates;  // Of expert i.
};

Problem RandomProblem(std::mt19937_64& rng, int n_workers, int n_experts, int n_replicas) {
  Problem problem;
  problem.speeds.assign(n_workers, 0);
  for (int e = 0; e < n_experts; ++e) {
    std::vector<int> workers(n_workers);
    for (int w = 0; w < n_workers; ++w) workers[w] = w;
    std::shuffle(workers.begin(), workers.end(), rng);
    workers.resize(std::min(n_replicas, n_workers));
    std::sort(workers.begin(), workers.end());
    problem.candidates.push_back(workers);
  }
  return problem;
}

std::vector<int32_t> Solve(const Problem& problem, ReplicaPicker& picker) {
  std::vector<int32_t> worker_of(problem.candidates.size(), -1);
  picker.Begin(problem.speeds);
  for (size_t e = 0; e < worker_of.size(); ++e) {
    picker.AddExpert(static_cast<int32_t>(e), problem.candidates[e]);
  }
  picker.Pick(worker_of);
  return worker_of;
}

int BusiestLoad(const std::vector<int32_t>& worker_of, size_t n_workers) {
  std::vector<int> load(n_workers, 0);
  for (const int32_t worker : worker_of) ++load[worker];
  return *std::max_element(load.begin(), load.end());
}

// The least that the busiest worker can have, by trying everything.
int BestLoad(const Problem& problem, size_t expert, std::vector<int>& load) {
  if (expert == problem.candidates.size()) return *std::max_element(load.begin(), load.end());
  int best = static_cast<int>(problem.candidates.size());
  for (const int worker : problem.candidates[expert]) {
    ++load[worker];
    best = std::min(best, BestLoad(problem, expert + 1, load));
    --load[worker];
  }
  return best;
}

// Goal: the busiest worker has as few experts as can be.
// Method: random replicas, compared with every choice there is. A greedy choice may be one off, now
// and then.
TEST(ReplicaPickerTest, BusiestWorkerHasAboutTheFewestExperts) {
  std::mt19937_64 rng(5);
  ReplicaPicker picker;
  int n_off = 0;
  for (int i = 0; i < 500; ++i) {
    const Problem problem = RandomProblem(rng, 2 + i % 4, 1 + i % 9, 1 + i % 3);
    const auto worker_of = Solve(problem, picker);
    for (size_t e = 0; e < worker_of.size(); ++e) {
      ASSERT_TRUE(std::count(problem.candidates[e].begin(), problem.candidates[e].end(),
                             worker_of[e]) == 1);
    }
    std::vector<int> load(problem.speeds.size(), 0);
    const int best = BestLoad(problem, 0, load);
    const int got = BusiestLoad(worker_of, problem.speeds.size());
    ASSERT_LE(got, best + 1);
    n_off += got - best;
    EXPECT_EQ(Solve(problem, picker), worker_of);  // The same again.
  }
  EXPECT_LT(n_off, 10);
}

TEST(ReplicaPickerTest, FasterWorkersGetMore) {
  Problem problem;
  problem.speeds = {1, 3};
  problem.candidates.assign(40, {0, 1});
  ReplicaPicker picker;
  const auto worker_of = Solve(problem, picker);
  EXPECT_EQ(std::count(worker_of.begin(), worker_of.end(), 1), 30);
}

TEST(ReplicaPickerTest, AnUnknownSpeedCountsAsTheAverage) {
  Problem problem;
  problem.speeds = {2, 4, 0};
  problem.candidates.assign(27, {0, 1, 2});
  ReplicaPicker picker;
  const auto worker_of = Solve(problem, picker);
  EXPECT_EQ(std::count(worker_of.begin(), worker_of.end(), 2), 9);
}

}  // namespace
}  // namespace shoal
