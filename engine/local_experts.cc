#include "engine/local_experts.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "engine/product.h"
#include "model/families/family.h"
#include "model/mat.h"

namespace shoal {
namespace {

// Grows to the largest call and stays. What is in it does not outlast a call.
template <typename T>
class Buffer {
 public:
  void Resize(int64_t n) {
    const size_t n_bytes = static_cast<size_t>(n) * sizeof(T);
    if (n_bytes <= bytes_.size()) return;
    bytes_ = {};
    bytes_ = AlignedBuffer(n_bytes);
  }
  T* data() { return reinterpret_cast<T*>(bytes_.data()); }

 private:
  AlignedBuffer bytes_;
};

}  // namespace

struct LocalExperts::Impl {
  ModelConfig config;
  const KernelTable& kernels;
  ThreadPool* pool;
  Options options;
  mutable Mutex mu;
  // [n_layers * MaxExperts()]; null: not resident.
  std::vector<std::shared_ptr<const ExpertWeights>> experts SHOAL_GUARDED_BY(mu);
  size_t resident_bytes SHOAL_GUARDED_BY(mu) = 0;
  uint64_t rows_computed = 0;

  // What the call under way computes with, one for each of its experts.
  std::vector<std::shared_ptr<const ExpertWeights>> held;

  // Of one call.
  int64_t stride = 0;         // Width of the widest expert of the call.
  Buffer<float> act;          // [n_results, stride]: gate, then silu(gate) * up.
  Buffer<float> up;           // [n_results, stride]
  Buffer<int8_t> act_q8;      // [n_results, stride in blocks]: act for quantized w_down.
  Buffer<float> act_scales;   // [n_results, blocks]
  Buffer<float> y;            // [n_results, hidden_dim]
  Buffer<uint16_t> y_f16;     // The same rows as they travel.
  Buffer<float> y_scale;      // [n_results]
  ExpertBuffers requantized;  // Float rows for experts that mix float and quantized matrices.
  Mat<float> row_scratch;     // [n_threads, hidden_dim]

  // The call between Start and Finish.
  ExpertBuffers encode_buffers;
  ExpertAssignment assignment;
  std::vector<int32_t> result_of;  // [n_tokens, top_k]: row of the output.
  absl::StatusOr<ExpertOutput> output = absl::InternalError("no call");
  Routing routing;
  uint64_t next_call_id = 1;

  Impl(const ModelConfig& config_, const KernelTable& kernels_, ThreadPool* pool_, Options options_)
      : config(config_), kernels(kernels_), pool(pool_), options(options_) {}

