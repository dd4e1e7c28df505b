#include "model/import/gguf_model.h"

#include <algorithm>
#include <climits>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"

namespace shoal {
namespace {

constexpr char kRemake[] = "; convert the model again";

struct CountKey {
  std::string_view key;  // After "<architecture>.".
  int ModelConfig::*field;
};
constexpr CountKey kCountKeys[] = {
    {"block_count", &ModelConfig::n_layers},
    {"embedding_length", &ModelConfig::hidden_dim},
    {"attention.head_count", &ModelConfig::n_heads},
    {"attention.head_count_kv", &ModelConfig::n_kv_heads},
    {"attention.key_length", &ModelConfig::head_dim},
    {"expert_count", &ModelConfig::n_experts},
    {"expert_used_count", &ModelConfig::top_k},
    {"expert_feed_forward_length", &ModelConfig::ffn_dim},
};

// Counts that would change the forward pass into one that we do not compute unless they say this.
struct NeutralCount {
  std::string_view key;
  uint64_t neutral;
};
constexpr NeutralCount kNeutralCounts[] = {
    {"expert_shared_count", 0},
    {"leading_dense_block_count", 0},
    {"attention.sliding_window", 0},
};

// Reads one architecture's keys and checks one file's tensors against them.
class ConfigReader {
 public:
  ConfigReader(const GgufReader& file, const Family& family) : file_(file), family_(family) {}

  absl::StatusOr<ModelConfig> Read() {
    config_.architecture = std::string(family_.architecture);
    config_.rope_pairing = family_.rope_pairing;
    config_.head_norm = family_.head_norm;
    config_.norm_topk_prob = family_.norm_topk_prob;
    if (file_.Has("general.name")) {
      SHOAL_ASSIGN_OR_RETURN(config_.name, file_.GetString("general.name"));
    }
    SHOAL_RETURN_IF_ERROR(ReadNumbers());
    SHOAL_RETURN_IF_ERROR(RefuseUncomputed());
    SHOAL_RETURN_IF_ERROR(ReadVocabSize());
    if (absl::Status s = ValidateConfig(config_); !s.ok()) return Refuse(s.message());
    SHOAL_RETURN_IF_ERROR(CheckTensors());
    return std::move(config_);
  }

 private:
  absl::Status Refuse(absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", message, kRemake));
  }

  std::string Key(std::string_view name) const {
    return absl::StrCat(std::string(family_.architecture), ".", std::string(name));
  }

  absl::StatusOr<int> ReadCount(std::string_view name) const {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(Key(name)));
    if (value <= INT_MAX) return static_cast<int>(value);
    return Refuse(
        absl::StrCat("key ", Quoted(Key(name)), " is ", value, ", above the limit of ", INT_MAX));
  }

  absl::Status ReadNumbers() {
    for (const CountKey& count : kCountKeys) {
      SHOAL_ASSIGN_OR_RETURN(config_.*count.field, ReadCount(count.key));
    }
    SHOAL_ASSIGN_OR_RETURN(config_.context_length, ReadCount("context_length"));
    SHOAL_ASSIGN_OR_RETURN(config_.rope_theta, file_.GetFloat(Key("rope.freq_base")));
    SHOAL_ASSIGN_OR_RETURN(const double eps,
                           file_.GetFloat(Key("attention.layer_norm_rms_epsilon")));
    config_.rms_norm_eps = static_cast<float>(eps);
    return absl::OkStatus();
  }

  // A key that asks for arithmetic we lack is an error: better no answer than a wrong one.
  absl::Status RefuseUncomputed() const {
    for (const NeutralCount& count : kNeutralCounts) {
      SHOAL_RETURN_IF_ERROR(RequireCount(count.key, count.neutral));
    }
    SHOAL_RETURN_IF_ERROR(
        RequireCount("attention.value_length", static_cast<uint64_t>(config_.head_dim)));
    SHOAL_RETURN_IF_ERROR(
        RequireCount("rope.dimension_count", static_cast<uint64_t>(config_.head_dim)));
    const std::string scaling = Key("rope.scaling.type");
    if (!file_.Has(scaling)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const std::string type, file_.GetString(scaling));
    if (type == "none") return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(file_.path(), ": key ", Quoted(scaling), " is ", Quoted(type),
                     ", which is not computed; use a model converted without rope scaling"));
  }

