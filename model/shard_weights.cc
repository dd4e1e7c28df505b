#include "model/shard_weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"

namespace shoal {

// Walks a family's table and finds each tensor in the manifest's shards.
class ShardWeights::Builder {
 public:
  Builder(const Manifest& manifest, const Family& family, ShardWeights* out)
      : manifest_(manifest), family_(family), out_(out) {}

  absl::Status Build() {
    for (const TensorSpec& spec : family_.tensors) {
      const int n = IsPerLayer(spec) ? manifest_.config.n_layers : 1;
      for (int i = 0; i < n; ++i) {
        if (PlaceOf(spec) == TensorPlace::kConfig || !Applies(spec, manifest_.config, i)) continue;
        SHOAL_RETURN_IF_ERROR(Add(spec, IsPerLayer(spec) ? i : -1));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(const std::string& name, const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("model ", Quoted(manifest_.name), ": tensor '",
                                                   name, "' ", what, "; import it again"));
  }

  absl::Status Add(const TensorSpec& spec, int layer) {
    Tensor tensor;
    tensor.info.name = TensorName(spec, layer);
    tensor.info.shape = TensorShape(spec, manifest_.config);
    tensor.info.file_offset = out_->tensors_.size();
    if (IsLeftOut(spec, layer)) return absl::OkStatus();
    if (PlaceOf(spec) == TensorPlace::kExpert) {
      for (int expert = 0; expert < manifest_.config.NumExperts(layer); ++expert) {
        if (!HoldsExpert(spec, manifest_.config, layer, expert)) continue;
        SHOAL_RETURN_IF_ERROR(
            AddSlice(manifest_.Find(ShardKind::kExpert, layer, expert), spec, &tensor));
      }
    } else {
      const ShardKind kind = PlaceOf(spec) == TensorPlace::kTrunkLayer  ? ShardKind::kTrunkLayer
                             : PlaceOf(spec) == TensorPlace::kEmbedding ? ShardKind::kEmbedding
                                                                        : ShardKind::kOutput;
      SHOAL_RETURN_IF_ERROR(AddSlice(manifest_.Find(kind, layer, -1), spec, &tensor));
    }
    if (spec.f32_only && tensor.info.dtype != DType::kF32) {
      return Refuse(tensor.info.name, "is not F32");
    }
    out_->index_.emplace(tensor.info.name, out_->tensors_.size());
    out_->tensors_.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  // An output head that is the embedding; what the model may lack, and does; or what another tensor
  // has.
  bool IsLeftOut(const TensorSpec& spec, int layer) const {
    if (spec.role == TensorRole::kOutput) return manifest_.config.tied_embeddings;
    if (!spec.optional && !spec.part_of) return false;
    const ShardInfo* shard =
        manifest_.Find(layer < 0 ? ShardKind::kOutput : ShardKind::kTrunkLayer, layer);
    const auto has = [&](const std::string& name) {
      return std::ranges::find(shard->tensors, name, &ShardTensor::name) != shard->tensors.end();
    };
    if (shard == nullptr || has(TensorName(spec, layer))) return false;
    const Family& family = *FindFamily(manifest_.config.architecture);
    return spec.optional || has(TensorName(family, *spec.part_of, layer));
  }

  absl::Status AddSlice(const ShardInfo* shard, const TensorSpec& spec, Tensor* tensor) const {
    const std::string& name = tensor->info.name;
    if (shard == nullptr) return Refuse(name, "has no shard");
    const auto found =
        std::find_if(shard->tensors.begin(), shard->tensors.end(),
                     [&](const ShardTensor& candidate) { return candidate.name == name; });
    if (found == shard->tensors.end()) return Refuse(name, "is missing");
    std::vector<int64_t> shape = tensor->info.shape;
    if (IsExpertStack(spec)) shape.erase(shape.begin());
    if (found->shape != shape) {
      return Refuse(name, absl::StrCat("has shape [", absl::StrJoin(found->shape, ", "), "], not [",
                                       absl::StrJoin(shape, ", "), "]"));
    }
    if (tensor->slices.empty()) tensor->info.dtype = found->dtype;
    tensor->slices.push_back(
        {shard, found->offset, {found->dtype, tensor->info.n_bytes, found->n_bytes}});
    tensor->info.n_bytes += found->n_bytes;
    return absl::OkStatus();
  }

  const Manifest& manifest_;
  const Family& family_;
  ShardWeights* const out_;
};

absl::StatusOr<std::unique_ptr<ShardWeights>> ShardWeights::Create(const Manifest* manifest,
                                                                   ShardStore* store,
                                                                   int max_cached) {
  SHOAL_CHECK_GE(max_cached, 1);
  const Family* family = FindFamily(manifest->config.architecture);
  if (family == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model ", Quoted(manifest->name), ": architecture ", Quoted(manifest->config.architecture),
        " is not supported; use a model of one of these: ", SupportedArchitectures()));
  }
  auto weights =
      std::unique_ptr<ShardWeights>(new ShardWeights(store, static_cast<size_t>(max_cached)));
  SHOAL_RETURN_IF_ERROR(Builder(*manifest, *family, weights.get()).Build());
  return weights;
}

const TensorInfo* ShardWeights::Find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second].info;
}

