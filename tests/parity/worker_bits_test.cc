// The same bits from separate worker processes over gRPC as from one process: whatever their
// number, the threads, the chunks of the prompt, the batch and the instruction set.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/kernel_table.h"
#include "nlohmann/json.hpp"
#include "tests/parity/family_models.h"

namespace shoal {
namespace {

struct ClusterShape {
  int workers = 0;
  int threads = 1;
  int chunk = 512;
  int batch = 1;
  std::string isa = "scalar";

  std::string Describe() const {
    return absl::StrCat(workers, " workers, ", threads, " threads, chunk ", chunk, ", batch ",
                        batch, ", ", isa);
  }
};

struct Outcome {
  std::string logits;     // The output file's bytes.
  nlohmann::json report;  // What the command printed.
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class WorkerBitsTest : public testing::TestWithParam<std::string> {
 protected:
  WorkerBitsTest() {
    std::vector<int> ids(70);  // Crosses a key tile.
    for (int i = 0; i < 70; ++i) ids[i] = (i * 29 + 7) % 300;
    ids_ = absl::StrJoin(ids, ",");
  }

  Outcome Compute(const ClusterShape& run) const {
    const std::string out = absl::StrCat(testing::TempDir(), "worker_bits_",
                                         testing::UnitTest::GetInstance()->random_seed(), "_",
                                         getpid(), ".safetensors");
    const std::string command =
        absl::StrCat("SHOAL_ISA=", run.isa, " " SHOAL_BINARY " logits ", GetParam(), " --ids ",
                     ids_, " --workers ", run.workers, " --threads ", run.threads, " --chunk ",
                     run.chunk, " --batch ", run.batch, " --json --out ", out);
    FILE* pipe = popen(command.c_str(), "r");
    std::string printed;
    char buffer[4096];
    while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) printed.append(buffer, n);
    EXPECT_EQ(pclose(pipe), 0) << command;
    Outcome outcome{ReadFile(out), nlohmann::json::parse(printed, nullptr, false)};
    std::filesystem::remove(out);
    return outcome;
  }

  std::string ids_;
};

TEST_P(WorkerBitsTest, I1_SameFromAnyNumberOfWorkers) {
  const std::string expected = Compute({}).logits;
  ASSERT_FALSE(expected.empty());
  const std::string best(IsaName(AvailableKernels().back()->isa));
  std::vector<ClusterShape> runs;
  for (const int workers : {0, 1, 3, 5}) {
    for (const int threads : {1, 2}) runs.push_back({workers, threads, 7, 1, best});
  }
  for (const int chunk : {1, 512}) runs.push_back({3, 2, chunk, 1, best});
  for (const int workers : {0, 3}) runs.push_back({workers, 2, 7, 8, best});
  for (const KernelTable* kernels : AvailableKernels()) {
    runs.push_back({3, 1, 512, 1, std::string(IsaName(kernels->isa))});
  }
  for (const ClusterShape& run : runs) {
    SCOPED_TRACE(run.Describe());
    const Outcome outcome = Compute(run);
    EXPECT_TRUE(outcome.logits == expected) << "logits differ";
    ASSERT_TRUE(outcome.report.is_object());
    ASSERT_EQ(outcome.report["workers"].size(), run.workers);
    for (const auto& worker : outcome.report["workers"]) {
      // The quantized fixtures have three experts: of five workers, two hold none.
      EXPECT_EQ(worker["rows_computed"] > 0, worker["resident_experts"] > 0);
    }
    EXPECT_EQ(outcome.report["router_expert_bytes"] == 0, run.workers > 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, WorkerBitsTest,
    testing::Values("tests/data/models/qwen3_moe/model.gguf", "tests/data/models/qwen3/model.gguf",
                    "tests/data/models/qwen2_moe/model.gguf", "tests/data/quants/model-Q8_0.gguf",
                    "tests/data/quants/model-Q4_0.gguf", "tests/data/quants/model-Q4_K_M.gguf",
                    "tests/data/quants/model-IQ4_XS.gguf", "tests/data/quants/model-TQ2_0.gguf",
                    "models/tales-moe-11m-q8_0.gguf"));

// The same for every family, in fewer runs: none and three workers, alone and eight at once.
class FamilyWorkerBitsTest : public WorkerBitsTest {};

TEST_P(FamilyWorkerBitsTest, I1_SameFromNoWorkersAndThree) {
  const std::string best(IsaName(AvailableKernels().back()->isa));
  const std::string expected = Compute({0, 2, 512, 1, best}).logits;
  ASSERT_FALSE(expected.empty());
  for (const ClusterShape& run : {ClusterShape{0, 1, 7, 8, "scalar"},
                                  ClusterShape{3, 1, 7, 8, best}, ClusterShape{3, 1, 1, 1, best}}) {
    SCOPED_TRACE(run.Describe());
    EXPECT_TRUE(Compute(run).logits == expected) << "logits differ";
  }
}

std::vector<std::string> FamilyFiles() {
  std::vector<std::string> files;
  for (const char* name : kFamilyModels) {
    files.push_back(absl::StrCat("tests/data/models/", name, "/model.gguf"));
  }
  return files;
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyWorkerBitsTest, testing::ValuesIn(FamilyFiles()));

// What GGUF files cannot say, or no converter writes.
INSTANTIATE_TEST_SUITE_P(Others, FamilyWorkerBitsTest,
                         testing::Values("tests/data/models/qwen3_moe_mixed/hf",
                                         "tests/data/models/llama4/hf",
                                         "tests/data/models/deepseek_v2/model-kv_b.gguf"));

}  // namespace
}  // namespace shoal
