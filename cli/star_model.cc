#include "cli/star_model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/sampler.h"
#include "router/dispatch/replica_picker.h"

namespace shoal {
namespace {

// Decoding reads at that share of what reading alone gives. The other two: what a layer's exchange
// costs at both ends beside the wire; and, where nobody has said how fast a box multiplies, how
// many operations there are for each byte that it reads, an estimate. docs/performance.md has what
// bench/plan_check.py found.
constexpr double kReadEfficiency = 0.87;
constexpr absl::Duration kExchangeCost = absl::Microseconds(120);
constexpr double kOpsPerByte = 8;
constexpr int kChunk = 256;  // Rows of a prompt in a step.
constexpr int kDraws = 64;   // Of each layer's experts.

double GopsOf(const StarNode& node) {
  return node.gops > 0 ? node.gops : kOpsPerByte * node.read_gb_per_s;
}
absl::Duration Reading(double n_bytes, const StarNode& node) {
  return absl::Seconds(n_bytes / (node.read_gb_per_s * 1e9 * kReadEfficiency));
}
absl::Duration Computing(double n_ops, const StarNode& node) {
  return absl::Seconds(n_ops / (GopsOf(node) * 1e9));
}

double Elements(const ShardInfo& shard) {
  double n = 0;
  for (const ShardTensor& tensor : shard.tensors) {
    double product = 1;
    for (const int64_t extent : tensor.shape) product *= static_cast<double>(extent);
    n += tensor.shape.size() > 1 ? product : 0;  // Vectors are no products.
  }
  return n;
}

// One plan's star, and what it costs to go through it.
class Star {
 public:
  Star(const StarModel& model, const StarPlan& plan, const StarOptions& options)
      : model_(model), plan_(plan), options_(options), load_(plan.nodes.size()) {
    for (const StarNode& node : plan.nodes) speeds_.push_back(node.read_gb_per_s);
  }

  void Predict(StarPrediction* prediction) {
    const ModelConfig& config = model_.config;
    const double kv_bytes =
        static_cast<double>(options_.position_kv_bytes) * static_cast<double>(options_.context);
    prediction->trunk = Reading(static_cast<double>(model_.token_trunk_bytes) + kv_bytes, router());
    for (int layer = 0; layer < config.n_layers; ++layer) {
      for (int draw = 0; draw < kDraws; ++draw) AddDecode(layer, draw, prediction);
    }
    for (auto* sum : {&prediction->experts, &prediction->imbalance, &prediction->round_trips,
                      &prediction->transfer}) {
      *sum /= kDraws;
    }
    PredictPrompt(prediction);
  }

 private:
  // What one worker has of a layer.
  struct Load {
    double bytes = 0;  // Of its experts.
    double ops = 0;
    double results = 0;  // Rows that come back.
    int n_experts = 0;
  };
  const StarNode& router() const { return plan_.nodes[static_cast<size_t>(plan_.router)]; }

  // As the router chooses them: `experts` of a layer, `rows` of each.
  void Spread(int layer, std::span<const int> experts, double rows) {
    std::fill(load_.begin(), load_.end(), Load());
    worker_of_.resize(static_cast<size_t>(model_.config.MaxExperts()));
    picker_.Begin(speeds_);
    for (const int expert : experts) {
      candidates_.clear();
      for (size_t w = 0; w < plan_.nodes.size(); ++w) {
        if (plan_.placement.assigned[w].Contains(layer, expert)) {
          candidates_.push_back(static_cast<int>(w));
        }
      }
      picker_.AddExpert(expert, candidates_);
    }
    picker_.Pick(worker_of_);
    for (const int expert : experts) {
      Load& load = load_[static_cast<size_t>(worker_of_[static_cast<size_t>(expert)])];
      load.bytes += static_cast<double>(model_.expert_bytes[layer][expert]);
      load.ops += model_.expert_ops[layer][expert] * rows;
      load.results += rows;
      ++load.n_experts;
    }
  }

  // The experts of a decoded row: each layer's picks, drawn evenly.
  std::span<const int> Draw(int layer, int draw) {
    const ModelConfig& config = model_.config;
    const int n_routed = config.IsDense(layer) ? 1 : config.n_experts;
    const int n_picks = config.IsDense(layer) ? 1 : config.top_k;
    drawn_.resize(static_cast<size_t>(n_routed));
    std::iota(drawn_.begin(), drawn_.end(), 0);
    for (int k = 0; k < n_picks; ++k) {
      const auto position = (uint64_t{static_cast<uint32_t>(layer)} * kDraws + draw) * 64 + k;
      const double u = CounterUniform(/*seed=*/7, position);
      const auto other = k + static_cast<int>(u * (n_routed - k));
      std::swap(drawn_[static_cast<size_t>(k)], drawn_[static_cast<size_t>(other)]);
    }
    drawn_.resize(static_cast<size_t>(n_picks));
    for (int e = n_routed; e < config.NumExperts(layer); ++e) drawn_.push_back(e);  // Shared ones.
    std::sort(drawn_.begin(), drawn_.end());
    return drawn_;
  }

