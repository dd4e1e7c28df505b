#include "cli/quantized_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "kernels/weight_quantizer.h"
#include "model/families/family.h"

namespace shoal {
namespace {

struct Mix {
  std::string_view name;
  DType dtype;
  DType embedding;
  DType output;
};

// Output heads and embeddings too coarse for the rest cost more than they save.
constexpr Mix kMixes[] = {
    {"q8_0", DType::kQ8_0, DType::kQ8_0, DType::kQ8_0},
    {"q4_0", DType::kQ4_0, DType::kQ4_0, DType::kQ6_K},
    {"q4_k_m", DType::kQ4_K, DType::kQ4_K, DType::kQ6_K},
    {"iq4_nl", DType::kIQ4_NL, DType::kIQ4_NL, DType::kQ6_K},
    {"mxfp4", DType::kMXFP4, DType::kMXFP4, DType::kQ6_K},
    {"tq2_0", DType::kTQ2_0, DType::kQ4_K, DType::kQ6_K},
    {"tq1_0", DType::kTQ1_0, DType::kQ4_K, DType::kQ6_K},
};

const Mix* FindMix(std::string_view name) {
  const auto* found = std::find_if(std::begin(kMixes), std::end(kMixes),
                                   [name](const Mix& mix) { return mix.name == name; });
  return found == std::end(kMixes) ? nullptr : found;
}

// llama.cpp's rule for "_M": layers of the first and the last eighth, and each third between.
bool TakesMoreBits(int layer, int n_layers) {
  return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

// llama.cpp's rule for rows that are not whole blocks of 256: what takes their place in blocks of
// 32.
DType InBlocksOf32(DType dtype) {
  switch (dtype) {
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return DType::kQ4_0;
    default:
      return DType::kQ8_0;
  }
}

constexpr uint64_t kStretchBytes = uint64_t{4} << 20;  // Of the source, in memory at once.

double BitsOf(DType dtype) { return 8.0 * Traits(dtype).block_bytes / Traits(dtype).block_elems; }

// The type of a matrix; `cold`: of an expert that the heat says is seldom used.
DType TypeFor(const TensorSpec& spec, int layer, bool cold, const ModelConfig& config,
              const QuantizeOptions& options) {
  const Mix& mix = *FindMix(options.mix);
  if (spec.role == TensorRole::kOutput) return mix.output;
  if (spec.role == TensorRole::kTokenEmbd) {
    return config.tied_embeddings ? mix.output : mix.embedding;
  }
  if (cold && options.experts_type) return *options.experts_type;
  const bool refined = spec.role == TensorRole::kAttnV || spec.role == TensorRole::kFfnDownExps;
  const bool medium = mix.dtype == DType::kQ4_K;
  return medium && refined && TakesMoreBits(layer, config.n_layers) ? DType::kQ6_K : mix.dtype;
}

// The types of a tensor's matrices: one, or one for each expert of a stack.
std::vector<DType> TypesFor(const TensorSpec& spec, int layer, const TensorInfo& tensor,
                            const ModelConfig& config, const QuantizeOptions& options) {
  if (!IsExpertStack(spec)) return {TypeFor(spec, layer, false, config, options)};
  std::vector<bool> hot(static_cast<size_t>(tensor.shape[0]), false);
  if (options.heat != nullptr) hot = options.heat->Hot(layer, options.hot_share);
  std::vector<DType> types;
  for (const bool is_hot : hot) types.push_back(TypeFor(spec, layer, !is_hot, config, options));
  return types;
}

Loss LossOf(const std::vector<float>& x, const std::vector<float>& back) {
  Loss loss;
  for (size_t c = 0; c < x.size(); ++c) {
    const double e = static_cast<double>(back[c]) - x[c];
    loss.lost += e * e;
    loss.all += static_cast<double>(x[c]) * x[c];
  }
  return loss;
}

absl::Status Unfit(const TensorInfo& tensor, int64_t row, DType dtype) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", Quoted(tensor.name), ": row ", row,
                   " holds an infinity, a NaN, or weights too large for ",
                   std::string(Traits(dtype).name), "; import it without --quantize"));
}

class QuantizedSource final : public WeightSource {
 public:
  QuantizedSource(const WeightSource& source, const QuantizeOptions& options, Losses* losses)
      : source_(source), options_(options), losses_(losses), pool_(options.n_threads) {}

