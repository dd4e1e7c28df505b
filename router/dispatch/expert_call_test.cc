#include "router/dispatch/expert_call.h"

#include <cstring>
#include <random>

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
  call.worker = "worker " + std::to_string(link);
  call.format = RowFormat::kF32;
  call.n_results = n_results;
  call.hidden_dim = kHidden;
  return call;
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
  const WorkerCall& call = table.Open(CallOn(1, 3), /*step=*/5, /*layer=*/2, /*worker=*/0);
  table.OnFrame(1, FrameOf(ReplyTo(call), 2.5F));
  EXPECT_EQ(table.n_open(), 0);
  EXPECT_TRUE(call.status.ok()) << call.status;
  ASSERT_EQ(call.output.f32.size(), 3U * kHidden);
  EXPECT_EQ(call.output.f32[23], 2.5F);
}

TEST(CallTableTest, F23_DuplicatesAreDropped) {
  CallTable table(kIncarnation);
  const WorkerCall& call = table.Open(CallOn(1, 1), 5, 2, 0);
  const auto reply = ReplyTo(call);
  table.OnFrame(1, FrameOf(reply, 1.0F));
  for (int i = 0; i < 3; ++i) table.OnFrame(1, FrameOf(reply, 9.0F));
  EXPECT_EQ(call.output.f32[0], 1.0F);
  EXPECT_EQ(table.dropped().duplicate, 3U);
}

TEST(CallTableTest, F23_LateRepliesAreDropped) {
  CallTable table(kIncarnation);
  const auto late = ReplyTo(table.Open(CallOn(1, 1), 5, 2, 0));
  table.FailOpen(absl::UnavailableError("deadline"));
  table.Clear();
  table.OnFrame(1, FrameOf(late, 9.0F));                       // Nothing is open.
  const WorkerCall& call = table.Open(CallOn(1, 1), 5, 2, 0);  // All alike but its number.
  table.OnFrame(1, FrameOf(late, 9.0F));
  EXPECT_EQ(table.n_open(), 1);
  EXPECT_EQ(table.dropped().late, 2U);
  table.OnFrame(1, FrameOf(ReplyTo(call), 1.0F));
  EXPECT_EQ(call.output.f32[0], 1.0F);
}

TEST(CallTableTest, F23_UnknownRepliesAreDropped) {
  CallTable table(kIncarnation);
  const WorkerCall& call = table.Open(CallOn(1, 1), 5, 2, 0);
  const auto expect_dropped = [&](auto change) {
    auto reply = ReplyTo(call);
    change(*reply.mutable_id());
    table.OnFrame(1, FrameOf(reply, 9.0F));
    EXPECT_EQ(table.n_open(), 1);
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
  const WorkerCall& call = table.Open(CallOn(1, 1), 5, 2, 0);
  table.OnFrame(2, FrameOf(ReplyTo(call), 9.0F));
  EXPECT_EQ(table.n_open(), 1);
  EXPECT_EQ(table.dropped().unknown, 1U);
}

TEST(CallTableTest, F23_RandomRepliesAreNeverUsed) {
  CallTable table(kIncarnation);
  const WorkerCall& call = table.Open(CallOn(1, 1), 5, 2, 0);
  std::mt19937_64 rng(17);
  for (int i = 0; i < 100000; ++i) {
    auto reply = ReplyTo(call);
    reply.mutable_id()->set_call(rng() % 5 == 0 ? 1 : rng() % 4);
    reply.mutable_id()->set_step(rng() % 5 == 0 ? 5 : rng() % 8);
    reply.mutable_id()->set_attempt(1 + rng() % 3);  // Never the one that is outstanding.
    table.OnFrame(1, FrameOf(reply, 9.0F));
  }
  EXPECT_EQ(table.n_open(), 1);
  EXPECT_EQ(table.dropped().unknown, 100000U);
}

TEST(CallTableTest, F09_CorruptFrameFailsWhatThatWorkerOwes) {
  CallTable table(kIncarnation);
  table.Open(CallOn(1, 1), 5, 2, 0);
  table.Open(CallOn(2, 1), 5, 2, 1);
  FrameBuffer bad = FrameOf(ReplyTo(table.calls()[0]), 1.0F);
  bad.data()[bad.size() - 1] ^= std::byte{4};
  table.OnFrame(1, std::move(bad));
  EXPECT_EQ(table.dropped().corrupt, 1U);
  EXPECT_EQ(table.calls()[0].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(table.calls()[0].status.message()), HasSubstr("worker 1: "));
  EXPECT_TRUE(table.calls()[1].open);
}

TEST(CallTableTest, I3_ReplyOfAnotherShapeFailsTheCall) {
  for (int wrong = 0; wrong < 3; ++wrong) {
    CallTable table(kIncarnation);
    const WorkerCall& call = table.Open(CallOn(1, 2), 5, 2, 0);
    auto reply = ReplyTo(call);
    if (wrong == 0) reply.set_n_rows(1);
    if (wrong == 1) reply.set_hidden_dim(kHidden - 1);
    if (wrong == 2) reply.set_format(wire::ROW_FORMAT_QUANTIZED);
    table.OnFrame(1, FrameOf(reply, 1.0F));
    EXPECT_EQ(call.status.code(), absl::StatusCode::kUnavailable) << wrong;
    EXPECT_TRUE(call.output.f32.empty());
  }
}

TEST(CallTableTest, F10_ReplyThatIsNotFiniteFailsTheCall) {
  for (const float value : {INFINITY, -INFINITY, NAN}) {
    CallTable table(kIncarnation);
    const WorkerCall& call = table.Open(CallOn(1, 2), 5, 2, 0);
    table.OnFrame(1, FrameOf(ReplyTo(call), value));
    EXPECT_THAT(std::string(call.status.message()), HasSubstr("not finite"));
  }
}

TEST(CallTableTest, TypedRefusalsKeepTheirMeaning) {
  for (int code = 0; code <= 12; ++code) {
    if (code == wire::REPLY_CODE_OK) continue;
    CallTable table(kIncarnation);
    const WorkerCall& call = table.Open(CallOn(1, 2), 5, 2, 0);
    auto reply = ReplyTo(call);
    reply.set_code(static_cast<wire::ReplyCode>(code));
    reply.set_message("because");
    wire::FrameHeader header;
    *header.mutable_run_experts_reply() = reply;
    table.OnFrame(1, EncodeFrame(header));
    const bool elsewhere =
        code >= wire::REPLY_CODE_NOT_RESIDENT && code <= wire::REPLY_CODE_DEADLINE_PASSED;
    EXPECT_EQ(call.status.code(),
              elsewhere ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition)
        << code;
    EXPECT_THAT(std::string(call.status.message()), HasSubstr("because"));
  }
}

TEST(CallTableTest, ClosedLinkFailsItsCallsOnly) {
  CallTable table(kIncarnation);
  table.Open(CallOn(1, 1), 5, 2, 0);
  table.Open(CallOn(2, 1), 5, 2, 1);
  table.OnClosed(2, absl::UnavailableError("reset"));
  EXPECT_TRUE(table.calls()[0].open);
  EXPECT_FALSE(table.calls()[1].open);
  EXPECT_EQ(table.calls()[1].status.message(), "worker 2: reset");
}

}  // namespace
}  // namespace shoal
