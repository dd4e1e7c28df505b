#include "engine/engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "engine/activations.h"
#include "engine/layer.h"
#include "engine/norm.h"
#include "kernels/rope.h"

namespace shoal {
namespace {

// Rows of one attention task: enough to share a key tile, few enough to spread over threads.
constexpr int kAttendRows = 16;

// What each pair turns by from one position to the next; nothing for a base of 0.
std::vector<double> Frequencies(double theta, int rope_dim, const std::vector<float>& divisors) {
  if (theta == 0) return {};
  std::vector<double> frequencies = RopeFrequencies(theta, rope_dim);
  for (size_t i = 0; i < divisors.size(); ++i) frequencies[i] /= static_cast<double>(divisors[i]);
  return frequencies;
}

}  // namespace

struct Engine::Impl {
  EngineContext context;
  PackedMatrix token_embd;  // [vocab_size, hidden_dim]
  PackedMatrix output;      // [vocab_size, hidden_dim], empty when tied
  Norm output_norm;
  std::vector<float> output_bias;  // [vocab_size], empty without
  std::vector<Layer> layers;
  // [rope_dim / 2] each; the first two differ where the model has two lists of divisors.
  std::vector<double> short_frequencies;
  std::vector<double> long_frequencies;
  std::vector<double> local_frequencies;
  Activations activations;
  int max_step_tokens;
  StepObserver* observer = nullptr;

  Impl(EngineContext context_, int max_step_tokens_)
      : context(std::move(context_)),
        short_frequencies(Frequencies(context.config.rope_theta, context.config.rope_dim,
                                      context.config.rope_divisors)),
        long_frequencies(Frequencies(context.config.rope_theta, context.config.rope_dim,
                                     context.config.long_rope_divisors)),
        local_frequencies(
            Frequencies(context.config.local_rope_theta, context.config.rope_dim, {})),
        activations(context.config, context.slice, max_step_tokens_),
        max_step_tokens(max_step_tokens_) {}

