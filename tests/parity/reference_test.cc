// Our numbers against the reference's, on models small enough to keep here. What the expectations
// are and how they were made stands in tests/data/README.md.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/parity/family_models.h"
#include "tests/support/local_model.h"
#include "tests/support/safetensors.h"

namespace shoal {
namespace {

constexpr char kData[] = "tests/data/";

// Keeps what a step shows: hidden rows per layer, routed experts per layer that has them.
class Recorder : public StepObserver {
 public:
  explicit Recorder(const ModelConfig& config) : config_(config) {}

  void OnHidden(int layer, MatView<const float> hidden) override {
    if (static_cast<int>(hidden_.size()) <= layer) hidden_.resize(layer + 1);
    for (int64_t t = 0; t < hidden.rows; ++t) {
      hidden_[layer].insert(hidden_[layer].end(), hidden.row(t), hidden.row(t) + hidden.cols);
    }
  }
  void OnRouting(int layer, const Routing& routing) override {
    if (static_cast<int>(ids_.size()) <= layer) {
      ids_.resize(layer + 1);
      weights_.resize(layer + 1);
    }
    if (config_.IsDense(layer)) return;
    for (size_t i = 0; i < routing.topk_ids.size(); ++i) {
      if (routing.topk_ids[i] >= config_.n_experts) continue;  // Shared.
      ids_[layer].push_back(routing.topk_ids[i]);
      weights_[layer].push_back(routing.topk_weights[i]);
    }
  }

  template <typename T>
  static std::vector<T> Flat(const std::vector<std::vector<T>>& layers) {
    std::vector<T> out;
    for (const auto& layer : layers) out.insert(out.end(), layer.begin(), layer.end());
    return out;
  }

  const ModelConfig& config_;
  std::vector<std::vector<float>> hidden_;
  std::vector<std::vector<int32_t>> ids_;
  std::vector<std::vector<float>> weights_;
};

void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected,
                float tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  float worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    worst = std::max(worst, std::fabs(actual[i] - expected[i]));
    ASSERT_FALSE(std::isnan(actual[i])) << what << " [" << i << "]";
  }
  EXPECT_LE(worst, tolerance) << what;
}

// Checks every prompt of an expectations file: logits, hidden rows, experts, greedy continuation.
void ExpectParity(LocalModel& model, const TestTensors& expected) {
  for (int i = 0; i < 3; ++i) {
    const std::string prompt_name = absl::StrCat("prompt_", i);
    SCOPED_TRACE(prompt_name);
    const auto prompt = expected.at(prompt_name).As<int32_t>();
    Recorder recorder(model.config());
    model.engine().set_observer(&recorder);
    const std::vector<float> logits = model.Logits(prompt, /*chunk=*/512);
    model.engine().set_observer(nullptr);
    const auto get = [&](const char* name) { return expected.at(absl::StrCat(name, "_", i)); };
    ExpectNear(logits, get("logits").As<float>(), 1e-3F, "logits");
    ExpectNear(Recorder::Flat(recorder.hidden_), get("hidden").As<float>(), 1e-3F, "hidden");
    if (model.config().n_experts > 0) {
      EXPECT_EQ(Recorder::Flat(recorder.ids_), get("topk_ids").As<int32_t>());
      ExpectNear(Recorder::Flat(recorder.weights_), get("topk_weights").As<float>(), 1e-4F,
                 "topk_weights");
    }
    EXPECT_EQ(model.Greedy(prompt, 16), get("greedy").As<int32_t>());
  }
}

class FamilyReferenceTest : public testing::TestWithParam<const char*> {};

TEST_P(FamilyReferenceTest, AgreesInEveryNumber) {
  const std::string folder = absl::StrCat(kData, "models/", GetParam(), "/");
  LocalModel model(folder + "model.gguf", {.kv_type = KvType::kF32, .activations_f32 = true});
  ExpectParity(model, ReadTestTensors(folder + "expected.safetensors"));
}

class FolderReferenceTest : public testing::TestWithParam<FolderModel> {};

