#include "cli/model_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/gguf_model.h"
#include "model/shard_weights.h"
#include "model/tokenizer_shard.h"

namespace shoal {
namespace {

class GgufModel final : public ModelSource {
 public:
  GgufModel(std::unique_ptr<GgufReader> file, ModelConfig config)
      : file_(std::move(file)), config_(std::move(config)) {}

  const ModelConfig& config() const override { return config_; }
  const WeightSource& weights() const override { return *file_; }
  absl::StatusOr<Vocabulary> vocabulary() const override { return ReadVocabulary(*file_); }
  absl::StatusOr<std::string> chat_template() const override { return ReadChatTemplate(*file_); }
  std::string model_name() const override { return ModelName(*file_); }
  std::string model_id() const override { return file_->HeaderHash(); }
  uint64_t n_bytes() const override { return file_->file_bytes(); }
  uint64_t expert_bytes() const override {
    uint64_t n_bytes = 0;
    for (const TensorInfo& tensor : file_->tensors()) {
      if (tensor.shape.size() == 3) n_bytes += tensor.n_bytes;
    }
    return n_bytes;
  }

 private:
  const std::unique_ptr<GgufReader> file_;
  const ModelConfig config_;
};

class StoredModel final : public ModelSource {
 public:
  static absl::StatusOr<std::unique_ptr<ModelSource>> Open(ShardStore* store, SignedManifest model,
                                                           int n_threads) {
    auto source = std::unique_ptr<StoredModel>(new StoredModel(std::move(model)));
    const Manifest& manifest = source->model_.manifest;
    SHOAL_ASSIGN_OR_RETURN(source->weights_, ShardWeights::Create(&manifest, store, 2 * n_threads));
    SHOAL_ASSIGN_OR_RETURN(source->tokenizer_, LoadTokenizerShard(store, manifest));
    return source;
  }

  const ModelConfig& config() const override { return model_.manifest.config; }
  const WeightSource& weights() const override { return *weights_; }
  absl::StatusOr<Vocabulary> vocabulary() const override {
    if (!tokenizer_.vocabulary.tokens.empty()) return tokenizer_.vocabulary;
    return absl::InvalidArgumentError(absl::StrCat(
        "model ", Quoted(model_name()), " has no tokenizer; convert and import it again with one"));
  }
  absl::StatusOr<std::string> chat_template() const override { return tokenizer_.chat_template; }
  std::string model_name() const override { return model_.manifest.name; }
  std::string model_id() const override { return ToHex(model_.id); }
  uint64_t n_bytes() const override { return model_.manifest.n_bytes(); }
  uint64_t expert_bytes() const override {
    uint64_t n_bytes = 0;
    for (const ShardInfo& shard : model_.manifest.shards) {
      if (shard.kind == ShardKind::kExpert) n_bytes += shard.file_bytes;
    }
    return n_bytes;
  }
  void DropCache() override { weights_->DropCache(); }

 private:
  explicit StoredModel(SignedManifest model) : model_(std::move(model)) {}

  const SignedManifest model_;
  std::unique_ptr<ShardWeights> weights_;  // Points into model_.
  TokenizerShard tokenizer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> OpenStoredModel(DataDirectory* data,
                                                             const Sha256Digest& id,
                                                             int n_threads) {
  SHOAL_ASSIGN_OR_RETURN(SignedManifest model, data->ReadModel(id));
  return StoredModel::Open(&data->shards(), std::move(model), n_threads);
}

absl::StatusOr<std::unique_ptr<ModelSource>> OpenGgufModel(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, GgufReader::Open(path));
  SHOAL_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(*file));
  return std::make_unique<GgufModel>(std::move(file), std::move(config));
}

}  // namespace shoal