  // `types`: what its matrices are to become, where that is possible and smaller. `counted_as`: its
  // name in the imatrix.
  void Add(const TensorInfo& tensor, std::span<const DType> types, bool keep,
           std::string counted_as) {
    Made made{.info = tensor,
              .n_rows = RowsOf(tensor) / static_cast<int64_t>(types.size()),
              .counted_as = std::move(counted_as)};
    made.info.n_bytes = 0;
    for (DType dtype : types) {
      const int64_t cols = tensor.shape.back();
      if (cols % Traits(dtype).block_elems != 0) dtype = InBlocksOf32(dtype);
      const bool fits = tensor.shape.size() >= 2 && cols % Traits(dtype).block_elems == 0;
      if (keep || !fits || BitsOf(dtype) >= BitsOf(tensor.dtype)) dtype = tensor.dtype;
      const auto n_bytes = static_cast<uint64_t>(made.n_rows * RowBytes(dtype, cols));
      made.slices.push_back({dtype, made.info.n_bytes, n_bytes});
      made.info.n_bytes += n_bytes;
    }
    made.info.dtype = made.slices.front().dtype;
    tensors_.try_emplace(tensor.name, std::move(made));
  }

  const TensorInfo* Find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second.info;
  }

  StackSlice SliceOf(const TensorInfo& stack, int64_t i) const override {
    return tensors_.find(stack.name)->second.slices[static_cast<size_t>(i)];
  }

  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override {
    const Made& made = tensors_.find(tensor.name)->second;
    for (size_t i = 0; i < made.slices.size() && !out.empty(); ++i) {
      const StackSlice& slice = made.slices[i];
      if (offset >= slice.offset + slice.n_bytes) continue;
      const uint64_t n = std::min<uint64_t>(out.size(), slice.offset + slice.n_bytes - offset);
      SHOAL_RETURN_IF_ERROR(ReadSlice(made, i, offset - slice.offset, out.first(n)));
      out = out.subspan(n);
      offset += n;
    }
    return absl::OkStatus();
  }

 private:
  struct Made {
    TensorInfo info;
    int64_t n_rows = 0;  // Of a slice.
    std::vector<StackSlice> slices = {};
    std::string counted_as = {};
  };

  static int64_t RowsOf(const TensorInfo& tensor) {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) n *= tensor.shape[i];
    return n;
  }

  // `offset`: into the slice.
  absl::Status ReadSlice(const Made& made, size_t i, uint64_t offset,
                         std::span<std::byte> out) const {
    const TensorInfo& original = *source_.Find(made.info.name);
    const int64_t cols = original.shape.back();
    const DType dtype = made.slices[i].dtype;
    const auto source_row = static_cast<uint64_t>(RowBytes(original.dtype, cols));
    const uint64_t first_row = i * static_cast<uint64_t>(made.n_rows);
    if (dtype == original.dtype)
      return source_.Read(original, first_row * source_row + offset, out);
    const MutexLock lock(&mu_);
    const auto row_bytes = static_cast<uint64_t>(RowBytes(dtype, cols));
    // Whole rows a stretch at a time; bytes of rows that reach over its ends are cut off.
    const uint64_t stretch = std::max<uint64_t>(kStretchBytes / source_row, 1);
    const uint64_t end = (offset + out.size() + row_bytes - 1) / row_bytes;
    std::vector<std::byte> bytes(std::min(stretch, end - offset / row_bytes) * row_bytes);
    for (uint64_t row = offset / row_bytes; row < end; row += stretch) {
      const uint64_t n = std::min(stretch, end - row);
      const bool counted = row * row_bytes < offset;  // The first row, by the read before this one.
      SHOAL_RETURN_IF_ERROR(Make(original, dtype, first_row + row, n, counted, bytes.data()));
      const uint64_t from = std::max(row * row_bytes, offset);
      const uint64_t to = std::min((row + n) * row_bytes, offset + out.size());
      std::memcpy(out.data() + (from - offset), bytes.data() + (from - row * row_bytes), to - from);
    }
    return absl::OkStatus();
  }

  // Rows [first, first + n) as blocks; with `counted`, the first one's loss is known already.
  absl::Status Make(const TensorInfo& from, DType dtype, uint64_t first, uint64_t n, bool counted,
                    std::byte* out) const SHOAL_REQUIRES(mu_) {
    const int64_t cols = from.shape.back();
    const int64_t row_bytes = RowBytes(dtype, cols);
    std::vector<std::byte> stored(n * static_cast<uint64_t>(RowBytes(from.dtype, cols)));
    SHOAL_RETURN_IF_ERROR(source_.Read(
        from, first * static_cast<uint64_t>(RowBytes(from.dtype, cols)), std::span(stored)));
    const auto n_rows = static_cast<int64_t>(n);
    std::vector<Loss> losses(n);
    std::vector<absl::Status> status(n);
    // File order, which is the scalar kernels' own.
    const KernelTable& kernels = *AvailableKernels().front();
    pool_.ParallelFor(n_rows, 8, [&](int64_t begin, int64_t end, int) {
      std::vector<float> x(static_cast<size_t>(cols));
      std::vector<float> back(static_cast<size_t>(cols));
      for (int64_t r = begin; r < end; ++r) {
        kernels.unpack_row({from.dtype, n_rows, cols, stored.data()}, r, x.data());
        status[static_cast<size_t>(r)] =
            MakeRow(from, dtype, static_cast<int64_t>(first) + r, x, out + r * row_bytes);
        kernels.unpack_row({dtype, n_rows, cols, out}, r, back.data());
        losses[static_cast<size_t>(r)] = LossOf(x, back);
        if (!std::isfinite(losses[static_cast<size_t>(r)].lost)) {
          status[static_cast<size_t>(r)] = Unfit(from, static_cast<int64_t>(first) + r, dtype);
        }
      }
    });
    Loss& sum = (*losses_)[{from.name, dtype}];
    for (uint64_t r = 0; r < n; ++r) {
      SHOAL_RETURN_IF_ERROR(status[r]);
      if (r == 0 && counted) continue;
      sum.lost += losses[r].lost;
      sum.all += losses[r].all;
    }
    return absl::OkStatus();
  }

  absl::Status MakeRow(const TensorInfo& from, DType dtype, int64_t row,
                       const std::vector<float>& x, std::byte* out) const {
    if (!std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); })) {
      return Unfit(from, row, dtype);
    }
    std::span<const float> importance;
    if (options_.importance != nullptr) {
      const int64_t matrix = from.shape.size() < 3 ? 0 : row / from.shape[1];
      const Made& made = tensors_.find(from.name)->second;
      SHOAL_ASSIGN_OR_RETURN(importance,
                             options_.importance->Of(made.counted_as, matrix, from.shape.back()));
    }
    QuantizeWeights(dtype, x, importance, out);
    return absl::OkStatus();
  }

  const WeightSource& source_;
  const QuantizeOptions options_;
  Losses* const losses_;
  std::map<std::string, Made, std::less<>> tensors_;
  mutable Mutex mu_;
  mutable ThreadPool pool_;
};