  absl::Status RequireCount(std::string_view name, uint64_t wanted) const {
    if (!file_.Has(Key(name))) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(Key(name)));
    if (value == wanted) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": key ", Quoted(Key(name)),
                                                   " is ", value, "; only ", wanted,
                                                   " is computed here: use another model"));
  }

  absl::Status Missing(const std::string& name) const {
    return Refuse(absl::StrCat("tensor '", name, "' is missing; architecture ",
                               std::string(family_.architecture), " needs it"));
  }

  absl::Status ReadVocabSize() {
    const std::string name = TensorName(family_, TensorRole::kTokenEmbd);
    const TensorInfo* embedding = file_.Find(name);
    if (embedding == nullptr) return Missing(name);
    config_.vocab_size = static_cast<int>(std::min<int64_t>(embedding->shape.front(), INT_MAX));
    constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
    if (!file_.Has(kTokens)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n_tokens, file_.ArrayLength(kTokens));
    if (n_tokens == static_cast<uint64_t>(embedding->shape.front())) return absl::OkStatus();
    return Refuse(absl::StrCat("key '", std::string(kTokens), "' has ", n_tokens,
                               " elements, but tensor '", name, "' has ", embedding->shape.front(),
                               " rows"));
  }

  absl::Status CheckTensors() {
    std::vector<std::string> known;
    for (const TensorSpec& spec : family_.tensors) {
      const int n = IsPerLayer(spec) ? config_.n_layers : 1;
      for (int layer = 0; layer < n; ++layer) {
        std::string name = TensorName(spec, layer);
        SHOAL_RETURN_IF_ERROR(CheckTensor(spec, name));
        known.push_back(std::move(name));
      }
    }
    std::sort(known.begin(), known.end());
    for (const TensorInfo& tensor : file_.tensors()) {
      if (std::binary_search(known.begin(), known.end(), tensor.name)) continue;
      return Refuse(absl::StrCat("tensor ", Quoted(tensor.name), " is no part of architecture ",
                                 std::string(family_.architecture), " with ", config_.n_layers,
                                 " layers"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckTensor(const TensorSpec& spec, const std::string& name) {
    const TensorInfo* tensor = file_.Find(name);
    if (tensor == nullptr) {
      if (!spec.optional) return Missing(name);
      config_.tied_embeddings = config_.tied_embeddings || spec.role == TensorRole::kOutput;
      return absl::OkStatus();
    }
    const std::vector<int64_t> shape = TensorShape(spec, config_);
    if (tensor->shape != shape) {
      return Refuse(absl::StrCat("tensor '", name, "' has shape [",
                                 absl::StrJoin(tensor->shape, ", "), "], not [",
                                 absl::StrJoin(shape, ", "), "] (outermost first)"));
    }
    if (!spec.f32_only) return absl::OkStatus();
    if (tensor->dtype != DType::kF32) {
      return Refuse(absl::StrCat("tensor '", name, "' has type ",
                                 std::string(Traits(tensor->dtype).name), ", not F32"));
    }
    return CheckFinite(file_, *tensor);
  }

  const GgufReader& file_;
  const Family& family_;
  ModelConfig config_;
};

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const GgufReader& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string architecture, file.GetString("general.architecture"));
  const Family* family = FindFamily(architecture);
  if (family == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(), ": architecture ", Quoted(architecture),
                     " is not supported; use a model of one of these: ", SupportedArchitectures()));
  }
  return ConfigReader(file, *family).Read();
}

absl::StatusOr<std::string> ReadChatTemplate(const GgufReader& file) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  if (!file.Has(kTemplate)) return std::string();
  return file.GetString(kTemplate);
}

std::string ModelSlug(std::string_view text) {
  constexpr size_t kMaxBytes = 64;
  std::string slug;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool kept = letter || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (kept) {
      slug += letter ? static_cast<char>(c | 0x20) : c;
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
    if (slug.size() == kMaxBytes) break;
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug.empty() ? "model" : slug;
}

std::string ModelName(const GgufReader& file) {
  if (const auto name = file.GetString("general.name"); name.ok()) {
    if (std::string slug = ModelSlug(*name); slug != "model") return slug;
  }
  return ModelSlug(std::filesystem::path(file.path()).stem().string());
}

}  // namespace shoal