StackSlice ShardWeights::SliceOf(const TensorInfo& stack, int64_t i) const {
  SHOAL_CHECK_LT(stack.file_offset, tensors_.size());
  const std::vector<Slice>& slices = tensors_[stack.file_offset].slices;
  if (slices.size() == 1) return WeightSource::SliceOf(stack, i);  // A stack of the trunk is whole.
  return slices[static_cast<size_t>(i)].slice;
}

absl::Status ShardWeights::Read(const TensorInfo& tensor, uint64_t offset,
                                std::span<std::byte> out) const {
  SHOAL_CHECK_LT(tensor.file_offset, tensors_.size());
  const Tensor& from = tensors_[tensor.file_offset];
  SHOAL_CHECK(&from.info == &tensor);
  if (offset > tensor.n_bytes || out.size() > tensor.n_bytes - offset) {
    return absl::DataLossError(absl::StrCat("tensor '", tensor.name, "': wanted ", out.size(),
                                            " bytes at ", offset, ", it has ", tensor.n_bytes));
  }
  if (out.empty()) return absl::OkStatus();
  auto slice = std::prev(std::upper_bound(
      from.slices.begin(), from.slices.end(), offset,
      [](uint64_t at, const Slice& candidate) { return at < candidate.slice.offset; }));
  for (; !out.empty(); ++slice) {
    const uint64_t skip = offset - slice->slice.offset;
    const size_t n = std::min<uint64_t>(out.size(), slice->slice.n_bytes - skip);
    SHOAL_ASSIGN_OR_RETURN(const auto bytes, Bytes(*slice->shard));
    std::memcpy(out.data(), bytes->data() + slice->shard_offset + skip, n);
    out = out.subspan(n);
    offset += n;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const AlignedBuffer>> ShardWeights::Bytes(
    const ShardInfo& shard) const {
  {
    const MutexLock lock(&mu_);
    for (auto at = cache_.find(&shard); at != cache_.end(); at = cache_.find(&shard)) {
      if (at->second.bytes != nullptr) {
        at->second.last_use = ++uses_;
        return at->second.bytes;
      }
      loaded_.Wait(&mu_);  // Another thread loads it; if it fails, this one tries.
    }
    if (cache_.size() >= max_cached_) EvictOldest();
    cache_[&shard] = {};
  }
  AlignedBuffer buffer = TakeSpare(shard.file_bytes);
  const absl::Status status = store_->LoadInto(shard, &buffer);
  const MutexLock lock(&mu_);
  loaded_.SignalAll();
  if (!status.ok()) {
    cache_.erase(&shard);
    return status;
  }
  const std::shared_ptr<AlignedBuffer> bytes(new AlignedBuffer(std::move(buffer)),
                                             [this](AlignedBuffer* unread) {
                                               GiveBack(std::move(*unread));
                                               delete unread;
                                             });
  cache_[&shard] = {bytes, ++uses_};
  return bytes;
}

void ShardWeights::EvictOldest() const {
  auto oldest = cache_.end();
  for (auto at = cache_.begin(); at != cache_.end(); ++at) {
    if (at->second.bytes == nullptr) continue;  // Being loaded.
    if (oldest == cache_.end() || at->second.last_use < oldest->second.last_use) oldest = at;
  }
  if (oldest != cache_.end()) cache_.erase(oldest);
}

AlignedBuffer ShardWeights::TakeSpare(uint64_t n_bytes) const {
  const MutexLock lock(&spare_mu_);
  for (AlignedBuffer& spare : spare_) {
    if (spare.size() != n_bytes) continue;
    std::swap(spare, spare_.back());
    AlignedBuffer taken = std::move(spare_.back());
    spare_.pop_back();
    return taken;
  }
  return {};
}

void ShardWeights::GiveBack(AlignedBuffer buffer) const {
  const MutexLock lock(&spare_mu_);
  if (spare_.size() >= max_cached_) spare_.erase(spare_.begin());
  spare_.push_back(std::move(buffer));
}

void ShardWeights::DropCache() {
  {
    const MutexLock lock(&mu_);
    for (auto at = cache_.begin(); at != cache_.end();) {
      at = at->second.bytes != nullptr ? cache_.erase(at) : std::next(at);
    }
  }
  const MutexLock lock(&spare_mu_);
  spare_.clear();
}

}  // namespace shoal
