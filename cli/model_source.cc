#include "cli/model_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/import/open_model.h"
#include "model/shard_weights.h"
#include "model/tokenizer_shard.h"

namespace shoal {
namespace {

class ForeignModel final : public ModelSource {
 public:
  explicit ForeignModel(OpenedModel model) : model_(std::move(model)) {}

  const ModelConfig& config() const override { return model_.config; }
  const WeightSource& weights() const override { return *model_.file; }
  absl::StatusOr<Vocabulary> vocabulary() const override {
    if (!model_.tokenizer.ok()) return model_.tokenizer.status();
    if (!model_.tokenizer->vocabulary.tokens.empty()) return model_.tokenizer->vocabulary;
    return absl::InvalidArgumentError(
        absl::StrCat(model_.file->path(), ": has no tokenizer; convert the model again with one"));
  }
  absl::StatusOr<std::string> chat_template() const override {
    if (!model_.tokenizer.ok()) return model_.tokenizer.status();
    return model_.tokenizer->chat_template;
  }
  std::string model_name() const override { return model_.name; }
  std::string model_id() const override { return model_.file->HeaderHash(); }
  uint64_t n_bytes() const override { return model_.file->file_bytes(); }
  uint64_t expert_bytes() const override {
    uint64_t n_bytes = 0;
    for (const TensorSpec& spec : FindFamily(model_.config.architecture)->tensors) {
      if (PlaceOf(spec) != TensorPlace::kExpert) continue;
      for (int layer = 0; layer < model_.config.n_layers; ++layer) {
        if (!Applies(spec, model_.config, layer)) continue;
        n_bytes += model_.file->Find(TensorName(spec, layer))->n_bytes;
      }
    }
    return n_bytes;
  }

 private:
  const OpenedModel model_;
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

absl::StatusOr<std::unique_ptr<ModelSource>> OpenForeignModel(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(OpenedModel model, OpenModel(path));
  return std::make_unique<ForeignModel>(std::move(model));
}

}  // namespace shoal
