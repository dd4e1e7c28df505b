#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::With(tensors::kDecoder, tensors::kFfnNormAfterAttention),
         tensors::Optional(tensors::kHeadNorms), tensors::Optional(tensors::kQkvBiases),
         tensors::kDense, tensors::kRouted, tensors::kChoiceBiases, tensors::kShared);

constexpr auto kNames =
    Join(checkpoint::kDecoder, checkpoint::kQkNorms, checkpoint::kQkvBiases, checkpoint::kDense,
         checkpoint::kRouted, checkpoint::kCorrectionBias, checkpoint::kSharedExperts);
constexpr TensorRole kBiases[] = {TensorRole::kAttnQBias, TensorRole::kAttnKBias,
                                  TensorRole::kAttnVBias};
constexpr auto kKeys =
    Join(checkpoint::kKvHeadsKeys, checkpoint::kDeepSeekRoutedKeys, checkpoint::kSigmoidRoutingKeys,
         std::array{ConfigKey{"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
                    ConfigKey{"first_k_dense_replace", ConfigRule::kLeadingDense, 1},
                    ConfigKey{"routed_scaling_factor", &ModelConfig::routed_scale, 1},
                    ConfigKey{"attention_bias", HasTensors{kBiases}},
                    ConfigKey{"use_qk_norm", ConfigRule::kHeadNorms}});
constexpr CheckpointType kCheckpoints[] = {{.model_type = "glm4_moe",
                                            .partial_rotary = 0.5,
                                            .gating = Gating::kSigmoid,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// GLM-4.5-MoE: DeepSeek-V3's routing; norms of heads and biases in some models only.
constinit const Family kGlm4Moe = {
    .architecture = "glm4moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .gating = Gating::kSigmoid,
    .topk_norm_floor = 1e-20F,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
