#include "proto/router_load.h"

#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

RouterLoad SomeLoad() {
  RouterLoad load;
  load.generation_tokens_per_s = 12.5;
  load.prompt_tokens_per_s = 100;
  load.steps_per_s = 12.5;
  load.running = 3;
  load.waiting = 1;
  load.kv_use = 0.5;
  load.shares = {0.25, 0.05, 0.2, 0.3, 0.15, 0.05};
  load.hottest = {{.layer = 3, .expert = 7, .rows = 90, .times_mean = 4.5}};
  load.workers = {{.node_id = "0123456789abcdef", .calls_per_s = 600, .call_s = 0.002}};
  return load;
}

TEST(RouterLoadTest, TravelsWhole) {
  wire::RouterLoad message;
  ToWire(SomeLoad(), &message);
  const auto read = FromWire(message);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, SomeLoad());
  const auto empty = FromWire(wire::RouterLoad());
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(*empty, RouterLoad());
}

// Goal: whatever a router may send, what is shown to people has its range.
TEST(RouterLoadTest, RefusesNumbersOutOfRangeByName) {
  const struct {
    std::function<void(wire::RouterLoad*)> change;
    const char* text;
  } kCases[] = {
      {[](auto* m) { m->set_generation_tokens_per_s(-1); }, "load.generation_tokens_per_s=-1"},
      {[](auto* m) { m->set_steps_per_s(std::numeric_limits<double>::quiet_NaN()); },
       "load.steps_per_s=nan"},
      {[](auto* m) { m->set_running(65); }, "load.running=65 is not in [0, 64]"},
      {[](auto* m) { m->set_waiting(1 << 20); }, "load.waiting="},
      {[](auto* m) { m->set_kv_use(1.5); }, "load.kv_use=1.5 is not in [0, 1]"},
      {[](auto* m) { m->add_step_shares(0); }, "load.step_shares has 7 numbers, not 6"},
      {[](auto* m) { m->set_step_shares(0, 2); }, "load.step_shares=2"},
      {[](auto* m) { m->mutable_hottest(0)->set_layer(513); }, "load.hottest.layer=513"},
      {[](auto* m) { m->mutable_workers(0)->set_node_id("x"); }, "which is no node's id"},
      {[](auto* m) { m->mutable_workers(0)->set_call_s(1e6); }, "load.workers.call_s="},
      {[](auto* m) {
         for (int i = 0; i < kMaxLoadExperts; ++i) m->add_hottest();
       },
       "load.hottest=17 is not in [0, 16]"},
  };
  for (const auto& c : kCases) {
    wire::RouterLoad message;
    ToWire(SomeLoad(), &message);
    c.change(&message);
    const auto read = FromWire(message);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(c.text));
  }
}

}  // namespace
}  // namespace shoal
