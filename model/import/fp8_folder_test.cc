// A folder in FP8 whose matrices are cut and turned, against the same numbers stored in BF16 and
// F32.
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/import/open_model.h"
#include "tests/support/safetensors.h"
#include "tests/support/safetensors_builder.h"

namespace shoal {
namespace {

constexpr char kSource[] = "tests/data/models/deepseek_v3/hf/";

float ValueOf(int code) {
  const int exponent = code >> 3 & 15;
  const auto mantissa = static_cast<float>(code & 7);
  const float value =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code >= 128 ? -value : value;
}

std::string Bytes(const void* values, size_t n_bytes) {
  return {static_cast<const char*>(values), n_bytes};
}

// The model with other numbers in kv_b_proj, of 224 rows in two blocks of scales: in FP8, or as
// what FP8 stands for, in BF16 or F32.
SafetensorsBuilder Model(const char* dtype, const std::vector<float>& scales) {
  SafetensorsBuilder out;
  for (const auto& [name, tensor] : ReadTestTensors(absl::StrCat(kSource, "model.safetensors"))) {
    SafetensorsBuilder::Tensor copy;
    copy.name = name;
    copy.dtype = tensor.dtype;
    copy.shape.assign(tensor.shape.begin(), tensor.shape.end());
    copy.data = Bytes(tensor.bytes.data(), tensor.bytes.size());
    if (absl::StrContains(name, "kv_b_proj")) {
      const auto cols = static_cast<size_t>(tensor.shape[1]);
      copy.dtype = dtype;
      copy.data.clear();
      for (size_t i = 0; i < static_cast<size_t>(tensor.n_elems()); ++i) {
        const int code = static_cast<int>((i * 89 + name.size()) % 127 + (i % 3 == 0 ? 128 : 0));
        const float value = ValueOf(code) * scales[i / cols / 128];
        uint32_t bits = 0;
        std::memcpy(&bits, &value, sizeof(bits));
        const auto high = static_cast<uint16_t>(bits >> 16);
        if (copy.dtype == "F8_E4M3") copy.data += static_cast<char>(code);
        if (copy.dtype == "BF16") copy.data += Bytes(&high, sizeof(high));
        if (copy.dtype == "F32") copy.data += Bytes(&value, sizeof(value));
      }
    }
    out.tensors.push_back(std::move(copy));
    if (out.tensors.back().dtype != "F8_E4M3") continue;
    out.AddF32(name + "_scale_inv", {scales.size(), 1});
    out.tensors.back().data = Bytes(scales.data(), scales.size() * sizeof(float));
  }
  return out;
}

class Fp8FolderTest : public testing::Test {
 protected:
  Fp8FolderTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~Fp8FolderTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<OpenedModel> Open(const std::string& name, const SafetensorsBuilder& weights) {
    const std::string folder = absl::StrCat(folder_, "/", name);
    std::filesystem::create_directories(folder);
    std::ifstream file(absl::StrCat(kSource, "config.json"));
    std::string config(std::istreambuf_iterator<char>(file), {});
    config.insert(config.find('{') + 1, R"("quantization_config":
        {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}, )");
    std::ofstream(folder + "/config.json") << config;
    std::ofstream(folder + "/model.safetensors", std::ios::binary) << weights.Build();
    return OpenModel(folder);
  }

  std::string folder_ = testing::TempDir() + "/fp8_XXXXXX";
};

TEST_F(Fp8FolderTest, MatricesThatAreCutTakeTheScalesOfTheirRows) {
  struct Case {
    const char* dtype;
    std::vector<float> scales;
  };
  for (const Case& c : {Case{"BF16", {0.5F, 0.1875F}}, Case{"F32", {0.3F, 0.7F}}}) {
    const auto packed = Open(absl::StrCat(c.dtype, "_fp8"), Model("F8_E4M3", c.scales));
    const auto plain = Open(c.dtype, Model(c.dtype, c.scales));
    ASSERT_TRUE(packed.ok() && plain.ok()) << packed.status() << plain.status();
    int n_cut = 0;
    for (const TensorInfo& expected : plain->file->tensors()) {
      const TensorInfo* tensor = packed->file->Find(expected.name);
      ASSERT_NE(tensor, nullptr) << expected.name;
      ASSERT_EQ(tensor->dtype, expected.dtype) << expected.name;
      std::vector<std::byte> a(expected.n_bytes);
      std::vector<std::byte> b(expected.n_bytes);
      ASSERT_TRUE(plain->file->Read(expected, 0, a).ok());
      ASSERT_TRUE(packed->file->Read(*tensor, 0, b).ok());
      EXPECT_TRUE(a == b) << expected.name;
      n_cut += absl::StrContains(expected.name, "_b.weight") ? 1 : 0;
    }
    EXPECT_EQ(n_cut, 9);  // q_b, k_b and v_b of three layers.
  }
}

}  // namespace
}  // namespace shoal
