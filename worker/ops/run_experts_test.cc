#include "worker/ops/run_experts.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/tensor_codec.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

// Of layer 1 of a tiny float model experts 0, 2, 4, ..., and a sound call for two of them.
class RunExpertsTest : public ::testing::Test {
 protected:
  RunExpertsTest() {
    const auto weights = RandomExpertWeights(config_, DType::kF32, 9);
    loaded_ =
        LoadExperts(config_, *weights, {.part = 1, .n_parts = 2}, {.format = RowFormat::kF32});
    op_ = std::make_unique<RunExpertsOp>(ServedHere(), loaded_.experts.get());
  }

  ServedModel ServedHere() const {
    return {.model_id = "model",
            .numerics_class = "numerics",
            .format = RowFormat::kF32,
            .n_layers = config_.n_layers,
            .n_experts = config_.n_experts,
            .hidden_dim = config_.hidden_dim};
  }

  static wire::RunExpertsRequest Sound() {
    wire::RunExpertsRequest request;
    request.mutable_id()->set_call(1);
    request.mutable_id()->set_layer(1);
    request.set_remaining_us(1000000);
    request.set_model_id("model");
    request.set_numerics_class("numerics");
    request.set_format(wire::ROW_FORMAT_F32);
    request.set_n_rows(3);
    request.set_hidden_dim(96);
    for (const uint32_t id : {2, 6}) request.add_expert_ids(id);
    for (const uint32_t n : {2, 3}) request.add_n_expert_rows(n);
    for (const uint32_t row : {0, 2, 0, 1, 2}) request.add_rows(row);
    return request;
  }

  RunExpertsOp::Answer Handle(const wire::RunExpertsRequest& request, float value = 0.5F,
                              absl::Time deadline = absl::InfiniteFuture()) {
    FrameBuffer payload(3 * 96 * sizeof(float));
    for (size_t i = 0; i < payload.size(); i += sizeof(float)) {
      std::memcpy(payload.data() + i, &value, sizeof(float));
    }
    return op_->Handle(request, payload.bytes(), deadline);
  }

  // The code and reason that a call with one thing wrong is refused with.
  void ExpectRefused(wire::ReplyCode code, const std::string& why,
                     const std::function<void(wire::RunExpertsRequest&)>& change) {
    wire::RunExpertsRequest request = Sound();
    change(request);
    const RunExpertsOp::Answer answer = Handle(request);
    EXPECT_EQ(answer.code, code) << why;
    EXPECT_EQ(answer.n_rows, 0);
    const auto frame = DecodeFrame(answer.frame);
    ASSERT_TRUE(frame.ok());
    EXPECT_EQ(frame->header.run_experts_reply().code(), code);
    EXPECT_EQ(frame->header.run_experts_reply().id().call(), request.id().call());
    EXPECT_THAT(frame->header.run_experts_reply().message(), HasSubstr(why));
    EXPECT_TRUE(frame->payload.empty());
  }
  void ExpectBadShape(const std::string& why,
                      const std::function<void(wire::RunExpertsRequest&)>& change) {
    ExpectRefused(wire::REPLY_CODE_BAD_SHAPE, why, change);
  }

  const ModelConfig config_ = TinyExpertsConfig();
  LoadedExperts loaded_;
  std::unique_ptr<RunExpertsOp> op_;
};

using Request = wire::RunExpertsRequest;

TEST_F(RunExpertsTest, SoundCallIsAnswered) {
  const RunExpertsOp::Answer answer = Handle(Sound());
  EXPECT_EQ(answer.code, wire::REPLY_CODE_OK);
  EXPECT_EQ(answer.n_rows, 5);
  const auto frame = DecodeFrame(answer.frame);
  ASSERT_TRUE(frame.ok());
  const wire::RunExpertsReply& reply = frame->header.run_experts_reply();
  EXPECT_EQ(reply.id().SerializeAsString(), Sound().id().SerializeAsString());
  EXPECT_EQ(reply.n_rows(), 5U);
  const auto rows = ReadReplyRows(reply, frame->payload);
  ASSERT_TRUE(rows.ok()) << rows.status();
  // All input rows are alike, so all rows of one expert are, and those of two experts are not.
  EXPECT_EQ(rows->f32[0], rows->f32[96]);
  EXPECT_NE(rows->f32[0], rows->f32[2 * 96]);
}