  const PackedMatrix& output_head() const { return output.empty() ? token_embd : output; }
  absl::Status LoadTrunk(const Family& family, const WeightSource& source);
  void Embed(std::span<StepSequence> sequences);
  void Turn(const KvSequence& sequence, int64_t pos, int t);
  void Logits(std::span<const StepSequence> sequences, MatView<float> logits);
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const ModelConfig& config,
                                                       const WeightSource& source,
                                                       const ModelSlice& slice,
                                                       const KernelTable& kernels, ThreadPool* pool,
                                                       ExpertExecutor* experts, Exchange* exchange,
                                                       KvCache* kv_cache, Options options) {
  if (options.max_step_tokens < 1 || options.max_step_tokens > kMaxStepTokens) {
    return absl::InvalidArgumentError(absl::StrCat("max_step_tokens=", options.max_step_tokens,
                                                   " not in [1, ", kMaxStepTokens, "]"));
  }
  const Family* family = FindFamily(config.architecture);
  SHOAL_CHECK(family != nullptr);  // ReadModelConfig refuses others.
  auto impl = std::make_unique<Impl>(EngineContext{.config = config,
                                                   .slice = slice,
                                                   .kernels = kernels,
                                                   .pool = pool,
                                                   .experts = experts,
                                                   .exchange = exchange,
                                                   .kv_cache = kv_cache,
                                                   .activations_f32 = options.activations_f32},
                                     options.max_step_tokens);

  SHOAL_RETURN_IF_ERROR(impl->LoadTrunk(*family, source));
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

// Part by part in parallel: the embedding, the output head, each layer.
absl::Status Engine::Impl::LoadTrunk(const Family& family, const WeightSource& source) {
  const IndexRange slice = context.slice.layers;
  MatrixLoader loader(source, context.kernels, context.pool->n_threads());
  std::vector<std::optional<Layer>> loaded(slice.end - slice.begin);
  std::vector<absl::Status> statuses(loaded.size() + 2);
  const auto load = [&](int64_t part, int thread_idx) -> absl::Status {
    if (part == 0) {
      SHOAL_ASSIGN_OR_RETURN(
          token_embd, loader.LoadMatrix(TensorName(family, TensorRole::kTokenEmbd), thread_idx));
    } else if (part == 1) {
      SHOAL_ASSIGN_OR_RETURN(output_norm,
                             Norm::Load(context, family, TensorRole::kOutputNorm,
                                        TensorRole::kOutputNormBias, /*layer=*/0, &loader));
      SHOAL_ASSIGN_OR_RETURN(output_bias,
                             loader.LoadRole(context.config, family, TensorRole::kOutputBias, 0));
      if (context.config.tied_embeddings) return absl::OkStatus();
      SHOAL_ASSIGN_OR_RETURN(
          output, loader.LoadMatrix(TensorName(family, TensorRole::kOutput), thread_idx));
    } else {
      SHOAL_ASSIGN_OR_RETURN(loaded[part - 2],
                             Layer::Load(context, family, slice.begin + static_cast<int>(part) - 2,
                                         &loader, thread_idx));
    }
    return absl::OkStatus();
  };
  context.pool->ParallelFor(
      static_cast<int64_t>(statuses.size()), 1,
      [&](int64_t part, int64_t, int thread_idx) { statuses[part] = load(part, thread_idx); });
  for (const absl::Status& status : statuses) SHOAL_RETURN_IF_ERROR(status);
  for (std::optional<Layer>& layer : loaded) layers.push_back(*std::move(layer));
  return absl::OkStatus();
}

// The angles of row t. Which list of divisors counts is known at admission, and the same for all of
// a sequence's positions.
void Engine::Impl::Turn(const KvSequence& sequence, int64_t pos, int t) {
  Activations& a = activations;
  const ModelConfig& config = context.config;
  const bool is_long = !config.long_rope_divisors.empty() &&
                       sequence.n_positions_max() > config.rope_original_context;
  RopeAngles(pos, is_long ? long_frequencies : short_frequencies, a.rope.cos.row(t),
             a.rope.sin.row(t), config.rope_magnitude);
  if (local_frequencies.empty()) return;
  RopeAngles(pos, local_frequencies, a.local_rope.cos.row(t), a.local_rope.sin.row(t));
}

// Lays the sequences' rows out one after another: positions, rope angles, embeddings.
void Engine::Impl::Embed(std::span<StepSequence> sequences) {
  Activations& a = activations;
  a.rows.clear();
  a.chunks.clear();
  a.sequences.clear();
  for (StepSequence& sequence : sequences) {
    const int first = static_cast<int>(a.rows.size());
    const int n = static_cast<int>(sequence.token_ids.size());
    const int64_t length = sequence.kv->length();
    SHOAL_CHECK_LE(first + n, max_step_tokens);
    SHOAL_CHECK_LE(length + n, sequence.kv->capacity());
    sequence.status = absl::OkStatus();
    sequence.kv->MarkWritten(length + n);
    for (int i = 0; i < n; ++i) {
      SHOAL_CHECK(sequence.token_ids[i] >= 0 && sequence.token_ids[i] < context.config.vocab_size);
      const int t = first + i;
      a.rows.push_back({sequence.kv, length + i});
      Turn(*sequence.kv, length + i, t);
      context.kernels.unpack_row(token_embd.view(), sequence.token_ids[i], a.hidden.row(t));
      const float scale = context.config.embedding_scale;
      if (scale == 1) continue;
      for (int64_t d = 0; d < a.hidden.cols(); ++d) a.hidden.row(t)[d] *= scale;
    }
    a.sequences.push_back({first, first + n});
    for (int begin = first; begin < first + n; begin += kAttendRows) {
      a.chunks.push_back({begin, std::min(begin + kAttendRows, first + n)});
    }
  }
  a.n_tokens = static_cast<int>(a.rows.size());
}

// Final norm and output head for the rows that need logits, gathered at the front.
void Engine::Impl::Logits(std::span<const StepSequence> sequences, MatView<float> logits) {
  Activations& a = activations;
  int64_t n_logits = 0;
  int end = 0;
  for (const StepSequence& sequence : sequences) {
    end += static_cast<int>(sequence.token_ids.size());
    for (int t = end - sequence.n_logits; t < end; ++t) {
      // A row only moves towards the front, so that none is overwritten before it is read.
      output_norm.Apply(context, a.hidden.row(t), a.normed.row(n_logits++));
    }
  }
  if (n_logits == 0) return;
  SHOAL_CHECK_LE(n_logits, logits.rows);
  a.product_input.Set(context.kernels, context.pool, a.normed.Rows(n_logits),
                      context.TakesInt8(output_head()));
  MatMul(context.kernels, context.pool, a.product_input,
         {{&output_head(), logits.Rows(0, n_logits)}});
  for (int64_t t = 0; t < n_logits && !output_bias.empty(); ++t) {
    context.kernels.add(output_bias.data(), logits.cols, logits.row(t));
  }
  if (context.config.logit_divisor == 1) return;
  for (int64_t t = 0; t < n_logits; ++t) {
    for (int64_t v = 0; v < logits.cols; ++v) logits.row(t)[v] /= context.config.logit_divisor;
  }
}

void Engine::Step(std::span<StepSequence> sequences, const StepContext& step,
                  MatView<float> logits) {
  Impl& m = *impl_;
  const auto part_done = [&m](StepPart part) {
    if (m.observer != nullptr) m.observer->OnPartDone(part);
  };
  m.Embed(sequences);
  part_done(StepPart::kEmbed);
  const auto observe_hidden = [&](int layer) {
    if (m.observer == nullptr) return;
    m.observer->OnHidden(layer, m.activations.hidden.Rows(m.activations.n_tokens));
  };
  for (size_t i = 0; i < m.layers.size(); ++i) {
    observe_hidden(static_cast<int>(i));
    if (step.cancelled != nullptr && step.cancelled->load(std::memory_order_relaxed)) {
      for (StepSequence& sequence : sequences) {
        sequence.status = absl::CancelledError("step cancelled");
      }
      return;
    }
    const RowStatuses statuses = m.layers[i].Forward(m.context, step, m.observer, &m.activations);
    if (statuses.ok()) continue;
    int t = 0;
    bool any_left = false;
    for (StepSequence& sequence : sequences) {
      for (size_t row = 0; row < sequence.token_ids.size(); ++row) {
        sequence.status.Update(statuses.row(t++));
      }
      any_left |= sequence.status.ok();
    }
    if (!any_left) return;
  }
  observe_hidden(static_cast<int>(m.layers.size()));
  m.Logits(sequences, logits);
  part_done(StepPart::kHead);
  for (StepSequence& sequence : sequences) {
    if (sequence.status.ok()) sequence.kv->Advance(sequence.token_ids.size());
  }
}

const ModelConfig& Engine::config() const { return impl_->context.config; }

size_t Engine::trunk_bytes() const {
  size_t n = impl_->token_embd.n_bytes() + impl_->output.n_bytes();
  for (const Layer& layer : impl_->layers) n += layer.n_bytes();
  return n;
}

void Engine::set_observer(StepObserver* observer) { impl_->observer = observer; }

}  // namespace shoal
