// Models of every block format, made here: no file of each is at hand, and none is needed.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/kernels_testing.h"
#include "model/import/gguf_format.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

class BlockFormatsTest : public testing::TestWithParam<DType> {
 protected:
  void TearDown() override {
    for (const std::string& path : paths_) std::filesystem::remove(path);
  }

  std::string Write(const GgufBuilder& file, const char* name) {
    paths_.push_back(testing::TempDir() + "/" + name + std::to_string(getpid()) + ".gguf");
    std::ofstream(paths_.back(), std::ios::binary) << file.Build();
    return paths_.back();
  }

 private:
  std::vector<std::string> paths_;
};

uint32_t GgmlNumber(DType dtype) {
  uint32_t number = 0;
  while (DTypeOfGgml(number) != dtype) ++number;
  return number;
}

// The tiny model with rows of 256.
GgufBuilder WideQwen3Moe() {
  GgufBuilder file = TinyQwen3Moe();
  const auto set = [&file](const char* key, uint32_t value) {
    file.Key(std::string("qwen3moe.") + key).value = Le32(value);
  };
  set("embedding_length", 256);
  set("attention.key_length", 128);
  set("attention.value_length", 128);
  set("expert_feed_forward_length", 256);
  std::vector<GgufTensor> narrow;
  narrow.swap(file.tensors);
  for (GgufTensor& tensor : narrow) {
    const bool head = tensor.name.find("_norm") != std::string::npos && tensor.dims[0] == 4;
    tensor.dims[0] = head ? 128 : 256;
    if (tensor.dims.size() > 1 && tensor.name.find("gate_inp") == std::string::npos) {
      if (tensor.dims[1] == 8) tensor.dims[1] = 256;
      if (tensor.dims[1] == 4) tensor.dims[1] = 128;
    }
    file.AddF32Tensor(tensor.name, tensor.dims);
  }
  return file;
}

std::string Bytes(const void* data, size_t n) { return {static_cast<const char*>(data), n}; }

struct Twins {
  GgufBuilder blocks = WideQwen3Moe();  // Matrices are random blocks of a type.
  GgufBuilder values = WideQwen3Moe();  // The same values as F32.
};

Twins MakeTwins(DType dtype) {
  Twins twins;
  const KernelTable& kernels = *AvailableKernels().front();
  for (size_t t = 0; t < twins.blocks.tensors.size(); ++t) {
    GgufTensor& tensor = twins.blocks.tensors[t];
    if (tensor.dims.size() < 2 || tensor.name.find("gate_inp") != std::string::npos) continue;
    const auto cols = static_cast<int64_t>(tensor.dims[0]);
    int64_t rows = 1;
    for (size_t d = 1; d < tensor.dims.size(); ++d) rows *= static_cast<int64_t>(tensor.dims[d]);
    const auto file = RandomWeights(dtype, rows, cols, static_cast<uint32_t>(t));
    const PackedMatrix matrix = Pack(kernels, dtype, rows, cols, file);
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
      kernels.unpack_row(matrix.view(), r, values.data() + r * cols);
    }
    tensor.type = GgmlNumber(dtype);
    tensor.data = Bytes(file.data(), file.size());
    twins.values.tensors[t].data = Bytes(values.data(), values.size() * sizeof(float));
  }
  return twins;
}

const std::vector<int32_t> kPrompt = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};

// Both multiply f32 rows, in the same order.
TEST_P(BlockFormatsTest, GivesTheLogitsOfItsValues) {
  const Twins twins = MakeTwins(GetParam());
  const LocalModel::Options options{.kv_type = KvType::kF32, .activations_f32 = true};
  LocalModel of_blocks(Write(twins.blocks, "blocks"), options);
  LocalModel of_values(Write(twins.values, "values"), options);
  EXPECT_EQ(of_blocks.Logits(kPrompt, 512), of_values.Logits(kPrompt, 512));
}

TEST_P(BlockFormatsTest, EveryInstructionSetGivesTheSameLogits) {
  const std::string path = Write(MakeTwins(GetParam()).blocks, "blocks");
  LocalModel truth(path, {.kernels = AvailableKernels().front()});
  const std::vector<float> expected = truth.Logits(kPrompt, 512);
  for (const KernelTable* kernels : AvailableKernels()) {
    LocalModel model(path, {.kernels = kernels});
    EXPECT_EQ(model.Logits(kPrompt, 512), expected) << IsaName(kernels->isa);
  }
}

std::vector<DType> QuantizedTypes() {
  std::vector<DType> types = AllTypes(DType::kF32);
  std::erase_if(types, [](DType dtype) { return !Traits(dtype).quantized; });
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, BlockFormatsTest, testing::ValuesIn(QuantizedTypes()),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

}  // namespace
}  // namespace shoal
