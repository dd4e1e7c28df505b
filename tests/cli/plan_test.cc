// What `shoal plan` reads and predicts, without any model file.
#include <string>
#include <vector>

#include "cli/node_list.h"
#include "cli/star_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

double SpeedHere() { return 12.5; }

absl::StatusOr<std::vector<StarNode>> ReadNodes(const std::string& text) {
  return ReadNodeList(text, "nodes.yaml", SpeedHere);
}

TEST(NodeListTest, ReadsEveryKey) {
  const auto nodes = ReadNodes(
      "nodes:\n"
      "  - name: a\n    memory: 8GiB\n    read_gb_per_s: measure\n"
      "  - {name: b, memory: 4000000000, read_gb_per_s: 9.5, round_trip_ms: 0.2,\n"
      "     link_gbit_per_s: 2.5, gops: 80, router: true, worker: false}\n");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  ASSERT_EQ(nodes->size(), 2U);
  const StarNode& a = (*nodes)[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(a.read_gb_per_s, 12.5);
  EXPECT_EQ(a.round_trip, absl::Microseconds(300));
  EXPECT_EQ(a.link_gbit_per_s, 1);
  EXPECT_FALSE(a.router);
  EXPECT_TRUE(a.worker);
  const StarNode& b = (*nodes)[1];
  EXPECT_EQ(b.memory_bytes, 4000000000U);
  EXPECT_EQ(b.read_gb_per_s, 9.5);
  EXPECT_EQ(b.round_trip, absl::Microseconds(200));
  EXPECT_EQ(b.link_gbit_per_s, 2.5);
  EXPECT_EQ(b.gops, 80);
  EXPECT_TRUE(b.router);
  EXPECT_FALSE(b.worker);
}

// Goal: whoever writes the file is told where it is wrong, and what would be right.
TEST(NodeListTest, NamesFileLineKeyValueAndBound) {
  const std::string good = "nodes:\n- name: a\n  memory: 8GiB\n  read_gb_per_s: 10\n";
  const struct {
    std::string text;
    const char* start;
    const char* part;
  } kCases[] = {
      {"nodes:\n- name: a\n  memory: 8 apples\n  read_gb_per_s: 10\n",
       "nodes.yaml:3: memory: ", "8GiB or 8000000000"},
      {"nodes:\n- name: a\n  memory: 8GiB\n  read_gb_per_s: -3\n",
       "nodes.yaml:4: read_gb_per_s: ", "is not a number in [0.01, 100000]"},
      {"nodes:\n- name: a\n  memory: 8GiB\n  read_gb_per_s: nan\n",
       "nodes.yaml:4: read_gb_per_s: ", "nan"},
      {good + "  round_trip_ms: 20000\n", "nodes.yaml:5: round_trip_ms: ", "[0, 10000]"},
      {good + "  link_gbit_per_s: fast\n", "nodes.yaml:5: link_gbit_per_s: ", "fast"},
      {good + "  gops: 0\n", "nodes.yaml:5: gops: ", "[0.01, "},
      {good + "  router: yes\n", "nodes.yaml:5: router: ", "is not true or false"},
      {good + "  rack: 7\n", "nodes.yaml:5: rack: ", "there are name, memory"},
      {good + "  memory: 4GiB\n", "nodes.yaml:5: memory: ", "twice"},
      {good + "  worker: [1, 2]\n", "nodes.yaml:5: worker: ", "is not one value"},
      {"nodes:\n- name: a\n  memory: 8GiB\n", "nodes.yaml:2: read_gb_per_s: ", "is missing"},
      {good + "- name: a\n  memory: 8GiB\n  read_gb_per_s: 10\n",
       "nodes.yaml:5: name: ", "another node's"},
      {good + "  router: true\n- name: b\n  memory: 1GB\n  read_gb_per_s: 1\n  router: true\n",
       "nodes.yaml:6: router: ", "at most one"},
      {"nodes:\n- name: ''\n  memory: 8GiB\n  read_gb_per_s: 10\n",
       "nodes.yaml:2: name: ", "1 to 64 bytes"},
      {"nodes: []\n", "nodes.yaml:1: nodes: ", "not 1 to 256"},
      {"nodes:\n- 7\n", "nodes.yaml:2: nodes: ", "not a map"},
      {"- a\n- b\n", "nodes.yaml:1: ", "one list named `nodes`"},
      {"boxes: []\n", "nodes.yaml:1: ", "one list named `nodes`"},
      {"nodes:\n  - name: [\n", "nodes.yaml:", ""},
      {"", "nodes.yaml:1: ", "one list named `nodes`"},
  };
  for (const auto& c : kCases) {
    const auto nodes = ReadNodes(c.text);
    EXPECT_EQ(nodes.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(nodes.status().message()), StartsWith(c.start)) << c.text;
    EXPECT_THAT(std::string(nodes.status().message()), HasSubstr(c.part)) << c.text;
  }
}

// 16 layers of 64 experts of 3 MB, top 8, and 300 MB of trunk.
StarModel SomeModel() {
  StarModel model;
  model.config.n_layers = 16;
  model.config.hidden_dim = 2048;
  model.config.n_experts = 64;
  model.config.top_k = 8;
  model.expert_bytes.assign(16, std::vector<uint64_t>(64, 3'000'000));
  model.expert_ops.assign(16, std::vector<double>(64, 12e6));
  model.trunk_bytes = 300'000'000;
  model.token_trunk_bytes = 250'000'000;
  model.token_trunk_ops = 500e6;
  return model;
}

std::vector<StarNode> Boxes(int n, uint64_t memory_bytes) {
  std::vector<StarNode> nodes;
  for (int i = 0; i < n; ++i) {
    nodes.push_back({.name = "box-" + std::to_string(i),
                     .memory_bytes = memory_bytes,
                     .read_gb_per_s = 10,
                     .round_trip = absl::Microseconds(300)});
  }
  return nodes;
}

constexpr uint64_t kGb = 1'000'000'000;
constexpr StarOptions kOptions{.replicas = 1, .context = 0, .kv_bytes = 100'000'000};

double RateOf(int n_boxes) {
  const auto plan = PlanStar(SomeModel(), Boxes(n_boxes, 8 * kGb), kOptions);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan->prediction.tokens_per_s();
}

TEST(StarModelTest, OneBoxReadsItsTrunkAndEightExpertsALayer) {
  const auto plan = PlanStar(SomeModel(), Boxes(1, 8 * kGb), kOptions);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const StarPrediction& p = plan->prediction;
  const double read = 10e9 * 0.87;
  EXPECT_NEAR(absl::ToDoubleSeconds(p.trunk), 250e6 / read, 1e-6);
  EXPECT_NEAR(absl::ToDoubleSeconds(p.experts), 16 * 8 * 3e6 / read, 1e-6);
  EXPECT_NEAR(absl::ToDoubleSeconds(p.imbalance), 0, 1e-6);
  EXPECT_EQ(p.transfer, absl::ZeroDuration());
  EXPECT_EQ(plan->n_experts[0], 16 * 64);
  // The exchange inside one box is the only difference.
  const auto alone = PredictAlone(SomeModel(), plan->nodes[0], kOptions);
  ASSERT_TRUE(alone.has_value());
  EXPECT_NEAR(1 / *alone, 1 / p.tokens_per_s() - absl::ToDoubleSeconds(p.round_trips), 1e-6);
}

TEST(StarModelTest, MoreBoxesLeaveLessToEachAndTheTrunkToOne) {
  const double one = RateOf(1);
  const double two = RateOf(2);
  const double four = RateOf(4);
  EXPECT_GT(two, one);
  EXPECT_GT(four, two);
  EXPECT_LT(four, 10e9 * 0.87 / 250e6);  // What the trunk alone allows.
  const auto plan = PlanStar(SomeModel(), Boxes(4, 8 * kGb), kOptions);
  ASSERT_TRUE(plan.ok());
  EXPECT_GT(plan->prediction.imbalance, absl::ZeroDuration());
  EXPECT_GT(plan->prediction.transfer, absl::ZeroDuration());
  EXPECT_THAT(plan->prediction.Limit(), HasSubstr("trunk"));
}

TEST(StarModelTest, ASlowLinkMakesOneBoxTheBetterChoice) {
  std::vector<StarNode> nodes = Boxes(3, 8 * kGb);
  for (StarNode& node : nodes) node.round_trip = absl::Milliseconds(20);
  const auto plan = PlanStar(SomeModel(), nodes, kOptions);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->prediction.Limit(), HasSubstr("round trips"));
  EXPECT_GT(*PredictAlone(SomeModel(), nodes[0], kOptions), plan->prediction.tokens_per_s());
  EXPECT_FALSE(PredictAlone(SomeModel(), {.name = "s", .memory_bytes = kGb}, kOptions).has_value());
  EXPECT_FALSE(PredictAlone(SomeModel(),
                            {.name = "s", .memory_bytes = kMemoryNotKnown, .read_gb_per_s = 10},
                            kOptions)
                   .has_value());
}

