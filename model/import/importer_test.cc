#include "model/import/importer.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "model/import/import_plan.h"
#include "model/import/shard_maker.h"
#include "model/shard.h"
#include "model/shard_testing.h"
#include "model/shard_weights.h"
#include "model/tokenizer_shard.h"
#include "tests/support/gguf_builder.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> ReadTensor(const WeightSource& source, const TensorInfo& tensor) {
  std::vector<std::byte> bytes(tensor.n_bytes);
  const absl::Status status = source.Read(tensor, 0, bytes);
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

class ImporterTest : public testing::Test {
 protected:
  ImporterTest() {
    std::string path = testing::TempDir() + "/importer_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    data_ = Open("data");
  }
  ~ImporterTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<DataDirectory> Open(std::string_view name) {
    auto data = DataDirectory::Open(MachineFileSystem(), JoinPath(folder_, name),
                                    DataDirectory::Access::kShared);
    EXPECT_TRUE(data.ok()) << data.status();
    return *std::move(data);
  }
  std::string Write(const GgufBuilder& builder, std::string_view name = "model.gguf") {
    const std::string path = JoinPath(folder_, name);
    std::ofstream(path, std::ios::binary) << builder.Build();
    return path;
  }
  absl::StatusOr<ImportResult> TryImport(const std::string& path, const std::string& name = "") {
    return ImportModel(
        data_.get(), {.path = path, .model_name = name, .n_threads = 2, .random = SystemRandom()});
  }
  ImportResult Import(const std::string& path, const std::string& name = "") {
    const auto result = TryImport(path, name);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ImportResult{};
  }
  SignedManifest Read(const Sha256Digest& id) {
    auto model = data_->ReadModel(id);
    EXPECT_TRUE(model.ok()) << model.status();
    return *std::move(model);
  }
  std::string PathOf(const ShardInfo& shard) const {
    return JoinPath(data_->shards().directory(), ShardPath(shard.hash));
  }
  // Every tensor of the file is in the shards, byte for byte, with its type and shape.
  void ExpectSameTensors(const std::string& path, const Manifest& manifest) {
    const auto file = GgufReader::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto weights = ShardWeights::Create(&manifest, &data_->shards(), 2);
    ASSERT_TRUE(weights.ok()) << weights.status();
    for (const TensorInfo& tensor : (*file)->tensors()) {
      const TensorInfo* stored = (*weights)->Find(tensor.name);
      ASSERT_NE(stored, nullptr) << tensor.name;
      EXPECT_EQ(stored->shape, tensor.shape) << tensor.name;
      EXPECT_EQ(stored->dtype, tensor.dtype) << tensor.name;
      EXPECT_EQ(ReadTensor(**weights, *stored), ReadTensor(**file, tensor)) << tensor.name;
    }
  }

  std::string folder_;
  std::unique_ptr<DataDirectory> data_;
};

TEST_F(ImporterTest, EveryByteOfEveryTensorComesBack) {
  const std::string path = Write(TinyQwen3Moe());
  const ImportResult result = Import(path);
  EXPECT_EQ(result.model_name, "tiny-moe");
  EXPECT_EQ(result.n_shards, 1 + 1 + 4 + 1 + 1);  // Embedding, trunk, experts, output, tokenizer.
  EXPECT_EQ(result.n_written, result.n_shards);
  const SignedManifest model = Read(result.model_id);
  EXPECT_EQ(model.manifest.n_bytes(), result.n_bytes);
  ExpectSameTensors(path, model.manifest);
}

TEST_F(ImporterTest, ATiedHeadIsAbsentAndTheOrderOfTheFileDoesNotMatter) {
  GgufBuilder tied = TinyQwen3Moe();
  tied.RemoveTensor("output.weight");
  const Sha256Digest id = Import(Write(tied)).model_id;
  ExpectSameTensors(Write(tied), Read(id).manifest);
  EXPECT_TRUE(Read(id).manifest.config.tied_embeddings);
  std::reverse(tied.tensors.begin(), tied.tensors.end());
  EXPECT_EQ(Import(Write(tied, "reversed.gguf")).model_id, id);
}

