// Worker processes as `shoal up` starts them: ready or named, watched, and never left behind.
#include "cli/local_workers.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "cli/child_process.h"
#include "cli/model_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

LocalWorkers::Options ClusterOptions(int n_workers) {
  LocalWorkers::Options options;
  options.model_path = kModel;
  options.n_workers = n_workers;
  return options;
}

// Whether a process is there and has not ended.
bool Runs(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return false;
  const size_t state = line.rfind(')') + 2;  // "pid (name) S ...": Z has ended.
  return state < line.size() && line[state] != 'Z';
}

// Asks until `done` or half a minute has passed.
template <typename Done>
bool Eventually(const Done& done) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!done()) {
    if (absl::Now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

std::vector<pid_t> Pids(const LocalWorkers& cluster) {
  std::vector<pid_t> pids;
  for (size_t i = 0; i < cluster.addresses().size(); ++i) {
    pids.push_back(cluster.pid(static_cast<int>(i)));
  }
  return pids;
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadOver(const LocalWorkers& cluster) {
  ModelOptions options;
  options.model_path = kModel;
  options.threads = 1;
  options.ctx_size = 64;
  options.workers = cluster.addresses();
  return LoadedModel::Load(options);
}

absl::Status StepOnce(LoadedModel& model) {
  auto kv = model.kv_cache().Reserve(8);
  if (!kv.ok()) return kv.status();
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8};
  Mat<float> logits(1, model.config().vocab_size);
  StepSequence sequence;
  sequence.kv = kv->get();
  sequence.token_ids = ids;
  model.engine().Step({&sequence, 1}, {}, logits.view());
  return sequence.status;
}

TEST(LocalWorkersTest, ServesUntilStoppedAndLeavesNoneBehind) {
  auto cluster = LocalWorkers::Start(ClusterOptions(3));
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const std::vector<pid_t> pids = Pids(**cluster);
  ASSERT_EQ(pids.size(), 3U);
  EXPECT_FALSE((*cluster)->Ended().has_value());
  {
    const auto model = LoadOver(**cluster);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_TRUE(StepOnce(**model).ok());
    EXPECT_EQ((*model)->local_experts(), nullptr);
  }
  (*cluster)->Stop();
  for (const pid_t pid : pids) EXPECT_FALSE(Runs(pid));
}

TEST(LocalWorkersTest, WorkerThatDiesIsNamedHereAndInTheRowsItOwed) {
  auto cluster = LocalWorkers::Start(ClusterOptions(2));
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const auto model = LoadOver(**cluster);
  ASSERT_TRUE(model.ok()) << model.status();
  kill((*cluster)->pid(1), SIGKILL);
  ASSERT_TRUE(Eventually([&] { return (*cluster)->Ended().has_value(); }));
  EXPECT_EQ(*(*cluster)->Ended(), "worker 1: signal 9");
  const absl::Status status = StepOnce(**model);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("expert_unavailable"), HasSubstr("worker 1 (")));
}

TEST(LocalWorkersTest, F01_AWorkerThatDiesIsStartedAgainAtItsAddress) {
  LocalWorkers::Options options = ClusterOptions(3);
  options.replicas = 2;
  auto cluster = LocalWorkers::Start(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const auto model = LoadOver(**cluster);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(StepOnce(**model).ok());
  for (int worker = 0; worker < 3; ++worker) {
    kill((*cluster)->pid(worker), SIGKILL);
    ASSERT_TRUE(Eventually([&] { return (*cluster)->Ended().has_value(); }));
    EXPECT_TRUE(StepOnce(**model).ok());  // The others hold all experts.
    ASSERT_TRUE(Eventually([&] {
      (*cluster)->Mend();
      const auto status =
          (*model)->remote_experts()->GetWorkerStatus(MonotonicNow() + absl::Milliseconds(200));
      return status.ok();
    }));
    EXPECT_TRUE(StepOnce(**model).ok());
  }
}

// Nothing is sent for longer than keepalive's time and timeout together, 3 s.
TEST(LocalWorkersTest, IdleLinksOutliveKeepalive) {
  auto cluster = LocalWorkers::Start(ClusterOptions(1));
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  const auto model = LoadOver(**cluster);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(StepOnce(**model).ok());
  absl::SleepFor(absl::Seconds(5));  // The passing of time is what is tested.
  const absl::Status status = StepOnce(**model);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(LocalWorkersTest, WorkerThatDoesNotComeUpIsNamed) {
  LocalWorkers::Options options = ClusterOptions(2);
  options.model_path = "no/such/file.gguf";
  const auto cluster = LocalWorkers::Start(options);
  EXPECT_EQ(cluster.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(cluster.status().message()), HasSubstr("worker 0"));
  EXPECT_THAT(std::string(cluster.status().message()), HasSubstr("exit status 1"));
}

// Goal: workers end when the process that started them is killed and can say nothing more.
// Method: a child of this test starts them, prints their ids, and gets SIGKILL.
TEST(LocalWorkersTest, WorkersEndWithTheirParent) {
  auto parent = ChildProcess::Start("parent", {"hold-cluster"});
  ASSERT_TRUE(parent.ok()) << parent.status();
  std::vector<pid_t> pids;
  for (int i = 0; i < 2; ++i) {
    const auto line = (*parent)->ReadLine(absl::Now() + absl::Seconds(60));
    ASSERT_TRUE(line.ok()) << line.status();
    pids.push_back(std::stoi(*line));
    EXPECT_TRUE(Runs(pids.back()));
  }
  (*parent)->Signal(SIGKILL);
  for (const pid_t pid : pids) {
    EXPECT_TRUE(Eventually([pid] { return !Runs(pid); })) << pid;
  }
}

// What a child of this test does: start workers, say which, and hold them.
int HoldCluster() {
  const auto cluster = LocalWorkers::Start(ClusterOptions(2));
  if (!cluster.ok()) return 1;
  for (const pid_t pid : Pids(**cluster)) std::printf("%d\n", static_cast<int>(pid));
  std::fflush(stdout);
  pause();
  return 0;
}

}  // namespace
}  // namespace shoal

// A cluster's workers are this program again; as a worker it becomes the real binary.
int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "worker") {
    execv(SHOAL_BINARY, argv);
    return 127;
  }
  if (argc > 1 && std::string(argv[1]) == "hold-cluster") return shoal::HoldCluster();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