// Goal: a refusal repeats the id and nothing that a peer hid in it; its header always fits.
TEST_F(RunExpertsTest, AnIdStuffedWithUnknownFieldsIsNotEchoed) {
  Request request = Sound();
  // Field 100, length-delimited, 65,000 bytes.
  ASSERT_TRUE(
      request.mutable_id()->MergeFromString("\xA2\x06\xE8\xFB\x03" + std::string(65000, 'x')));
  EXPECT_LT(Handle(request).frame.size(), 16384U);  // The rows of a sound answer.
  request.set_model_id("another");
  const RunExpertsOp::Answer refusal = Handle(request);
  EXPECT_EQ(refusal.code, wire::REPLY_CODE_WRONG_MODEL);
  EXPECT_LT(refusal.frame.size(), 1024U);
}

TEST_F(RunExpertsTest, S14_CallsThatDoNotFitAreRefusedByType) {
  ExpectRefused(wire::REPLY_CODE_WRONG_MODEL, "'other'",
                [](Request& r) { r.set_model_id("other"); });
  ExpectRefused(wire::REPLY_CODE_WRONG_NUMERICS, "numerics class",
                [](Request& r) { r.set_numerics_class(""); });
  ExpectRefused(wire::REPLY_CODE_NOT_RESIDENT, "expert 7 of layer 1",
                [](Request& r) { r.set_expert_ids(1, 7); });
  ExpectBadShape("no id", [](Request& r) { r.clear_id(); });
  ExpectBadShape("row format 1", [](Request& r) { r.set_format(wire::ROW_FORMAT_QUANTIZED); });
  ExpectBadShape("row format 0", [](Request& r) { r.clear_format(); });
  ExpectBadShape("row format 9", [](Request& r) { r.set_format(static_cast<wire::RowFormat>(9)); });
  ExpectBadShape("hidden_dim=95", [](Request& r) { r.set_hidden_dim(95); });
  ExpectBadShape("layer=2", [](Request& r) { r.mutable_id()->set_layer(2); });
  ExpectBadShape("layer=4294967295", [](Request& r) { r.mutable_id()->set_layer(0xffffffff); });
}

TEST_F(RunExpertsTest, S15_DeadlineIsRequiredAndBounded) {
  ExpectBadShape("remaining_us=0", [](Request& r) { r.clear_remaining_us(); });
  ExpectBadShape("remaining_us=10000001", [](Request& r) { r.set_remaining_us(10000001); });
}

TEST_F(RunExpertsTest, S15_CallPastItsDeadlineIsNotComputed) {
  const RunExpertsOp::Answer answer = Handle(Sound(), 0.5F, absl::Now() - absl::Milliseconds(1));
  EXPECT_EQ(answer.code, wire::REPLY_CODE_DEADLINE_PASSED);
  EXPECT_EQ(loaded_.experts->rows_computed(), 0U);
}

TEST_F(RunExpertsTest, S14_ExpertsAscendAndHaveRows) {
  ExpectBadShape("no expert", [](Request& r) { r.clear_expert_ids(); });
  ExpectBadShape("2 experts but 1 row counts", [](Request& r) {
    r.clear_n_expert_rows();
    r.add_n_expert_rows(5);
  });
  ExpectBadShape("ids must ascend", [](Request& r) { r.set_expert_ids(1, 2); });
  ExpectBadShape("ids must ascend", [](Request& r) { r.set_expert_ids(1, 0); });
  ExpectBadShape("expert id 10 not in", [](Request& r) { r.set_expert_ids(1, 10); });
  ExpectBadShape("expert id 4294967295 not in",
                 [](Request& r) { r.set_expert_ids(1, 0xffffffff); });
  ExpectBadShape("has 0 rows", [](Request& r) { r.set_n_expert_rows(0, 0); });
}