TEST(StarModelTest, NoBoxGetsMoreThanItHolds) {
  std::vector<StarNode> nodes = Boxes(4, kGb);
  nodes[0].read_gb_per_s = 40;  // Fast, but no larger than the others.
  const auto plan = PlanStar(SomeModel(), nodes, kOptions);
  ASSERT_TRUE(plan.ok()) << plan.status();
  uint64_t all = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    EXPECT_LE(plan->expert_bytes[i] + (i == 0 ? 400'000'000 : 0), nodes[i].memory_bytes);
    all += plan->expert_bytes[i];
  }
  EXPECT_EQ(all, SomeModel().all_expert_bytes());
}

TEST(StarModelTest, WhatDoesNotFitIsRefusedWithTheNumbers) {
  const auto experts = PlanStar(SomeModel(), Boxes(2, kGb), kOptions);
  EXPECT_EQ(experts.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(experts.status().message()), HasSubstr("2929 MiB"));
  const auto router = PlanStar(SomeModel(), Boxes(9, kGb / 4), kOptions);
  EXPECT_EQ(router.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(router.status().message()), HasSubstr("the router takes 381 MiB"));
}

TEST(StarModelTest, PromptsWaitForProductsAndLinks) {
  const auto first_token = [](double gops, double gbit) {
    std::vector<StarNode> nodes = Boxes(3, 8 * kGb);
    for (StarNode& node : nodes) {
      node.gops = gops;
      node.link_gbit_per_s = gbit;
    }
    return PlanStar(SomeModel(), nodes, kOptions)->prediction.first_token;
  };
  EXPECT_LT(first_token(1000, 1), first_token(50, 1));
  EXPECT_LT(first_token(1000, 10), first_token(1000, 1));
}

}  // namespace
}  // namespace shoal
