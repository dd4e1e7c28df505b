#include "model/expert_heat.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

constexpr char kFormat[] = "shoal-heat";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxTokens = int64_t{1} << 50;  // Sums stay exact in a double.

absl::Status Refuse(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("heat: ", what, "; make it with `shoal heat`"));
}

absl::StatusOr<int64_t> Integer(const Json& json, const char* field, int64_t low, int64_t high) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_number_integer()) {
    return Refuse(absl::StrCat(field, " is no integer"));
  }
  const bool huge = found->is_number_unsigned() && found->get<uint64_t>() > INT64_MAX;
  const int64_t value = huge ? INT64_MAX : found->get<int64_t>();
  if (value < low || value > high) {
    return Refuse(absl::StrCat(field, "=", value, " is not in [", low, ", ", high, "]"));
  }
  return value;
}

absl::StatusOr<std::vector<ExpertHeat::Expert>> Layer(const Json& json, size_t layer,
                                                      const ExpertHeat& heat) {
  const auto refuse = [layer](const std::string& what) {
    return Refuse(absl::StrCat("layer ", layer, ": ", what));
  };
  if (!json.is_object()) return refuse("is no object");
  const auto rows = json.find("rows");
  const auto weight = json.find("weight");
  if (rows == json.end() || !rows->is_array() || weight == json.end() || !weight->is_array()) {
    return refuse("rows and weight are not both arrays");
  }
  if (rows->size() != weight->size() ||
      (!rows->empty() && rows->size() != static_cast<size_t>(heat.n_experts))) {
    return refuse(absl::StrCat("has ", rows->size(), " rows and ", weight->size(),
                               " weights, for n_experts=", heat.n_experts));
  }
  std::vector<ExpertHeat::Expert> experts;
  for (size_t e = 0; e < rows->size(); ++e) {
    const Json& n = (*rows)[e];
    const Json& w = (*weight)[e];
    if (!n.is_number_unsigned() || n.get<uint64_t>() > static_cast<uint64_t>(heat.n_tokens)) {
      return refuse(
          absl::StrCat("expert ", e, ": rows is not in [0, n_tokens=", heat.n_tokens, "]"));
    }
    if (!w.is_number() || !std::isfinite(w.get<double>()) || w.get<double>() < 0.0) {
      return refuse(absl::StrCat("expert ", e, ": weight is no number of at least 0"));
    }
    experts.push_back({.rows = n.get<uint64_t>(), .weight = w.get<double>()});
  }
  return experts;
}

}  // namespace

std::vector<bool> ExpertHeat::Hot(int layer, double share) const {
  const std::vector<Expert>& experts = layers[static_cast<size_t>(layer)];
  std::vector<size_t> order(experts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&experts](size_t a, size_t b) {
    return experts[a].weight > experts[b].weight;
  });
  double all = 0.0;
  for (const Expert& expert : experts) all += expert.weight;
  std::vector<bool> hot(experts.size());
  double sum = 0.0;
  for (const size_t e : order) {
    if (sum >= share * all) break;
    hot[e] = true;
    sum += experts[e].weight;
  }
  return hot;
}

std::string EncodeHeat(const ExpertHeat& heat) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"version", kVersion},
                                 {"model", heat.model},
                                 {"n_tokens", heat.n_tokens},
                                 {"n_experts", heat.n_experts}};
  json["layers"] = nlohmann::ordered_json::array();
  for (const auto& experts : heat.layers) {
    nlohmann::ordered_json layer = {{"rows", nlohmann::ordered_json::array()},
                                    {"weight", nlohmann::ordered_json::array()}};
    for (const ExpertHeat::Expert& expert : experts) {
      layer["rows"].push_back(expert.rows);
      layer["weight"].push_back(expert.weight);
    }
    json["layers"].push_back(std::move(layer));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<ExpertHeat> DecodeHeat(std::string_view text) {
  if (text.size() > kMaxHeatBytes) {
    return Refuse(absl::StrCat(text.size(), " bytes, above the bound ", kMaxHeatBytes));
  }
  // What is deeper than a number of a layer is refused while it is read.
  bool deep = false;
  const Json json = Json::parse(
      text,
      [&deep](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
        deep = deep || depth > 5;
        return !deep;
      },
      /*allow_exceptions=*/false);
  if (deep || !json.is_object()) return Refuse("is no JSON object of the right form");
  const auto format = json.find("format");
  if (format == json.end() || *format != kFormat) {
    return Refuse(absl::StrCat("format is not '", kFormat, "'"));
  }
  SHOAL_RETURN_IF_ERROR(Integer(json, "version", kVersion, kVersion).status());
  ExpertHeat heat;
  SHOAL_ASSIGN_OR_RETURN(heat.n_tokens, Integer(json, "n_tokens", 0, kMaxTokens));
  SHOAL_ASSIGN_OR_RETURN(const int64_t n_experts, Integer(json, "n_experts", 1, kMaxExperts));
  heat.n_experts = static_cast<int>(n_experts);
  const auto model = json.find("model");
  if (model != json.end() && model->is_string()) heat.model = model->get<std::string>();
  const auto layers = json.find("layers");
  if (layers == json.end() || !layers->is_array() || layers->size() > kMaxLayers) {
    return Refuse(absl::StrCat("layers is no array of at most ", kMaxLayers));
  }
  for (const Json& layer : *layers) {
    SHOAL_ASSIGN_OR_RETURN(auto experts, Layer(layer, heat.layers.size(), heat));
    heat.layers.push_back(std::move(experts));
  }
  return heat;
}

absl::Status CheckHeat(const ExpertHeat& heat, const ModelConfig& config) {
  const auto refuse = [&heat](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("the heat of ", Quoted(heat.model), " ", what,
                                                   "; make one of this model with `shoal heat`"));
  };
  if (config.n_experts == 0) return refuse("is of no use: the model has no routed experts");
  if (heat.layers.size() != static_cast<size_t>(config.n_layers) ||
      heat.n_experts != config.n_experts) {
    return refuse(absl::StrCat("has ", heat.layers.size(), " layers of ", heat.n_experts,
                               " experts, the model ", config.n_layers, " of ", config.n_experts));
  }
  for (int layer = 0; layer < config.n_layers; ++layer) {
    if (heat.layers[static_cast<size_t>(layer)].empty() == config.IsDense(layer)) continue;
    return refuse(absl::StrCat("has ", config.IsDense(layer) ? "experts" : "none", " for layer ",
                               layer, ", the model has ", config.IsDense(layer) ? "none" : "some"));
  }
  return absl::OkStatus();
}

}  // namespace shoal