TEST_F(RunExpertsTest, S14_RowCountsMatchTheRows) {
  ExpectBadShape("expert 6 has 4 rows, 3 are left", [](Request& r) { r.set_n_expert_rows(1, 4); });
  ExpectBadShape("has 4294967295 rows", [](Request& r) { r.set_n_expert_rows(1, 0xffffffff); });
  ExpectBadShape("add up to 4, 5 rows", [](Request& r) { r.set_n_expert_rows(1, 2); });
  ExpectBadShape("reply: n_rows=0", [](Request& r) { r.clear_rows(); });
  ExpectBadShape("not in [1, 4096]", [](Request& r) {
    for (int i = 0; i < kMaxCallRows; ++i) r.add_rows(0);
  });
}

TEST_F(RunExpertsTest, S14_RowsAreInRangeAndAscend) {
  ExpectBadShape("row 3 of expert 2", [](Request& r) { r.set_rows(1, 3); });
  ExpectBadShape("row 4294967295 of expert 6", [](Request& r) { r.set_rows(4, 0xffffffff); });
  ExpectBadShape("row 0 of expert 2", [](Request& r) { r.set_rows(1, 0); });
  ExpectBadShape("row 2 of expert 6", [](Request& r) {
    r.set_rows(3, 2);
    r.set_rows(2, 2);
  });
}

TEST_F(RunExpertsTest, S14_PayloadMatchesTheShape) {
  ExpectBadShape("its shape needs", [](Request& r) { r.set_n_rows(4); });
  ExpectBadShape("n_rows=4097", [](Request& r) { r.set_n_rows(kMaxCallRows + 1); });
}

// Goal: what is not finite spoils the result rows of its own row, bit for bit as it would where
// nothing crosses a link, and no other row.
TEST_F(RunExpertsTest, ARowThatIsNotFiniteSpoilsItselfAlone) {
  for (const float value : {INFINITY, NAN}) {
    const Request request = Sound();
    std::vector<float> x(3 * 96, 0.5F);
    x[96 + 11] = value;  // Row 1.
    const auto answer = op_->Handle(request, std::as_bytes(std::span(x)), absl::InfiniteFuture());
    ASSERT_EQ(answer.code, wire::REPLY_CODE_OK);
    const auto frame = DecodeFrame(answer.frame);
    ASSERT_TRUE(frame.ok());
    const auto rows = ReadReplyRows(frame->header.run_experts_reply(), frame->payload);
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (int r = 0; r < request.rows_size(); ++r) {
      for (int i = 0; i < 96; ++i) {
        EXPECT_EQ(std::isfinite(rows->f32[r * 96 + i]), request.rows(r) != 1) << r;
      }
    }
  }
}

// Goal: a call whose deadline passes midway stops there and says so.
TEST_F(RunExpertsTest, S15_CallPastItsDeadlineMidwayIsGivenUp) {
  class StepClock final : public Clock {  // A second later each time it is asked.
   public:
    absl::Time Now() override { return absl::UnixEpoch() + absl::Seconds(n_asked_++); }
    absl::Time WallNow() override { return Now(); }
    int n_asked() const { return n_asked_; }

   private:
    int n_asked_ = 0;  // The pool is one thread.
  };
  StepClock clock;
  RunExpertsOp op(ServedHere(), loaded_.experts.get(), &clock);
  std::vector<float> x(3 * 96, 0.5F);
  const auto answer =
      op.Handle(Sound(), std::as_bytes(std::span(x)), absl::UnixEpoch() + absl::Seconds(2));
  EXPECT_EQ(answer.code, wire::REPLY_CODE_DEADLINE_PASSED);
  EXPECT_EQ(clock.n_asked(), 3);  // Before the work, before its first block, before the second.
  EXPECT_EQ(loaded_.experts->rows_computed(), 0U);
}

}  // namespace
}  // namespace shoal