  double BytesOnLink(const Load& load, double rows) const {
    const double dim = model_.config.hidden_dim;
    const double out = model_.float_rows ? 4 * dim : 1.125 * dim;
    const double back = model_.float_rows ? 4 * dim : 2 * dim + 4;
    return std::min(rows, load.results) * out + load.results * back;
  }
  absl::Duration Sending(double n_bytes, const StarNode& node) const {
    const double gbit = std::min(node.link_gbit_per_s, router().link_gbit_per_s);
    return absl::Seconds(n_bytes * 8 / (gbit * 1e9));
  }
  bool IsRemote(size_t w) const { return static_cast<int>(w) != plan_.router; }

  void AddDecode(int layer, int draw, StarPrediction* prediction) {
    Spread(layer, Draw(layer, draw), 1);
    double bytes = 0;
    double read = 0;
    double on_links = 0;
    absl::Duration slowest;
    absl::Duration with_trips;
    absl::Duration with_bytes;
    for (size_t w = 0; w < load_.size(); ++w) {
      if (plan_.nodes[w].worker) read += plan_.nodes[w].read_gb_per_s;
      if (load_[w].n_experts == 0) continue;
      bytes += load_[w].bytes;
      const absl::Duration compute = Reading(load_[w].bytes, plan_.nodes[w]);
      const absl::Duration trip = IsRemote(w) ? plan_.nodes[w].round_trip : absl::ZeroDuration();
      const double link = IsRemote(w) ? BytesOnLink(load_[w], 1) : 0;
      on_links += link;
      slowest = std::max(slowest, compute);
      with_trips = std::max(with_trips, compute + trip);
      with_bytes = std::max(with_bytes, compute + trip + Sending(link, plan_.nodes[w]));
    }
    with_bytes = std::max(with_bytes, Sending(on_links, router()));  // One cable has all of it.
    const StarNode all{.name = {}, .read_gb_per_s = read, .round_trip = {}};
    const absl::Duration even = Reading(bytes, all);
    prediction->experts += even;
    prediction->imbalance += slowest - even;
    prediction->round_trips += with_trips - slowest + kExchangeCost;
    prediction->transfer += std::max(with_bytes - with_trips, absl::ZeroDuration());
  }

  // Chunk by chunk: the router's products, then the experts', then the next layer.
  void PredictPrompt(StarPrediction* prediction) {
    const ModelConfig& config = model_.config;
    for (int64_t done = 0; done < options_.prompt_tokens; done += kChunk) {
      const auto rows =
          static_cast<double>(std::min<int64_t>(kChunk, options_.prompt_tokens - done));
      prediction->first_token +=
          std::max(Computing(model_.token_trunk_ops * rows, router()),
                   Reading(static_cast<double>(model_.token_trunk_bytes), router()));
      for (int layer = 0; layer < config.n_layers; ++layer) {
        drawn_.resize(static_cast<size_t>(config.NumExperts(layer)));
        std::iota(drawn_.begin(), drawn_.end(), 0);
        Spread(layer, drawn_, rows * config.NumPicks(layer) / config.NumExperts(layer));
        prediction->first_token += ExchangeOfChunk(rows);
      }
    }
  }

  absl::Duration ExchangeOfChunk(double rows) const {
    absl::Duration longest;
    double on_links = 0;
    for (size_t w = 0; w < load_.size(); ++w) {
      if (load_[w].n_experts == 0) continue;
      const StarNode& node = plan_.nodes[w];
      absl::Duration time = std::max(Computing(load_[w].ops, node), Reading(load_[w].bytes, node));
      if (IsRemote(w)) {
        const double link = BytesOnLink(load_[w], rows);
        on_links += link;
        time += node.round_trip + Sending(link, node);
      }
      longest = std::max(longest, time);
    }
    return std::max(longest, Sending(on_links, router())) + kExchangeCost;
  }

