#include "router/dispatch/expert_call.h"

#include <cstring>
#include <random>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kIncarnation = 77;
constexpr uint32_t kHidden = 8;

WorkerCall CallOn(LinkId link, uint32_t n_results) {
  WorkerCall call;
  call.link = link;
  call.format = RowFormat::kF32;
  call.n_results = n_results;
  call.hidden_dim = kHidden;
  return call;
}

// Opens a call and has it sent.
WorkerCall& OpenSent(CallTable& table, WorkerCall call, uint32_t worker = 0) {
  WorkerCall& opened = table.Open(std::move(call), /*step=*/5, /*layer=*/2, worker, /*attempt=*/0);
  opened.state = CallState::kSent;
  return opened;
}

wire::RunExpertsReply ReplyTo(const WorkerCall& call) {
  wire::RunExpertsReply reply;
  *reply.mutable_id() = call.id;
  reply.set_code(wire::REPLY_CODE_OK);
  reply.set_format(wire::ROW_FORMAT_F32);
  reply.set_n_rows(call.n_results);
  reply.set_hidden_dim(call.hidden_dim);
  return reply;
}

FrameBuffer FrameOf(const wire::RunExpertsReply& reply, float value) {
  wire::FrameHeader header;
  *header.mutable_run_experts_reply() = reply;
  FrameWriter writer(header, reply.n_rows() * reply.hidden_dim() * sizeof(float));
  for (size_t i = 0; i < writer.payload().size(); i += sizeof(float)) {
    std::memcpy(writer.payload().data() + i, &value, sizeof(float));
  }
  return std::move(writer).Finish();
}

TEST(CallTableTest, RightReplyIsUsed) {
  CallTable table(kIncarnation);
  const WorkerCall& call = OpenSent(table, CallOn(1, 3));
  table.OnFrame(1, FrameOf(ReplyTo(call), 2.5F));
  EXPECT_EQ(call.state, CallState::kAnswered);
  EXPECT_EQ(table.NextEnded(), 0);
  EXPECT_EQ(table.NextEnded(), std::nullopt);
  EXPECT_TRUE(call.status.ok()) << call.status;
  ASSERT_EQ(call.output.f32.size(), 3U * kHidden);
  EXPECT_EQ(call.output.f32[23], 2.5F);
}

TEST(CallTableTest, F23_DuplicatesAreDropped) {
  CallTable table(kIncarnation);
  const WorkerCall& call = OpenSent(table, CallOn(1, 1));
  const auto reply = ReplyTo(call);
  table.OnFrame(1, FrameOf(reply, 1.0F));
  for (int i = 0; i < 3; ++i) table.OnFrame(1, FrameOf(reply, 9.0F));
  EXPECT_EQ(call.output.f32[0], 1.0F);
  EXPECT_EQ(table.dropped().duplicate, 3U);
}

TEST(CallTableTest, F23_LateRepliesAreDropped) {
  CallTable table(kIncarnation);
  const auto late = ReplyTo(OpenSent(table, CallOn(1, 1)));
  table.End(0, CallState::kAbandoned, absl::UnavailableError("deadline"));
  table.Clear();
  table.OnFrame(1, FrameOf(late, 9.0F));                   // Nothing is open.
  const WorkerCall& call = OpenSent(table, CallOn(1, 1));  // All alike but its number.
  table.OnFrame(1, FrameOf(late, 9.0F));
  EXPECT_TRUE(call.open());
  EXPECT_EQ(table.dropped().late, 2U);
  table.OnFrame(1, FrameOf(ReplyTo(call), 1.0F));
  EXPECT_EQ(call.output.f32[0], 1.0F);
}

TEST(CallTableTest, F23_UnknownRepliesAreDropped) {
  CallTable table(kIncarnation);
  const WorkerCall& call = OpenSent(table, CallOn(1, 1));
  const auto expect_dropped = [&](auto change) {
    auto reply = ReplyTo(call);
    change(*reply.mutable_id());
    table.OnFrame(1, FrameOf(reply, 9.0F));
    EXPECT_TRUE(call.open());
  };
  expect_dropped([](wire::CallId& id) { id.set_router_incarnation(78); });
  expect_dropped([](wire::CallId& id) { id.set_call(2); });
  expect_dropped([](wire::CallId& id) { id.set_call(0); });
  expect_dropped([](wire::CallId& id) { id.set_call(~uint64_t{0}); });
  expect_dropped([](wire::CallId& id) { id.set_step(6); });
  expect_dropped([](wire::CallId& id) { id.set_layer(3); });
  expect_dropped([](wire::CallId& id) { id.set_worker(1); });
  expect_dropped([](wire::CallId& id) { id.set_attempt(1); });
  EXPECT_EQ(table.dropped().unknown, 8U);
}