  size_t Index(int layer, int expert) const {
    SHOAL_CHECK(InRange(layer, expert));
    return static_cast<size_t>(layer) * config.MaxExperts() + expert;
  }
  bool InRange(int layer, int expert) const {
    return layer >= 0 && layer < config.n_layers && expert >= 0 &&
           expert < config.NumExperts(layer);
  }
  absl::Status Hold(int layer, const ExpertAssignment& assignment) SHOAL_EXCLUDES(mu);
  void Replace(int layer, int expert, std::shared_ptr<const ExpertWeights> weights)
      SHOAL_EXCLUDES(mu);
  void ResizeBuffers(int n_results);
  bool TakesInt8(const PackedMatrix& w) const {
    return Traits(w.dtype()).quantized && !options.activations_f32;
  }
  void GateUpChunk(const ExpertWeights& expert, const RowsView& x, const RowsView& x_int8,
                   const ExpertAssignment& assignment, int e, int64_t begin, int64_t end);
  void Activate(float* gate, const float* up_row, int64_t n) const;
  void DownChunk(const ExpertWeights& expert, const ExpertAssignment& assignment, int e,
                 int64_t begin, int64_t end);
  ExpertOutput EncodeOutput(int n_results);
};

namespace {

// The rows of expert e, out of all rows of the call.
RowsView RowsOfExpert(RowsView x, const ExpertAssignment& assignment, int e) {
  x.row_map = assignment.rows.data() + assignment.row_begin[e];
  x.n_rows = assignment.row_begin[e + 1] - assignment.row_begin[e];
  return x;
}

}  // namespace

// act[r][begin..end) = silu(W_gate x[r]) * (W_up x[r]), or what else the model's gates are, for the
// rows r of expert e (Shazeer 2020, arXiv:2002.05202), rounded to blocks at once where w_down takes
// int8.
void LocalExperts::Impl::GateUpChunk(const ExpertWeights& expert, const RowsView& x,
                                     const RowsView& x_int8, const ExpertAssignment& assignment,
                                     int e, int64_t begin, int64_t end) {
  end = std::min(end, expert.w_gate.rows());  // Experts of a layer may differ in width.
  if (begin >= end) return;
  const int64_t blocks = ActivationBlocks(stride);
  const int64_t first = assignment.row_begin[e];
  const auto product = [&](const PackedMatrix& w, Buffer<float>* y) {
    kernels.matmul(w.view(), RowsOfExpert(TakesInt8(w) ? x_int8 : x, assignment, e), begin, end,
                   y->data() + first * stride, stride);
  };
  product(expert.w_gate, &act);
  product(expert.w_up, &up);
  for (int64_t r = first; r < assignment.row_begin[e + 1]; ++r) {
    float* chunk = act.data() + r * stride + begin;
    float* up_chunk = up.data() + r * stride + begin;
    if (!expert.gate_bias.empty()) {
      kernels.add(expert.gate_bias.data() + begin, end - begin, chunk);
      kernels.add(expert.up_bias.data() + begin, end - begin, up_chunk);
    }
    Activate(chunk, up_chunk, end - begin);
    if (!TakesInt8(expert.w_down)) continue;
    kernels.quantize_row(chunk, end - begin, act_q8.data() + r * blocks * kActivationBlock + begin,
                         act_scales.data() + r * blocks + begin / kActivationBlock);
  }
}

// gate = what the model makes of it and up.
void LocalExperts::Impl::Activate(float* gate, const float* up_row, int64_t n) const {
  switch (config.activation) {
    case Activation::kSilu:
      return kernels.silu_mul(gate, up_row, n, gate);
    case Activation::kGelu:
      return kernels.gelu_mul(gate, up_row, n, gate);
    case Activation::kClampedSilu:
      return kernels.clamped_silu_mul(gate, up_row, n, config.swiglu_alpha, config.swiglu_limit,
                                      gate);
  }
}

// y[r][begin..end) = W_down act[r] for the rows r of expert e.
void LocalExperts::Impl::DownChunk(const ExpertWeights& expert, const ExpertAssignment& assignment,
                                   int e, int64_t begin, int64_t end) {
  const int64_t first = assignment.row_begin[e];
  RowsView rows{.n_rows = assignment.row_begin[e + 1] - first, .cols = expert.w_down.cols()};
  if (TakesInt8(expert.w_down)) {
    rows.scale_stride = ActivationBlocks(stride);
    rows.q8_stride = rows.scale_stride * kActivationBlock;
    rows.q8 = act_q8.data() + first * rows.q8_stride;
    rows.scales = act_scales.data() + first * rows.scale_stride;
  } else {
    rows.f32_stride = stride;
    rows.f32 = act.data() + first * stride;
  }
  kernels.matmul(expert.w_down.view(), rows, begin, end, y.data() + first * config.hidden_dim,
                 config.hidden_dim);
  if (expert.down_bias.empty()) return;
  for (int64_t r = first; r < assignment.row_begin[e + 1]; ++r) {
    kernels.add(expert.down_bias.data() + begin, end - begin,
                y.data() + r * config.hidden_dim + begin);
  }
}

ExpertOutput LocalExperts::Impl::EncodeOutput(int n_results) {
  const int64_t hidden = config.hidden_dim;
  ExpertOutput out{.format = options.format, .n_rows = n_results, .hidden_dim = config.hidden_dim};
  if (options.format == RowFormat::kF32) {
    out.f32 = {y.data(), static_cast<size_t>(n_results * hidden)};
    return out;
  }
  y_f16.Resize(n_results * hidden);
  y_scale.Resize(n_results);
  pool->ParallelFor(n_results, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      kernels.encode_f16_row(y.data() + i * hidden, hidden, y_f16.data() + i * hidden,
                             y_scale.data() + i);
    }
  });
  out.f16 = {y_f16.data(), static_cast<size_t>(n_results * hidden)};
  out.row_scale = {y_scale.data(), static_cast<size_t>(n_results)};
  return out;
}