  const StarModel& model_;
  const StarPlan& plan_;
  const StarOptions& options_;
  std::vector<double> speeds_;
  std::vector<Load> load_;
  ReplicaPicker picker_;
  std::vector<int32_t> worker_of_;
  std::vector<int> candidates_;
  std::vector<int> drawn_;
};

}  // namespace

uint64_t StarModel::all_expert_bytes() const {
  uint64_t sum = 0;
  for (const auto& layer : expert_bytes) sum = std::accumulate(layer.begin(), layer.end(), sum);
  return sum;
}

StarModel MakeStarModel(const ModelConfig& config, std::span<const ShardInfo> shards) {
  StarModel model;
  model.config = config;
  model.expert_bytes.resize(config.n_layers);
  model.expert_ops.resize(config.n_layers);
  for (const ShardInfo& shard : shards) {  // Ascending by layer, then expert.
    uint64_t bytes = 0;
    for (const ShardTensor& tensor : shard.tensors) bytes += tensor.n_bytes;
    if (shard.kind == ShardKind::kExpert) {
      model.expert_bytes[shard.layer].push_back(bytes);
      model.expert_ops[shard.layer].push_back(2 * Elements(shard));
      for (const ShardTensor& tensor : shard.tensors) {
        model.float_rows |= !Traits(tensor.dtype).quantized;
      }
      continue;
    }
    model.trunk_bytes += bytes;
    // Of an embedding one row is read, unless it is the output head too.
    if (shard.kind == ShardKind::kEmbedding && !config.tied_embeddings) continue;
    model.token_trunk_bytes += bytes;
    // The head is for one row of a prompt only.
    if (shard.kind == ShardKind::kTrunkLayer) model.token_trunk_ops += 2 * Elements(shard);
  }
  return model;
}

std::string StarPrediction::Limit() const {
  const std::pair<absl::Duration, const char*> parts[] = {
      {trunk, "the router's box: it reads the trunk for each token"},
      {experts, "the workers' memory: they read the experts"},
      {imbalance, "imbalance: the busiest worker has more than its share"},
      {round_trips, "round trips: one in each layer"},
      {transfer, "bytes on the links"}};
  const auto* const largest = std::max_element(std::begin(parts), std::end(parts));
  return absl::StrFormat("%s, %.0f %% of a token", largest->second,
                         100 * absl::FDivDuration(largest->first, token()));
}

absl::StatusOr<StarPlan> PlanStar(const StarModel& model, std::vector<StarNode> nodes,
                                  const StarOptions& options) {
  StarPlan plan;
  plan.nodes = std::move(nodes);
  const auto router = std::find_if(plan.nodes.begin(), plan.nodes.end(),
                                   [](const StarNode& node) { return node.router; });
  plan.router = router == plan.nodes.end() ? 0 : static_cast<int>(router - plan.nodes.begin());
  const StarNode& box = plan.nodes[static_cast<size_t>(plan.router)];
  const uint64_t router_bytes = model.trunk_bytes + options.kv_bytes;
  if (box.memory_bytes < router_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the router takes ", router_bytes >> 20, " MiB (weights ", model.trunk_bytes >> 20,
        ", KV cache ", options.kv_bytes >> 20, ") and ", box.name, " has ", box.memory_bytes >> 20,
        " MiB; give it more, or a shorter --ctx-size"));
  }
  PlannerInput input{.expert_bytes = model.expert_bytes,
                     .n_experts = model.config.MaxExperts(),
                     .workers = {},
                     .replicas = options.replicas};
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    const StarNode& node = plan.nodes[i];
    const uint64_t taken = static_cast<int>(i) == plan.router ? router_bytes : 0;
    input.workers.push_back({.node_id = node.name,
                             .memory_bytes = node.memory_bytes - std::min(node.memory_bytes, taken),
                             .read_gb_per_s = node.read_gb_per_s,
                             .holds = ExpertSet(input.n_layers(), input.n_experts),
                             .draining = !node.worker});
  }
  SHOAL_ASSIGN_OR_RETURN(plan.placement, PlanPlacement(input));
  for (const ExpertSet& set : plan.placement.assigned) {
    uint64_t bytes = 0;
    int n = 0;
    for (int layer = 0; layer < input.n_layers(); ++layer) {
      for (int expert = 0; expert < input.NumExperts(layer); ++expert) {
        if (!set.Contains(layer, expert)) continue;
        bytes += model.expert_bytes[layer][expert];
        ++n;
      }
    }
    plan.expert_bytes.push_back(bytes);
    plan.n_experts.push_back(n);
  }
  Star(model, plan, options).Predict(&plan.prediction);
  return plan;
}

std::optional<double> PredictAlone(const StarModel& model, const StarNode& node,
                                   const StarOptions& options) {
  if (node.memory_bytes == kMemoryNotKnown ||
      node.memory_bytes < model.trunk_bytes + model.all_expert_bytes() + options.kv_bytes) {
    return std::nullopt;
  }
  const ModelConfig& config = model.config;
  double bytes =
      static_cast<double>(model.token_trunk_bytes) +
      static_cast<double>(options.position_kv_bytes) * static_cast<double>(options.context);
  for (int layer = 0; layer < config.n_layers; ++layer) {
    const std::vector<uint64_t>& experts = model.expert_bytes[layer];  // A row takes some.
    const auto all =
        static_cast<double>(std::accumulate(experts.begin(), experts.end(), uint64_t{0}));
    bytes += all * config.NumPicks(layer) / config.NumExperts(layer);
  }
  return 1 / absl::ToDoubleSeconds(Reading(bytes, node));
}

}  // namespace shoal
