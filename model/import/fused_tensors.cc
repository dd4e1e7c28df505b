#include "model/import/fused_tensors.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace shoal {
namespace {

class SplitFile final : public ModelFile {
 public:
  SplitFile(std::unique_ptr<ModelFile> file, const Family& family, const ModelConfig& config)
      : file_(std::move(file)), tensors_(file_->tensors()) {
    for (const FusedTensor& fused : family.fused) {
      for (int layer = 0; layer < config.n_layers; ++layer) Split(fused, family, config, layer);
    }
    std::ranges::sort(tensors_, {}, &TensorInfo::name);
  }

  const TensorInfo* Find(std::string_view name) const override {
    const auto found = std::ranges::lower_bound(tensors_, name, {}, NameOf);
    return found != tensors_.end() && found->name == name ? &*found : nullptr;
  }
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override {
    return file_->Read(tensor, offset, out);
  }
  uint64_t Position(const TensorInfo& tensor, uint64_t offset) const override {
    return file_->Position(tensor, offset);
  }
  const std::string& path() const override { return file_->path(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  uint64_t file_bytes() const override { return file_->file_bytes(); }
  std::string HeaderHash() const override { return file_->HeaderHash(); }

 private:
  static std::string_view NameOf(const TensorInfo& tensor) { return tensor.name; }

  void Split(const FusedTensor& fused, const Family& family, const ModelConfig& config, int layer) {
    if (!IsFused(*file_, family, fused, layer)) return;
    const std::string name = TensorName(fused.name, layer);
    const auto whole = std::ranges::find(tensors_, name, &TensorInfo::name);
    SHOAL_CHECK(whole != tensors_.end());
    TensorInfo part = *whole;
    tensors_.erase(whole);
    for (const TensorRole role : fused.parts) {
      const TensorSpec& spec = *FindSpec(family, role);
      part.name = TensorName(spec, layer);
      part.shape = TensorShape(spec, config);
      part.n_bytes = static_cast<uint64_t>(part.shape[0] * RowBytes(part.dtype, part.shape[1]));
      tensors_.push_back(part);
      part.file_offset += part.n_bytes;
    }
  }

  const std::unique_ptr<ModelFile> file_;
  std::vector<TensorInfo> tensors_;  // Ascending by name.
};

}  // namespace

bool IsFused(const ModelFile& file, const Family& family, const FusedTensor& fused, int layer) {
  return file.Find(TensorName(family, fused.parts.front(), layer)) == nullptr &&
         file.Find(TensorName(fused.name, layer)) != nullptr;
}

std::unique_ptr<ModelFile> SplitFusedTensors(std::unique_ptr<ModelFile> file, const Family& family,
                                             const ModelConfig& config) {
  if (family.fused.empty()) return file;
  return std::make_unique<SplitFile>(std::move(file), family, config);
}

}  // namespace shoal