// What files that have several tensors in one call it; all of its parts take the same inputs.
struct FusedName {
  TensorRole part;
  std::string_view whole;
};
constexpr FusedName kFusedNames[] = {
    {TensorRole::kAttnQ, "blk.#.attn_qkv.weight"},
    {TensorRole::kAttnK, "blk.#.attn_qkv.weight"},
    {TensorRole::kAttnV, "blk.#.attn_qkv.weight"},
    {TensorRole::kAttnVB, "blk.#.attn_kv_b.weight"},
    {TensorRole::kFfnGate, "blk.#.ffn_up.weight"},
    {TensorRole::kFfnGate, "blk.#.ffn_gate_up.weight"},
    {TensorRole::kFfnUp, "blk.#.ffn_gate_up.weight"},
    {TensorRole::kFfnGateExps, "blk.#.ffn_gate_up_exps.weight"},
    {TensorRole::kFfnUpExps, "blk.#.ffn_gate_up_exps.weight"},
    {TensorRole::kFfnGateShexp, "blk.#.ffn_gate_up_shexp.weight"},
    {TensorRole::kFfnUpShexp, "blk.#.ffn_gate_up_shexp.weight"},
};

// The tensor's own name, or where the imatrix has none of it, that of one that it is part of.
std::string CountedAs(const TensorSpec& spec, int layer, const Importance* importance) {
  std::string own = TensorName(spec, layer);
  if (importance == nullptr || importance->Has(own)) return own;
  for (const FusedName& fused : kFusedNames) {
    if (fused.part != spec.role) continue;
    std::string name = TensorName(fused.whole, layer);
    if (importance->Has(name)) return name;
  }
  return own;
}

}  // namespace

std::string QuantizeMixes() {
  std::string names;
  for (const Mix& mix : kMixes)
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(mix.name));
  return names;
}

std::optional<DType> TypeOfMix(std::string_view mix) {
  const Mix* found = FindMix(mix);
  return found == nullptr ? std::nullopt : std::optional(found->dtype);
}

absl::StatusOr<std::unique_ptr<WeightSource>> QuantizeSource(const WeightSource& source,
                                                             const ModelConfig& config,
                                                             const QuantizeOptions& options,
                                                             Losses* losses) {
  SHOAL_CHECK(FindMix(options.mix) != nullptr);
  if (options.heat != nullptr) SHOAL_RETURN_IF_ERROR(CheckHeat(*options.heat, config));
  auto made = std::make_unique<QuantizedSource>(source, options, losses);
  for (const TensorSpec& spec : FindFamily(config.architecture)->tensors) {
    for (int layer = 0; layer < (IsPerLayer(spec) ? config.n_layers : 1); ++layer) {
      const TensorInfo* tensor = source.Find(TensorName(spec, layer));
      if (tensor == nullptr) continue;
      const std::string counted_as = CountedAs(spec, layer, options.importance.get());
      made->Add(*tensor, TypesFor(spec, layer, *tensor, config, options), spec.f32_only,
                counted_as);
      if (options.importance == nullptr) continue;
      // An imatrix of another model is refused before anything is written.
      SHOAL_RETURN_IF_ERROR(options.importance->Of(counted_as, 0, tensor->shape.back()).status());
    }
  }
  return made;
}

}  // namespace shoal