TEST_P(FolderReferenceTest, AgreesInEveryNumber) {
  const std::string folder = absl::StrCat(kData, "models/", GetParam().name, "/");
  LocalModel model(folder + "hf", {.kv_type = KvType::kF32, .activations_f32 = true});
  ExpectParity(model, ReadTestTensors(folder + GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(Models, FolderReferenceTest, testing::ValuesIn(kFolderModels),
                         [](const auto& info) { return std::string(info.param.name); });

// GGUF files do not say what the checkpoints of the same weights do.
TEST(ReferenceTest, MistralInItsWindow) {
  const auto set_window = [](ModelConfig& config) {
    for (int layer = 0; layer < config.n_layers; ++layer) config.MutableLayer(layer).window = 16;
  };
  LocalModel model(absl::StrCat(kData, "models/mistral/model.gguf"),
                   {.kv_type = KvType::kF32, .activations_f32 = true, .change_config = set_window});
  ExpectParity(model,
               ReadTestTensors(absl::StrCat(kData, "models/mistral/expected-window.safetensors")));
}

TEST(ReferenceTest, Llama4InSmallChunks) {
  const auto set_chunks = [](ModelConfig& config) {
    for (LayerConfig& layer : config.layers) {
      if (layer.rope != LayerRope::kNone) layer.chunk = 32;
    }
    config.temperature_floor = 16;
  };
  LocalModel model(absl::StrCat(kData, "models/llama4/model.gguf"),
                   {.kv_type = KvType::kF32, .activations_f32 = true, .change_config = set_chunks});
  ExpectParity(model,
               ReadTestTensors(absl::StrCat(kData, "models/llama4/expected-chunks.safetensors")));
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyReferenceTest, testing::ValuesIn(kFamilyModels));

// Mean over all positions of KL(reference || ours), in nats.
double MeanKl(LocalModel& model, const TestTensors& expected) {
  double sum = 0;
  int64_t n_rows = 0;
  const int vocab_size = model.config().vocab_size;
  const auto log_softmax = [&](const float* row) {
    std::vector<double> out(row, row + vocab_size);
    const double max = *std::max_element(out.begin(), out.end());
    double total = 0;
    for (const double x : out) total += std::exp(x - max);
    for (double& x : out) x -= max + std::log(total);
    return out;
  };
  for (int i = 0; i < 3; ++i) {
    const auto prompt = expected.at(absl::StrCat("prompt_", i)).As<int32_t>();
    const auto reference = expected.at(absl::StrCat("logits_", i)).As<float>();
    const std::vector<float> logits = model.Logits(prompt, /*chunk=*/512);
    for (size_t t = 0; t < prompt.size(); ++t, ++n_rows) {
      const auto p = log_softmax(reference.data() + t * vocab_size);
      const auto q = log_softmax(logits.data() + t * vocab_size);
      for (int v = 0; v < vocab_size; ++v) sum += std::exp(p[v]) * (p[v] - q[v]);
    }
  }
  return sum / static_cast<double>(n_rows);
}

struct QuantCase {
  const char* type;
  double llama_cpp_mean_kl;  // Its own rounding of activations on the same file.
};

class QuantizedReferenceTest : public testing::TestWithParam<QuantCase> {
 protected:
  std::string Path(const char* format) const {
    return absl::StrFormat("%squants/", kData) +
           absl::StrReplaceAll(format, {{"TYPE", GetParam().type}});
  }
};

TEST_P(QuantizedReferenceTest, WithoutRoundingActivations) {
  LocalModel model(Path("model-TYPE.gguf"), {.kv_type = KvType::kF32, .activations_f32 = true});
  ExpectParity(model, ReadTestTensors(Path("expected-TYPE.safetensors")));
}

TEST_P(QuantizedReferenceTest, RoundedActivationsCostNoMoreThanThePeers) {
  LocalModel model(Path("model-TYPE.gguf"), {});
  const double kl = MeanKl(model, ReadTestTensors(Path("expected-TYPE.safetensors")));
  RecordProperty("mean_kl", absl::StrCat(kl));
  std::printf("%s: mean KL %.2e, peer %.2e\n", GetParam().type, kl, GetParam().llama_cpp_mean_kl);
  EXPECT_LE(kl, 1.2 * GetParam().llama_cpp_mean_kl);
}

// A cache in blocks of 8 bits rounds no more than activations in blocks of 8 bits do.
TEST_P(QuantizedReferenceTest, ACacheOfBlocksCostsNoMoreThanActivations) {
  const TestTensors expected = ReadTestTensors(Path("expected-TYPE.safetensors"));
  LocalModel model(Path("model-TYPE.gguf"), {.kv_type = KvType::kQ8_0, .activations_f32 = true});
  const double kl = MeanKl(model, expected);
  std::printf("%s: q8_0 cache, mean KL %.2e\n", GetParam().type, kl);
  EXPECT_LE(kl, GetParam().llama_cpp_mean_kl);
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizedReferenceTest,
                         testing::Values(QuantCase{"Q8_0", 3.7e-4}, QuantCase{"Q4_0", 4.4e-4},
                                         QuantCase{"Q4_K_M", 7.2e-4}, QuantCase{"IQ4_XS", 8.3e-4},
                                         QuantCase{"TQ2_0", 1.1e-3}),
                         [](const auto& info) { return std::string(info.param.type); });

}  // namespace
}  // namespace shoal
