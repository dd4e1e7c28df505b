#pragma once

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/model_config.h"

namespace shoal {

// What a tensor is for in the forward pass, whatever its file calls it.
enum class TensorRole : uint8_t {
  kTokenEmbd,
  kOutputNorm,
  kOutput,
  kAttnNorm,
  kAttnQ,
  kAttnK,
  kAttnV,
  kAttnOutput,
  kAttnQNorm,
  kAttnKNorm,
  kAttnQBias,
  kAttnKBias,
  kAttnVBias,
  kAttnOutputBias,
  kAttnSinks,
  kAttnPostNorm,  // Of attention's output, before it is added.
  kFfnNorm,
  kFfnPostNorm,
  kOutputNormBias,  // Biases of LayerNorms.
  kAttnNormBias,
  kFfnNormBias,
  kOutputBias,
  kRopeFreqs,  // Divisors of rope's frequencies: a file's way to say ModelConfig::rope_divisors.
  kRopeFactorsShort,  // The same of longrope, whose other list is ModelConfig::long_rope_divisors.
  kRopeFactorsLong,
  kFfnGate,  // The block of a dense layer.
  kFfnUp,
  kFfnDown,
  kFfnGateInp,   // The router: one row of scores' weights per expert.
  kFfnGateExps,  // Expert stacks: [n_experts, rows, cols].
  kFfnUpExps,
  kFfnDownExps,
  kFfnGateInpBias,
  kFfnGateExpsBias,  // Biases of the experts' matrices: [n_experts, rows].
  kFfnUpExpsBias,
  kFfnDownExpsBias,
  kSharedGateInp,  // What the shared expert's weight is the sigmoid of.
  kFfnGateShexp,   // The shared expert.
  kFfnUpShexp,
  kFfnDownShexp,
  kChoiceBias,  // What ModelConfig::choice_bias adds.
  kAttnQA,      // Latent attention: hidden to the queries' latent, its norm, that to the heads;
  kAttnQANorm,
  kAttnQB,
  kAttnKvA,  // hidden to the latent and the key's rotary part, the latent's norm;
  kAttnKvANorm,
  kAttnKB,   // [n_heads, kv_lora_rank, nope_dim], from a head's query to the latent,
  kAttnVB,   // [n_heads, v_head_dim, kv_lora_rank] and from the latent to its output;
  kAttnKvB,  // of each head, the columns of the first as rows, then the second, as older files have
             // them.
  kConvIn,   // Short convolution: hidden to B, C and x; a kernel per channel; back to hidden.
  kConv,
  kConvOut,
  kDeltaQkv,   // Gated delta rule: hidden to q, k, v, to the gate z,
  kDeltaGate,  // to b and a of each head, per key head the bs of its value heads, then their as;
  kDeltaBa,
  kDeltaConv,  // a kernel per channel of q, k, v;
  kDeltaA,     // what a head's decay is made of, -exp(A_log), and the bias of a;
  kDeltaDtBias,
  kDeltaNorm,
  kDeltaOut,
};

// A number of ModelConfig that a tensor's shape is made of.
enum class Extent : uint8_t {
  kNone,  // No such dimension.
  kVocab,
  kHidden,
  kQueries,  // n_heads * head_dim.
  kKeys,     // n_kv_heads * head_dim.
  kHeadDim,
  kGroupQueries,  // The rows of q whose heads share a kv head.
  kHeads,
  kExperts,
  kFfn,
  kDenseFfn,
  kSharedFfn,
  kRopePairs,
  kOne,
  kQLora,
  kKvLora,
  kNope,
  kVHead,
  kLatentQueries,     // n_heads * (nope_dim + rope_dim).
  kLatentOutputs,     // n_heads * v_head_dim.
  kLatentKeysValues,  // n_heads * (nope_dim + v_head_dim).
  kGatedQueries,      // Twice kQueries: of each head the query, then the gate.
  kConvChannels,      // Three times hidden_dim.
  kConvKernel,
  kDeltaChannels,  // Of q, k and v together.
  kDeltaHeads,     // delta_value_heads.
  kDeltaTwoPerHead,
  kDeltaValue,
  kDeltaValues,  // delta_value_heads * delta_value_dim.
  kDeltaKey,
  kDeltaGroupValues,  // Of the value heads that share a key head.
};

// Which shards a tensor lies in; kConfig: none, ModelConfig has what it says.
enum class TensorPlace : uint8_t { kConfig, kEmbedding, kTrunkLayer, kExpert, kOutput };

// One row of a family's table: a tensor, or one per layer.
struct TensorSpec {
  TensorRole role;
  std::string_view name;        // "#" stands for the layer.
  std::array<Extent, 3> shape;  // Outermost first, filled from the left.
  bool f32_only = false;        // Norms and routers: stored whole, never quantized.
  bool optional = false;        // May be absent; an output head then is the embedding.
  // Absent, its numbers are in the tensor of that role.
  std::optional<TensorRole> part_of = std::nullopt;
};

// A file's tensor that has the rows of several, one part behind the other.
struct FusedTensor {
  std::string_view name;  // "#" stands for the layer.
  std::span<const TensorRole> parts;
};

// How a tensor lies in the stored one that has it.
enum class StoredForm : uint8_t {
  kRows,
  kElements,        // Its segments are of elements, not of rows.
  kTransposed,      // Each matrix has its rows as columns, unless it is packed as MXFP4.
  kTransposedRows,  // The same of rows that are cut before: a segment's rows are columns here.
};

// What the stored numbers are.
enum class StoredAs : uint8_t {
  kItself,
  kLessOne,       // A norm's weights are 1 + w.
  kLogOfNegated,  // -exp(w).
};

// Parts of a period of rows; kNone ends the list.
using Segments = std::array<Extent, 4>;

// Where a Hugging Face checkpoint has the tensor of a role. Several rows of one role are one behind
// the other.
struct CheckpointName {
  TensorRole role;
  // "#" stands for the layer. With "@", for an expert's number, the checkpoint has the stack's
  // matrices one by one.
  std::string_view name;
  // Where several tensors are stored as one: its rows come in equal periods, each of which has
  // these segments one behind the other, and the tensor is the segment of that number in every
  // period.
  Segments segments = {};
  int segment = 0;
  StoredForm form = StoredForm::kRows;
  StoredAs stored_as = StoredAs::kItself;
};

// The one value that is computed, as error texts show it: "false", "'silu'", "1".
struct OnlyValue {
  std::string_view value;
};

// What a key of config.json is for where it is no number of ModelConfig as it stands.
enum class ConfigRule : uint8_t {
  kIgnored,          // Changes no answer.
  kDenseLayers,      // A list of dense layers.
  kSparseStep,       // Every n-th layer has routed experts, the others are dense.
  kSharedExperts,    // The shared expert is as wide as that many routed ones.
  kMoreLayers,       // That many layers behind the last are not used.
  kWindow,           // How far layers see that have a window,
  kWindowSwitch,     // whether any has,
  kWindowPeriod,     // of how many the last has none,
  kWindowStart,      // and the first that has one.
  kLocalTheta,       // The base of layers with a window.
  kLeadingDense,     // That many layers before the others are dense.
  kLastRouted,       // Layers behind that one are dense; -1: none.
  kMlpLayerTypes,    // A list that says which layers are 'dense'.
  kDeltaInterval,    // The last of every so many layers has attention, the others the delta rule.
  kHeadNorms,        // Whether q and k have norms.
  kTopkMethod,       // With 'greedy' there are no groups of experts.
  kAttentionScalar,  // Scores are divided by its root.
  kRoutedLayers,     // A list of the layers that have routed experts,
  kRopeLayers,       // and one that says of each layer whether it has rope;
  kNoRopePeriod,     // without that, the last of every so many layers has none.
  kChunk,            // Layers with rope see chunks of so many positions.
  kTemperature,      // Whether layers without rope have temperatures.
};

// Tensors that are there if the key is true, and not if it is false; absent, it is false.
struct HasTensors {
  std::span<const TensorRole> roles;
};

// A key of config.json.
struct ConfigKey {
  std::string_view key;
  std::variant<ConfigRule, OnlyValue, HasTensors, int ModelConfig::*, float ModelConfig::*,
               bool ModelConfig::*>
      says;
  // What an absent key stands for; without it, a number must be there.
  std::optional<double> absent = std::nullopt;
  std::string_view also = {};  // Another spelling of the key.
};

// A window_period that no layer ends.
inline constexpr int kEveryLayer = INT_MAX;

// A kind of Hugging Face checkpoint: config.json's model_type. Keys that all types have alike stand
// in model/import/checkpoint_config.cc; a key that neither names is refused.
struct CheckpointType {
  std::string_view model_type;
  // The model_type of the models that this one is the text part of, as config.json's text_config,
  // beside parts that see or hear; empty: there are none.
  std::string_view text_of = {};
  RopePairing rope_pairing = RopePairing::kHalf;  // As its rows of q and k are stored.
  double rope_theta = 10000;                      // Where no key says another.
  int context_length = 0;                         // The same; 0: a key must say it.
  bool rope_alpha = false;     // Rope scaling of type dynamic may have alpha, a factor of the base.
  bool rope_mscales = false;   // Longrope has the magnitude as short_mscale and long_mscale.
  bool rope_required = false;  // Absent, rope would be scaled nevertheless.
  // The share of each head that turns where no key says another; 0: all, and none may.
  double partial_rotary = 0;
  int window_period = 0;  // Instead of the family's, where not 0.
  Gating gating = Gating::kSoftmax;
  std::string_view unused_tensors = {};  // Beginning of the names of tensors that are not used.
  std::span<const CheckpointName> tensors;
  std::span<const ConfigKey> keys = {};
};

// One architecture: what it implies without saying so in the file, and the tensors it has.
struct Family {
  std::string_view architecture;  // As general.architecture spells it.
  RopePairing rope_pairing;
  QkNorm qk_norm = QkNorm::kNone;
  bool norm_topk_prob = false;   // Chosen experts' weights are divided by their sum.
  bool optional_shared = false;  // Some models of the family have no shared expert.
  // Layer i has the file's window unless i + 1 is a multiple of this; 0: no layer has.
  int window_period = 0;
  // Layers have the chunk where no key says another; but each whose i + 1 is a multiple of
  // no_rope_period has neither rope nor chunks. 0: all have rope, and there are no chunks.
  int no_rope_period = 0;
  int chunk = 0;
  bool optional_rope = false;  // A file may say that no layer has rope.
  int temperature_floor = 0;
  float temperature_scale = 0;
  bool weighted_inputs = false;
  int n_experts_without_qk_norm = 0;  // The one model with so many experts has no norms of q and k.
  double local_rope_theta = 0;  // Of layers with a window, where they have angles of their own.
  bool yarn_truncates = true;   // YarnScaling::truncate.
  // What YaRN makes larger are scores, by the square of its magnitude, not cosines and sines.
  bool yarn_scales_scores = false;
  NormKind norm = NormKind::kRms;
  Activation activation = Activation::kSilu;
  float swiglu_alpha = 0;
  float swiglu_limit = 0;
  Gating gating = Gating::kSoftmax;  // Where a file does not say.
  float router_jitter = 0;
  float topk_norm_floor = 0;
  bool scaled_embeddings = false;  // Embeddings are multiplied by sqrt(hidden_dim).
  // The one model with that many layers has scores divided by sqrt(hidden_dim / n_heads).
  int n_layers_scaled_by_width = 0;
  std::span<const TensorSpec> tensors;
  std::span<const FusedTensor> fused = {};
  std::span<const CheckpointType> checkpoints = {};
};

// One table of several.
template <typename Row, size_t... kSizes>
constexpr auto Join(const std::array<Row, kSizes>&... parts) {
  std::array<Row, (kSizes + ...)> all{};
  size_t n = 0;
  const auto append = [&](const auto& part) {
    for (const Row& row : part) all[n++] = row;
  };
  (append(parts), ...);
  return all;
}

// Every architecture this runtime computes. A new one is a new table in this folder.
std::span<const Family* const> AllFamilies();

// The family of that name, or null.
const Family* FindFamily(std::string_view architecture);

// What a model of the family is before any file says more.
ModelConfig ImpliedConfig(const Family& family);

// "qwen3moe, ...": what FindFamily knows, for error texts.
std::string SupportedArchitectures();

// The checkpoint of that model_type, with its family; nulls if there is none.
struct FamilyCheckpoint {
  const Family* family = nullptr;
  const CheckpointType* type = nullptr;
};
FamilyCheckpoint FindCheckpoint(std::string_view model_type);
// The type that is the text part of models of that type; nulls if there is none.
FamilyCheckpoint FindTextOf(std::string_view model_type);

// "qwen3_moe, ...": what FindCheckpoint and FindTextOf know.
std::string SupportedCheckpoints();

// The row of `role`, or null if the family has no such tensor.
const TensorSpec* FindSpec(const Family& family, TensorRole role);

// True if there is one such tensor per layer.
bool IsPerLayer(const TensorSpec& spec);

// True if a model with these numbers has the tensor in `layer`, which counts for per-layer tensors
// only: experts of dense layers, of others and shared ones each have their own.
bool Applies(const TensorSpec& spec, const ModelConfig& config, int layer);

TensorPlace PlaceOf(const TensorSpec& spec);

// True if it is a stack of the routed experts' matrices, [n_experts, rows, cols], or of their
// biases.
bool IsExpertStack(const TensorSpec& spec);

// The roles of one expert's gate, up and down matrices.
std::array<TensorRole, 3> ExpertRoles(const ModelConfig& config, int layer, int expert);
// Those of the biases of a routed expert's, in some families.
inline constexpr std::array kExpertBiasRoles = {
    TensorRole::kFfnGateExpsBias, TensorRole::kFfnUpExpsBias, TensorRole::kFfnDownExpsBias};

// True if expert `expert` of `layer` has its matrix or bias, or a slice of the stack, in such a
// tensor.
bool HoldsExpert(const TensorSpec& spec, const ModelConfig& config, int layer, int expert);

// The tensor's name in a file. `layer` counts for per-layer tensors only.
std::string TensorName(const TensorSpec& spec, int layer);
std::string TensorName(std::string_view pattern, int layer);
// The same by role; the family must have that role.
std::string TensorName(const Family& family, TensorRole role, int layer = 0);

// Where the type has the tensor of that role, or null if it has none.
const CheckpointName* FindName(const CheckpointType& type, TensorRole role);
// The tensor's name in a checkpoint. `expert` counts where there is one tensor per expert.
std::string TensorName(const CheckpointName& name, int layer, int expert);
// True if there is.
bool HasTensorPerExpert(const CheckpointName& name);

// The number that an extent is.
int64_t ExtentOf(Extent extent, const ModelConfig& config);

// The shape that `config` requires, outermost first.
std::vector<int64_t> TensorShape(const TensorSpec& spec, const ModelConfig& config);

}  // namespace shoal
