#include "cli/model_source.h"

#include <utility>

#include "base/status_macros.h"
#include "model/import/gguf_model.h"

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

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> OpenGgufModel(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, GgufReader::Open(path));
  SHOAL_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(*file));
  return std::make_unique<GgufModel>(std::move(file), std::move(config));
}

}  // namespace shoal