TEST(CallTableTest, I3_ReplyOverAnotherLinkIsDropped) {
  CallTable table(kIncarnation);
  const WorkerCall& call = OpenSent(table, CallOn(1, 1));
  table.OnFrame(2, FrameOf(ReplyTo(call), 9.0F));
  EXPECT_TRUE(call.open());
  EXPECT_EQ(table.dropped().unknown, 1U);
}

TEST(CallTableTest, F23_RandomRepliesAreNeverUsed) {
  CallTable table(kIncarnation);
  const WorkerCall& call = OpenSent(table, CallOn(1, 1));
  std::mt19937_64 rng(17);
  for (int i = 0; i < 100000; ++i) {
    auto reply = ReplyTo(call);
    reply.mutable_id()->set_call(rng() % 5 == 0 ? 1 : rng() % 4);
    reply.mutable_id()->set_step(rng() % 5 == 0 ? 5 : rng() % 8);
    reply.mutable_id()->set_attempt(1 + rng() % 3);  // Never the one that is outstanding.
    table.OnFrame(1, FrameOf(reply, 9.0F));
  }
  EXPECT_TRUE(call.open());
  EXPECT_EQ(table.dropped().unknown, 100000U);
}

TEST(CallTableTest, F09_CorruptFrameFailsWhatThatWorkerOwes) {
  CallTable table(kIncarnation);
  OpenSent(table, CallOn(1, 1));
  OpenSent(table, CallOn(2, 1), 1);
  FrameBuffer bad = FrameOf(ReplyTo(table.calls()[0]), 1.0F);
  bad.data()[bad.size() - 1] ^= std::byte{4};
  EXPECT_EQ(table.OnFrame(1, std::move(bad)), CallTable::FrameKind::kCorrupt);
  EXPECT_EQ(table.dropped().corrupt, 1U);
  EXPECT_EQ(table.calls()[0].state, CallState::kCorrupt);
  EXPECT_FALSE(table.calls()[0].status.ok());
  EXPECT_TRUE(table.calls()[1].open());
}

TEST(CallTableTest, I3_ReplyOfAnotherShapeFailsTheCall) {
  for (int wrong = 0; wrong < 3; ++wrong) {
    CallTable table(kIncarnation);
    const WorkerCall& call = OpenSent(table, CallOn(1, 2));
    auto reply = ReplyTo(call);
    if (wrong == 0) reply.set_n_rows(1);
    if (wrong == 1) reply.set_hidden_dim(kHidden - 1);
    if (wrong == 2) reply.set_format(wire::ROW_FORMAT_QUANTIZED);
    table.OnFrame(1, FrameOf(reply, 1.0F));
    EXPECT_EQ(call.state, CallState::kCorrupt) << wrong;
    EXPECT_FALSE(call.status.ok());
    EXPECT_TRUE(call.output.f32.empty());
  }
}

TEST(CallTableTest, F10_RowsThatAreNotFiniteAreNamed) {
  for (const float value : {INFINITY, -INFINITY, NAN}) {
    CallTable table(kIncarnation);
    const WorkerCall& call = OpenSent(table, CallOn(1, 2));
    table.OnFrame(1, FrameOf(ReplyTo(call), value));
    EXPECT_THAT(call.rows_not_finite, testing::ElementsAre(0, 1));
  }
}

TEST(CallTableTest, TypedRefusalsKeepTheirMeaning) {
  for (int code = 0; code <= 12; ++code) {
    if (code == wire::REPLY_CODE_OK) continue;
    CallTable table(kIncarnation);
    const WorkerCall& call = OpenSent(table, CallOn(1, 2));
    auto reply = ReplyTo(call);
    reply.set_code(static_cast<wire::ReplyCode>(code));
    reply.set_message("because");
    wire::FrameHeader header;
    *header.mutable_run_experts_reply() = reply;
    table.OnFrame(1, EncodeFrame(header));
    const bool elsewhere =
        code >= wire::REPLY_CODE_NOT_RESIDENT && code <= wire::REPLY_CODE_DEADLINE_PASSED;
    EXPECT_EQ(call.state, elsewhere ? CallState::kRefused : CallState::kHopeless) << code;
    EXPECT_THAT(std::string(call.status.message()), HasSubstr("because"));
  }
}

TEST(CallTableTest, ClosedLinkFailsItsCallsOnly) {
  CallTable table(kIncarnation);
  OpenSent(table, CallOn(1, 1));
  OpenSent(table, CallOn(2, 1), 1);
  table.OnClosed(2, absl::UnavailableError("reset"));
  EXPECT_TRUE(table.calls()[0].open());
  EXPECT_EQ(table.calls()[1].state, CallState::kLost);
  EXPECT_THAT(std::string(table.calls()[1].status.message()), HasSubstr("reset"));
}

}  // namespace
}  // namespace shoal
