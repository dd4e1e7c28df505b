#include "model/import/fused_tensors.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"

namespace shoal {
namespace {

// Gate and up of routed experts may be fused in any family: one behind the other in each expert.
constexpr std::array kExpertParts = {TensorRole::kFfnGateExps, TensorRole::kFfnUpExps};
constexpr FusedTensor kFusedExperts = {"blk.#.ffn_gate_up_exps.weight", kExpertParts};

class SplitFile final : public ModelFile {
 public:
  SplitFile(std::unique_ptr<ModelFile> file, const Family& family, const ModelConfig& config)
      : file_(std::move(file)), tensors_(file_->tensors()) {
    for (const FusedTensor& fused : FusedTensorsOf(family)) {
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
    const auto found = stacks_.find(tensor.name);
    if (found == stacks_.end()) return file_->Read(tensor, offset, out);
    const Stack& stack = found->second;
    SHOAL_RETURN_IF_ERROR(
        PositionIn(path(), tensor.name, 0, tensor.n_bytes, offset, out.size()).status());
    while (!out.empty()) {
      const uint64_t within = offset % stack.matrix_bytes;
      const auto n =
          static_cast<size_t>(std::min<uint64_t>(out.size(), stack.matrix_bytes - within));
      SHOAL_RETURN_IF_ERROR(file_->Read(stack.whole, stack.OffsetOf(offset), out.first(n)));
      out = out.subspan(n);
      offset += n;
    }
    return absl::OkStatus();
  }
  uint64_t Position(const TensorInfo& tensor, uint64_t offset) const override {
    const auto found = stacks_.find(tensor.name);
    if (found == stacks_.end()) return file_->Position(tensor, offset);
    return file_->Position(found->second.whole, found->second.OffsetOf(offset));
  }
  const std::string& path() const override { return file_->path(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  uint64_t file_bytes() const override { return file_->file_bytes(); }
  std::string HeaderHash() const override { return file_->HeaderHash(); }

 private:
  // A stack whose matrices are parts of those of another.
  struct Stack {
    TensorInfo whole;
    uint64_t matrix_bytes = 0;
    uint64_t period = 0;  // Of the whole's matrices.
    uint64_t begin = 0;   // In each of them.
    uint64_t OffsetOf(uint64_t offset) const {
      return offset / matrix_bytes * period + begin + offset % matrix_bytes;
    }
  };

  static std::string_view NameOf(const TensorInfo& tensor) { return tensor.name; }

  void Split(const FusedTensor& fused, const Family& family, const ModelConfig& config, int layer) {
    if (!IsFused(*file_, family, fused, layer)) return;
    const std::string name = TensorName(fused.name, layer);
    const auto whole = std::ranges::find(tensors_, name, &TensorInfo::name);
    SHOAL_CHECK(whole != tensors_.end());
    TensorInfo part = *whole;
    tensors_.erase(whole);
    if (part.shape.size() == 3) return SplitStack(part, fused, family, config, layer);
    for (const TensorRole role : fused.parts) {
      const TensorSpec& spec = *FindSpec(family, role);
      part.name = TensorName(spec, layer);
      part.shape = TensorShape(spec, config);
      part.n_bytes = static_cast<uint64_t>(part.shape[0] * RowBytes(part.dtype, part.shape[1]));
      tensors_.push_back(part);
      part.file_offset += part.n_bytes;
    }
  }

  void SplitStack(const TensorInfo& whole, const FusedTensor& fused, const Family& family,
                  const ModelConfig& config, int layer) {
    Stack stack{.whole = whole, .period = whole.n_bytes / static_cast<uint64_t>(whole.shape[0])};
    for (const TensorRole role : fused.parts) {
      const TensorSpec& spec = *FindSpec(family, role);
      TensorInfo part = whole;
      part.name = TensorName(spec, layer);
      part.shape = TensorShape(spec, config);
      stack.matrix_bytes =
          static_cast<uint64_t>(part.shape[1] * RowBytes(part.dtype, part.shape[2]));
      part.n_bytes = static_cast<uint64_t>(part.shape[0]) * stack.matrix_bytes;
      stacks_.emplace(part.name, stack);
      tensors_.push_back(std::move(part));
      stack.begin += stack.matrix_bytes;
    }
  }

  const std::unique_ptr<ModelFile> file_;
  std::vector<TensorInfo> tensors_;  // Ascending by name.
  std::map<std::string, Stack, std::less<>> stacks_;
};

}  // namespace

std::vector<FusedTensor> FusedTensorsOf(const Family& family) {
  std::vector<FusedTensor> all(family.fused.begin(), family.fused.end());
  if (FindSpec(family, kExpertParts.front()) != nullptr) all.push_back(kFusedExperts);
  return all;
}

bool IsFused(const ModelFile& file, const Family& family, const FusedTensor& fused, int layer) {
  return file.Find(TensorName(family, fused.parts.front(), layer)) == nullptr &&
         file.Find(TensorName(fused.name, layer)) != nullptr;
}

std::unique_ptr<ModelFile> SplitFusedTensors(std::unique_ptr<ModelFile> file, const Family& family,
                                             const ModelConfig& config) {
  if (FusedTensorsOf(family).empty()) return file;
  return std::make_unique<SplitFile>(std::move(file), family, config);
}

}  // namespace shoal