LocalExperts::LocalExperts(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalExperts::~LocalExperts() = default;

std::unique_ptr<LocalExperts> LocalExperts::Create(const ModelConfig& config,
                                                   const KernelTable& kernels, ThreadPool* pool,
                                                   Options options) {
  auto impl = std::make_unique<Impl>(config, kernels, pool, options);
  impl->row_scratch = Mat<float>(pool->n_threads(), config.hidden_dim);
  MutexLock lock(&impl->mu);
  impl->experts.resize(static_cast<size_t>(config.n_layers) * config.MaxExperts());
  return std::unique_ptr<LocalExperts>(new LocalExperts(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<LocalExperts>> LocalExperts::Load(
    const ModelConfig& config, const WeightSource& source, const ExpertSlice& slice,
    const KernelTable& kernels, ThreadPool* pool, Options options) {
  std::unique_ptr<LocalExperts> experts = Create(config, kernels, pool, options);
  Mutex mu;
  absl::Status status;
  const int64_t n = int64_t{config.n_layers} * config.MaxExperts();
  pool->ParallelFor(n, 1, [&](int64_t i, int64_t, int) {
    const int layer = static_cast<int>(i / config.MaxExperts());
    const int expert = static_cast<int>(i % config.MaxExperts());
    if (expert >= config.NumExperts(layer) || !slice.Contains(layer, expert)) return;
    auto weights = ReadExpert(config, source, layer, expert, kernels);
    if (weights.ok()) return experts->Insert(layer, expert, *std::move(weights));
    MutexLock lock(&mu);
    status.Update(weights.status());
  });
  SHOAL_RETURN_IF_ERROR(status);
  return experts;
}

// Takes hold of everything that the call computes with.
absl::Status LocalExperts::Impl::Hold(int layer, const ExpertAssignment& assignment) {
  MutexLock lock(&mu);
  for (const int32_t id : assignment.expert_ids) {
    std::shared_ptr<const ExpertWeights> weights =
        InRange(layer, id) ? experts[Index(layer, id)] : nullptr;
    if (weights == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("expert ", id, " of layer ", layer, " is not resident here"));
    }
    held.push_back(std::move(weights));
  }
  return absl::OkStatus();
}

void LocalExperts::Impl::ResizeBuffers(int n_results) {
  stride = 0;
  for (const auto& expert : held) stride = std::max(stride, expert->w_gate.rows());
  const int64_t blocks = ActivationBlocks(stride);
  act.Resize(n_results * stride);
  up.Resize(n_results * stride);
  act_q8.Resize(n_results * blocks * kActivationBlock);
  act_scales.Resize(n_results * blocks);
  y.Resize(int64_t{n_results} * config.hidden_dim);
}

absl::StatusOr<ExpertOutput> LocalExperts::Compute(int layer, const ExpertInput& input,
                                                   const ExpertAssignment& assignment) {
  return Compute(layer, input, assignment, [] { return false; });
}

absl::StatusOr<ExpertOutput> LocalExperts::Compute(int layer, const ExpertInput& input,
                                                   const ExpertAssignment& assignment,
                                                   absl::FunctionRef<bool()> give_up) {
  Impl& m = *impl_;
  if (absl::Status held = m.Hold(layer, assignment); !held.ok()) {
    m.held.clear();  // Not under the lock: giving back memory takes its time.
    return held;
  }
  const int n_results = assignment.n_results();
  m.ResizeBuffers(n_results);

  const RowsView x = ViewOf(input);
  RowsView x_int8 = x;
  if (input.format == RowFormat::kF32 && !m.options.activations_f32) {
    x_int8 = ViewOf(m.requantized.Encode(
        m.kernels, m.pool, RowFormat::kQuantized,
        MatView<const float>(input.f32.data(), input.n_rows, input.hidden_dim)));
  }
  std::atomic<bool> gave_up{false};
  const auto n_experts = static_cast<int64_t>(m.held.size());
  const auto for_chunks = [&](int64_t n, auto body) {
    const int64_t per_task = OutputsPerTask(n_results / std::max<int64_t>(n_experts, 1),
                                            n_experts * n, m.pool->n_threads());
    const int64_t n_chunks = (n + per_task - 1) / per_task;
    m.pool->ParallelFor(n_experts * n_chunks, 1, [&](int64_t task, int64_t, int) {
      if (gave_up.load(std::memory_order_relaxed)) return;
      if (give_up()) return gave_up.store(true, std::memory_order_relaxed);
      const int e = static_cast<int>(task / n_chunks);
      const int64_t begin = task % n_chunks * per_task;
      body(*m.held[e], e, begin, std::min(begin + per_task, n));
    });
  };
  for_chunks(m.stride, [&](const ExpertWeights& expert, int e, int64_t begin, int64_t end) {
    m.GateUpChunk(expert, x, x_int8, assignment, e, begin, end);
  });
  for_chunks(m.config.hidden_dim,
             [&](const ExpertWeights& expert, int e, int64_t begin, int64_t end) {
               m.DownChunk(expert, assignment, e, begin, end);
             });
  m.held.clear();
  if (gave_up.load()) return absl::CancelledError("the call was given up midway");
  m.rows_computed += n_results;
  return m.EncodeOutput(n_results);
}

ExpertCall LocalExperts::Start(int layer, MatView<const float> x, const Routing& routing,
                               const StepContext& /*step*/) {
  Impl& m = *impl_;
  m.routing = routing;
  AssignRows(routing, m.config.MaxExperts(), &m.assignment, &m.result_of);
  m.output =
      Compute(layer, m.encode_buffers.Encode(m.kernels, m.pool, m.options.format, x), m.assignment);
  return ExpertCall(m.next_call_id++);
}

RowStatuses LocalExperts::Finish(ExpertCall /*call*/, MatView<float> out) {
  Impl& m = *impl_;
  RowStatuses statuses;
  if (!m.output.ok()) {
    for (int t = 0; t < m.routing.n_tokens; ++t) statuses.Fail(t, m.output.status());
    return statuses;
  }
  m.pool->ParallelFor(m.routing.n_tokens, 1, [&](int64_t t, int64_t, int thread_idx) {
    for (int k = 0; k < m.routing.top_k; ++k) {
      const int64_t i = t * m.routing.top_k + k;
      AddWeightedRow(m.kernels, *m.output, m.result_of[i], m.routing.topk_weights[i],
                     m.row_scratch.row(thread_idx), out.row(t));
    }
  });
  return statuses;
}

void LocalExperts::Impl::Replace(int layer, int expert,
                                 std::shared_ptr<const ExpertWeights> weights) {
  const size_t i = Index(layer, expert);
  MutexLock lock(&mu);
  if (weights != nullptr) resident_bytes += weights->n_bytes();
  if (experts[i] != nullptr) resident_bytes -= experts[i]->n_bytes();
  experts[i].swap(weights);
  // What was there goes with `weights`, after the lock: giving back memory takes its time.
}

void LocalExperts::Insert(int layer, int expert, std::shared_ptr<const ExpertWeights> weights) {
  SHOAL_CHECK(weights != nullptr);
  impl_->Replace(layer, expert, std::move(weights));
}
void LocalExperts::Remove(int layer, int expert) { impl_->Replace(layer, expert, nullptr); }

bool LocalExperts::Resident(int layer, int expert) const {
  if (!impl_->InRange(layer, expert)) return false;
  MutexLock lock(&impl_->mu);
  return impl_->experts[impl_->Index(layer, expert)] != nullptr;
}
size_t LocalExperts::resident_bytes() const {
  MutexLock lock(&impl_->mu);
  return impl_->resident_bytes;
}
const KernelTable& LocalExperts::kernels() const { return impl_->kernels; }
uint64_t LocalExperts::rows_computed() const { return impl_->rows_computed; }
RowFormat LocalExperts::format() const { return impl_->options.format; }

namespace {

// Whether all matrices of an expert tensor are.
bool Quantized(const WeightSource& source, const TensorInfo& tensor, bool stack) {
  if (!stack) return Traits(tensor.dtype).quantized;
  for (int64_t i = 0; i < tensor.shape[0]; ++i) {
    if (!Traits(source.SliceOf(tensor, i).dtype).quantized) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<RowFormat> RowFormatOf(const ModelConfig& config, const WeightSource& source) {
  const Family* family = FindFamily(config.architecture);
  SHOAL_CHECK(family != nullptr);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (const TensorSpec& spec : family->tensors) {
      if (PlaceOf(spec) != TensorPlace::kExpert || spec.f32_only) continue;  // Biases are F32.
      if (!Applies(spec, config, layer)) continue;
      const std::string name = TensorName(spec, layer);
      const TensorInfo* tensor = source.Find(name);
      if (tensor == nullptr) return absl::NotFoundError(absl::StrCat("no tensor ", name));
      if (!Quantized(source, *tensor, IsExpertStack(spec))) return RowFormat::kF32;
    }
  }
  return RowFormat::kQuantized;
}

}  // namespace shoal