TEST_F(ImporterTest, TheTokenizerComesBackToo) {
  const std::string path = Write(TinyQwen3Moe());
  const SignedManifest model = Read(Import(path).model_id);
  const auto stored = LoadTokenizerShard(&data_->shards(), model.manifest);
  ASSERT_TRUE(stored.ok()) << stored.status();
  const auto file = GgufReader::Open(path);
  EXPECT_EQ(EncodeTokenizerShard(*stored),
            EncodeTokenizerShard({*ReadVocabulary(**file), *ReadChatTemplate(**file)}));
}

TEST_F(ImporterTest, AnImportedFileIsKnownWithoutReadingIt) {
  const std::string path = Write(TinyQwen3Moe());
  const ImportResult first = Import(path);
  const ImportResult second = Import(path);
  EXPECT_TRUE(second.already_there);
  EXPECT_EQ(second.model_id, first.model_id);
  EXPECT_EQ(second.n_shards, first.n_shards);
  // A touched file may be another one: it is read, and nothing is written.
  std::filesystem::last_write_time(
      path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  const ImportResult third = Import(path);
  EXPECT_FALSE(third.already_there);
  EXPECT_EQ(third.n_written, 0);
  EXPECT_EQ(third.model_id, first.model_id);
  // Neither is it known once a shard is gone.
  std::filesystem::remove(PathOf(Read(first.model_id).manifest.shards[3]));
  EXPECT_EQ(Import(path).n_written, 1);
}

// Goal: a model that an older release imported is not taken for one that this release can serve.
TEST_F(ImporterTest, ATokenizerOfAnotherFormatIsMadeAnew) {
  const std::string path = Write(TinyQwen3Moe());
  const Sha256Digest id = Import(path).model_id;
  Manifest manifest = Read(id).manifest;
  TestShard other = MakeTestShard(/*data_bytes=*/448, /*seed=*/1);
  other.info.kind = ShardKind::kTokenizer;
  for (ShardInfo& shard : manifest.shards) {
    if (shard.kind == ShardKind::kTokenizer) shard = other.info;
  }
  ASSERT_TRUE(PutShard(&data_->shards(), other.info, other.file).ok());
  const std::string bytes = EncodeManifest(manifest);
  const auto key = data_->ImportKey(SystemRandom());
  ASSERT_TRUE(data_->WriteModel(SignManifest(bytes, *key)).ok());
  std::filesystem::copy_file(data_->ModelPath(id, "source"),
                             data_->ModelPath(ModelId(bytes), "source"));
  ASSERT_TRUE(data_->RemoveModel(id).ok());
  const ImportResult again = Import(path);
  EXPECT_FALSE(again.already_there);
  EXPECT_EQ(again.model_id, id);
}

TEST_F(ImporterTest, TheNameIsPartOfTheModel) {
  const std::string path = Write(TinyQwen3Moe());
  const ImportResult by_file = Import(path);
  const ImportResult named = Import(path, "another");
  EXPECT_NE(named.model_id, by_file.model_id);
  EXPECT_EQ(named.n_written, 0);
  EXPECT_EQ(Read(named.model_id).manifest.name, "another");
  EXPECT_TRUE(Import(path, "another").already_there);
  EXPECT_TRUE(Import(path).already_there);
  data_ = Open("elsewhere");
  EXPECT_EQ(Import(path).model_id, by_file.model_id);
}

TEST_F(ImporterTest, WhatAnInterruptedImportLeftIsComparedBeforeItIsUsed) {
  const std::string path = Write(TinyQwen3Moe());
  const ImportResult first = Import(path);
  const SignedManifest model = Read(first.model_id);
  ASSERT_TRUE(data_->RemoveModel(first.model_id).ok());
  EXPECT_EQ(*data_->UnnamedShardBytes(), first.n_bytes);
  std::filesystem::remove(PathOf(model.manifest.shards[0]));
  const std::string damaged = PathOf(model.manifest.shards[2]);
  std::string zeros(std::filesystem::file_size(damaged), '\0');  // As a power cut leaves it.
  std::ofstream(damaged, std::ios::binary) << zeros;
  const ImportResult again = Import(path);
  EXPECT_EQ(again.n_written, 2);
  EXPECT_EQ(again.model_id, first.model_id);
  ExpectSameTensors(path, Read(again.model_id).manifest);
  EXPECT_EQ(*data_->UnnamedShardBytes(), 0U);
}

TEST_F(ImporterTest, ExpertsOfTheSameBytesShareAShard) {
  GgufBuilder builder = TinyQwen3Moe();
  for (const char* role : {"gate", "up", "down"}) {
    std::string& data = builder.Tensor("blk.0.ffn_" + std::string(role) + "_exps.weight").data;
    const size_t slice = data.size() / 4;
    for (int e = 1; e < 4; ++e) data.replace(e * slice, slice, data, 0, slice);
  }
  const std::string path = Write(builder);
  const ImportResult result = Import(path);
  EXPECT_EQ(result.n_written, result.n_shards - 3);
  ExpectSameTensors(path, Read(result.model_id).manifest);
}

TEST_F(ImporterTest, AModelWithoutATokenizerIsImported) {
  GgufBuilder builder = TinyQwen3Moe();
  std::erase_if(builder.keys, [](const GgufKey& key) { return key.name.starts_with("tokenizer"); });
  const SignedManifest model = Read(Import(Write(builder)).model_id);
  const auto tokenizer = LoadTokenizerShard(&data_->shards(), model.manifest);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_TRUE(tokenizer->vocabulary.tokens.empty());
}

TEST_F(ImporterTest, OneAtATime) {
  const std::string path = Write(TinyQwen3Moe());
  const auto lock = data_->LockShards();
  ASSERT_TRUE(lock.ok());
  const absl::Status status = TryImport(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another import"));
  EXPECT_EQ(data_->SweepShards().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ImporterTest, AFileThatChangesMeanwhileIsNoModel) {
  const std::string path = Write(TinyQwen3Moe());
  const auto touch = [&](uint64_t, uint64_t) {
    std::filesystem::last_write_time(
        path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  };
  const auto result =
      ImportModel(data_.get(), {.path = path, .random = SystemRandom(), .on_progress = touch});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(data_->ListModels()->empty());
}

TEST_F(ImporterTest, ProgressEndsWithAllBytes) {
  uint64_t last = 0;
  uint64_t of = 1;
  const auto result = ImportModel(data_.get(), {.path = Write(TinyQwen3Moe()),
                                                .random = SystemRandom(),
                                                .on_progress = [&](uint64_t done, uint64_t all) {
                                                  EXPECT_GT(done, last);
                                                  last = done;
                                                  of = all;
                                                }});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(last, result->n_bytes);
  EXPECT_EQ(of, result->n_bytes);
}

TEST_F(ImporterTest, BadFilesAreRefusedByName) {
  EXPECT_EQ(TryImport(folder_ + "/nothing.gguf").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(TryImport(folder_).status().message()), HasSubstr("/config.json"));
  EXPECT_THAT(std::string(TryImport("/dev/null").status().message()),
              HasSubstr("neither a regular file nor a folder"));
  GgufBuilder builder = TinyQwen3Moe();
  builder.RemoveTensor("blk.0.ffn_up_exps.weight");
  EXPECT_THAT(std::string(TryImport(Write(builder)).status().message()),
              HasSubstr("'blk.0.ffn_up_exps.weight' is missing"));
  EXPECT_TRUE(data_->ListModels()->empty());
  EXPECT_EQ(*data_->UnnamedShardBytes(), 0U);
}

// Goal: a shard that no buffer holds gets the same hashes as one that is in memory whole.
// Method: an embedding of 6.4 MB through buffers of 4 MiB and of 16 MiB.
TEST_F(ImporterTest, AShardLargerThanMemoryIsStreamed) {
  GgufBuilder builder = TinyQwen3Moe();
  std::erase_if(builder.keys, [](const GgufKey& key) { return key.name.starts_with("tokenizer"); });
  for (const char* name : {"token_embd.weight", "output.weight"}) builder.RemoveTensor(name);
  builder.AddF32Tensor("token_embd.weight", {8, 200'000});
  const auto file = GgufReader::Open(Write(builder));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto config = ReadModelConfig(**file);
  ASSERT_TRUE(config.ok()) << config.status();
  ThreadPool pool(2);
  std::vector<ShardInfo> made[2];
  for (const size_t chunks : {1, 4}) {
    std::vector<PlannedShard> shards = PlanShards(**file, *config);
    const auto data = Open(chunks == 1 ? "streamed" : "whole");
    ShardMaker maker(**file, &data->shards(), &pool, chunks * kShardChunkBytes);
    uint64_t done = 0;
    ASSERT_TRUE(maker.Make(shards, [&](uint64_t bytes) { done += bytes; }).ok());
    EXPECT_EQ(maker.written().size(), shards.size());
    for (const PlannedShard& shard : shards) {
      EXPECT_TRUE(data->shards().Verify(shard.info).ok());
      made[chunks == 1].push_back(shard.info);
      done -= shard.info.file_bytes;
    }
    EXPECT_EQ(done, 0U);
    EXPECT_EQ(data->shards().List()->size(), shards.size());
    EXPECT_FALSE(std::filesystem::exists(data->shards().directory() + "/unnamed.part"));
  }
  ASSERT_EQ(made[0].size(), made[1].size());
  for (size_t i = 0; i < made[0].size(); ++i) {
    EXPECT_EQ(made[0][i].hash, made[1][i].hash) << i;
    EXPECT_EQ(made[0][i].chunks, made[1][i].chunks) << i;
  }
  EXPECT_EQ(made[1][0].chunks.size(), 2U);
}

// --- Reading back.

TEST_F(ImporterTest, WeightsAreTheSameFromManyThreads) {
  const std::string path = Write(TinyQwen3Moe());
  const SignedManifest model = Read(Import(path).model_id);
  const auto file = GgufReader::Open(path);
  const auto weights = ShardWeights::Create(&model.manifest, &data_->shards(), 1);
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        for (const TensorInfo& tensor : (*file)->tensors()) {
          EXPECT_EQ(ReadTensor(**weights, *(*weights)->Find(tensor.name)),
                    ReadTensor(**file, tensor));
        }
        (*weights)->DropCache();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ImporterTest, I5_ADamagedOrMissingShardIsNeverServed) {
  const SignedManifest model = Read(Import(Write(TinyQwen3Moe())).model_id);
  const auto weights = ShardWeights::Create(&model.manifest, &data_->shards(), 2);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const TensorInfo* norm = (*weights)->Find("blk.0.attn_norm.weight");
  const std::string path = PathOf(*model.manifest.Find(ShardKind::kTrunkLayer, 0));
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(100).put('x').put('y');
  std::vector<std::byte> bytes(norm->n_bytes);
  EXPECT_EQ((*weights)->Read(*norm, 0, bytes).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*weights)->Read(*norm, 0, bytes).code(), absl::StatusCode::kNotFound);
  const TensorInfo* gate = (*weights)->Find("blk.0.ffn_gate_exps.weight");
  EXPECT_EQ((*weights)->Read(*gate, gate->n_bytes - 1, std::span(bytes).first(2)).code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ImporterTest, AManifestOfOtherShapesIsRefused) {
  const SignedManifest model = Read(Import(Write(TinyQwen3Moe())).model_id);
  const auto refusal = [&](auto change) {
    Manifest manifest = model.manifest;
    change(manifest);
    return std::string(ShardWeights::Create(&manifest, &data_->shards(), 1).status().message());
  };
  EXPECT_THAT(refusal([](Manifest& m) { m.config.ffn_dim = 16; }), HasSubstr("has shape"));
  EXPECT_THAT(refusal([](Manifest& m) { m.shards[0].tensors.clear(); }), HasSubstr("is missing"));
  EXPECT_THAT(refusal([](Manifest& m) { m.config.architecture = "other"; }),
              HasSubstr("not supported"));
}

}  // namespace
}  // namespace shoal
