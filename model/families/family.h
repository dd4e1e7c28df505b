#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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
  kFfnNorm,
  kRopeFreqs,  // Divisors of rope's frequencies: a file's way to say ModelConfig::rope_divisors.
  kFfnGate,    // The block of a dense layer.
  kFfnUp,
  kFfnDown,
  kFfnGateInp,   // The router: one row of scores' weights per expert.
  kFfnGateExps,  // Expert stacks: [n_experts, rows, cols].
  kFfnUpExps,
  kFfnDownExps,
  kSharedGateInp,  // What the shared expert's weight is the sigmoid of.
  kFfnGateShexp,   // The shared expert.
  kFfnUpShexp,
  kFfnDownShexp,
};

// A number of ModelConfig that a tensor's shape is made of.
enum class Extent : uint8_t {
  kNone,  // No such dimension.
  kVocab,
  kHidden,
  kQueries,  // n_heads * head_dim.
  kKeys,     // n_kv_heads * head_dim.
  kHeadDim,
  kExperts,
  kFfn,
  kDenseFfn,
  kSharedFfn,
  kRopePairs,
  kOne,
};

// Which shards a tensor lies in; kConfig: none, ModelConfig has what it says.
enum class TensorPlace : uint8_t { kConfig, kEmbedding, kTrunkLayer, kExpert, kOutput };

// One row of a family's table: a tensor, or one per layer.
struct TensorSpec {
  TensorRole role;
  std::string_view name;        // "#" stands for the layer.
  std::array<Extent, 3> shape;  // Outermost first, filled from the left.
  bool f32_only = false;        // Norms and routers: stored whole, never quantized.
  bool optional = false;        // May be absent: an output head then is the embedding.
};

// Where a Hugging Face checkpoint has the tensor of a role.
struct CheckpointName {
  TensorRole role;
  // "#" stands for the layer. With "@", for an expert's number, the checkpoint has the stack's
  // matrices one by one.
  std::string_view name;
};

// One architecture: what it implies without saying so in the file, and the tensors it has.
struct Family {
  std::string_view architecture;  // As general.architecture spells it.
  RopePairing rope_pairing;
  QkNorm qk_norm = QkNorm::kNone;
  bool norm_topk_prob = false;   // Chosen experts' weights are divided by their sum.
  bool optional_shared = false;  // Some models of the family have no shared expert.
  std::span<const TensorSpec> tensors;
  std::string_view checkpoint_type = {};  // As config.json spells it; empty: from GGUF only.
  std::span<const CheckpointName> checkpoint_names = {};
};

// Every architecture this runtime computes. A new one is a new table in this folder.
std::span<const Family* const> AllFamilies();

// The family of that name, or null.
const Family* FindFamily(std::string_view architecture);

// "qwen3moe, ...": what FindFamily knows, for error texts.
std::string SupportedArchitectures();

// The same for Hugging Face checkpoints, by model_type.
const Family* FindCheckpointFamily(std::string_view model_type);
std::string SupportedCheckpoints();

// The row of `role`, or null if the family has no such tensor.
const TensorSpec* FindSpec(const Family& family, TensorRole role);

// True if there is one such tensor per layer.
bool IsPerLayer(const TensorSpec& spec);

// True if a model with these numbers has the tensor in `layer`, which counts for per-layer tensors
// only: experts of dense layers, of others and shared ones each have their own.
bool Applies(const TensorSpec& spec, const ModelConfig& config, int layer);

TensorPlace PlaceOf(const TensorSpec& spec);

// True if it is a stack of the routed experts' matrices: [n_experts, rows, cols].
bool IsExpertStack(const TensorSpec& spec);

// The roles of one expert's gate, up and down matrices.
std::array<TensorRole, 3> ExpertRoles(const ModelConfig& config, int layer, int expert);

// True if expert `expert` of `layer` has its matrix, or a slice of the stack, in such a tensor.
bool HoldsExpert(const TensorSpec& spec, const ModelConfig& config, int layer, int expert);

// The tensor's name in a file. `layer` counts for per-layer tensors only.
std::string TensorName(const TensorSpec& spec, int layer);
// The same by role; the family must have that role.
std::string TensorName(const Family& family, TensorRole role, int layer = 0);

// The tensor's name in a checkpoint; the family must name that role. `expert` counts where the
// checkpoint has one tensor per expert.
std::string CheckpointTensorName(const Family& family, TensorRole role, int layer, int expert);
// True if it has.
bool HasTensorPerExpert(const Family& family, TensorRole role);

// The shape that `config` requires, outermost first.
std::vector<int64_t> TensorShape(const TensorSpec& spec, const ModelConfig& config);

}  // namespace shoal
