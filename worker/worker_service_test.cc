#include "worker/worker_service.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/tensor_codec.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

const NodeIdentity kRouter{NodeRole::kRouter, "00000000000000aa"};

class WorkerServiceTest : public ::testing::Test {
 protected:
  WorkerServiceTest() {
    const auto weights = RandomExpertWeights(config_, DType::kQ8_0, 9);
    loaded_ = LoadExperts(config_, *weights, {}, {});
    served_ = std::make_shared<Served>(ServedModel{.model_id = "model",
                                                   .numerics_class = "numerics",
                                                   .n_layers = config_.n_layers,
                                                   .n_experts = config_.n_experts,
                                                   .hidden_dim = config_.hidden_dim},
                                       std::move(loaded_.experts));
    served_->AdvertiseAll();
    WorkerService::Options options;
    options.isa = "scalar";
    options.snapshot = [this] { return snapshot_; };
    service_ = std::make_unique<WorkerService>(std::move(options));
    service_->Serve(served_);
  }

  static FrameBuffer Call(uint64_t call) {
    wire::FrameHeader header;
    wire::RunExpertsRequest& request = *header.mutable_run_experts_request();
    request.mutable_id()->set_call(call);
    request.set_remaining_us(10000000);
    request.set_model_id("model");
    request.set_numerics_class("numerics");
    request.set_format(wire::ROW_FORMAT_QUANTIZED);
    request.set_n_rows(1);
    request.set_hidden_dim(96);
    request.add_expert_ids(0);
    request.add_n_expert_rows(1);
    request.add_rows(0);
    FrameWriter writer(header, *RequestPayloadBytes(request.format(), 1, 96));
    for (std::byte& byte : writer.payload()) byte = std::byte{0};
    return std::move(writer).Finish();
  }

  void Offer(FrameBuffer frame, const NodeIdentity& peer = kRouter) {
    service_->OnRunExperts(peer, std::move(frame), [this](FrameBuffer reply) {
      const auto decoded = DecodeFrame(reply);
      ASSERT_TRUE(decoded.ok());
      replies_.push_back(decoded->header.run_experts_reply());
    });
  }

  wire::StatusReply Status() {
    wire::FrameHeader header;
    header.mutable_status_request()->set_id(31);
    wire::StatusReply status;
    service_->OnHealth(kRouter, EncodeFrame(header), [&](FrameBuffer reply) {
      status = DecodeFrame(reply)->header.status_reply();
    });
    return status;
  }

  // Of another worker.
  static uint64_t OtherIncarnation() {
    WorkerService other({});
    wire::FrameHeader header;
    header.mutable_status_request();
    uint64_t incarnation = 0;
    other.OnHealth(kRouter, EncodeFrame(header), [&](FrameBuffer reply) {
      incarnation = DecodeFrame(reply)->header.status_reply().incarnation();
    });
    return incarnation;
  }

  const ModelConfig config_ = TinyExpertsConfig();
  LoadedExperts loaded_;
  std::shared_ptr<Served> served_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::unique_ptr<WorkerService> service_;
  std::vector<wire::RunExpertsReply> replies_;
};

TEST_F(WorkerServiceTest, CallsAreAnsweredInOrder) {
  for (const uint64_t call : {5, 6, 7}) Offer(Call(call));
  EXPECT_TRUE(replies_.empty());
  while (service_->RunNext()) {
  }
  ASSERT_EQ(replies_.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(replies_[i].id().call(), 5 + i);
    EXPECT_EQ(replies_[i].code(), wire::REPLY_CODE_OK);
  }
}

TEST_F(WorkerServiceTest, S15_FullQueueAnswersAtOnce) {
  for (int i = 0; i < kMaxCallsPerPeer; ++i) Offer(Call(i));
  EXPECT_TRUE(replies_.empty());
  Offer(Call(777));
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_OVERLOADED);
  EXPECT_EQ(replies_[0].id().call(), 777U);
}

TEST_F(WorkerServiceTest, F09_CorruptFrameIsAnsweredAndNotRun) {
  FrameBuffer bad = Call(5);
  bad.data()[bad.size() - 1] ^= std::byte{1};
  Offer(std::move(bad));
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_BAD_CHECKSUM);
  EXPECT_FALSE(replies_[0].has_id());
  EXPECT_FALSE(service_->RunNext());
}

TEST_F(WorkerServiceTest, FrameOfAnotherKindIsRefused) {
  wire::FrameHeader header;
  header.mutable_status_request();
  Offer(EncodeFrame(header));
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_BAD_SHAPE);
}

TEST_F(WorkerServiceTest, DrainRefusesNewCallsAndWaitsForAcceptedOnes) {
  Offer(Call(5));
  EXPECT_FALSE(service_->Drain(absl::Now()));  // One call is not answered yet.
  Offer(Call(6));
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_DRAINING);
  EXPECT_TRUE(Status().draining());
  EXPECT_TRUE(service_->RunNext());
  EXPECT_EQ(replies_[1].code(), wire::REPLY_CODE_OK);
  EXPECT_TRUE(service_->Drain(absl::Now() + absl::Seconds(20)));
}

TEST_F(WorkerServiceTest, StatusCounts) {
  Offer(Call(5));
  service_->RunNext();
  Offer(FrameBuffer(3));
  const wire::StatusReply status = Status();
  EXPECT_EQ(status.id(), 31U);
  EXPECT_EQ(status.model_id(), "model");
  EXPECT_EQ(status.isa(), "scalar");
  EXPECT_EQ(status.calls(), 1U);
  EXPECT_EQ(status.refused_calls(), 1U);
  EXPECT_EQ(status.rows_computed(), 1U);
  EXPECT_EQ(status.bytes_in(), Call(5).size() + 3);
  EXPECT_GT(status.bytes_out(), 2U * 96);
  EXPECT_EQ(status.resident_experts(), 20U);
  EXPECT_EQ(status.resident_expert_bytes(), served_->experts().resident_bytes());
  EXPECT_FALSE(status.draining());
}

TEST_F(WorkerServiceTest, NoiseOnTheHealthStreamGetsNoAnswer) {
  int n_replies = 0;
  const auto count = [&](FrameBuffer) { ++n_replies; };
  service_->OnHealth(kRouter, FrameBuffer(7), count);
  service_->OnHealth(kRouter, Call(1), count);
  EXPECT_EQ(n_replies, 0);
}

TEST_F(WorkerServiceTest, S15_OnePeersFullQueueLeavesRoomForAnother) {
  for (int i = 0; i < kMaxCallsPerPeer; ++i) Offer(Call(i));
  Offer(Call(777), {NodeRole::kRouter, "00000000000000bb"});
  EXPECT_TRUE(replies_.empty());
  service_->RunNext();
  service_->RunNext();
  ASSERT_EQ(replies_.size(), 2U);
  EXPECT_EQ(replies_[1].id().call(), 777U);  // They take turns.
}

TEST_F(WorkerServiceTest, S04_OnlyRoutersAreAnswered) {
  for (const NodeRole role :
       {NodeRole::kNone, NodeRole::kCoordinator, NodeRole::kWorker, NodeRole::kAdmin}) {
    const NodeIdentity peer{role, "00000000000000cc"};
    replies_.clear();
    Offer(Call(5), peer);
    ASSERT_EQ(replies_.size(), 1U);
    EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_DENIED);
    wire::FrameHeader header;
    header.mutable_status_request()->set_id(31);
    service_->OnHealth(peer, EncodeFrame(header), [](FrameBuffer) { FAIL(); });
  }
  EXPECT_FALSE(service_->RunNext());
}

TEST_F(WorkerServiceTest, S03_RevokedRoutersAreRefusedFromTheNextCallOn) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot_ = snapshot;
  Offer(Call(5));
  EXPECT_TRUE(replies_.empty());
  auto next = std::make_shared<Snapshot>();
  next->revoked = {kRouter.node_id};
  snapshot_ = next;
  Offer(Call(6));
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_DENIED);
  EXPECT_EQ(replies_[0].id().call(), 6U);
  EXPECT_THAT(replies_[0].message(), ::testing::HasSubstr("revoked"));
}

TEST_F(WorkerServiceTest, WithoutAModelNothingIsResident) {
  service_->Serve(nullptr);
  Offer(Call(5));
  EXPECT_TRUE(service_->RunNext());
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].code(), wire::REPLY_CODE_NOT_RESIDENT);
  EXPECT_EQ(Status().model_id(), "");
  EXPECT_EQ(Status().resident(), "");
}

TEST_F(WorkerServiceTest, StatusNamesWhatIsAnsweredForAndTheIncarnation) {
  EXPECT_EQ(Status().resident(), served_->advertised().Bytes());
  served_->Withdraw(0, 3);
  ExpertSet expected(config_.n_layers, config_.n_experts);
  for (int e = 0; e < 20; ++e) expected.Insert(e / 10, e % 10);
  expected.Erase(0, 3);
  EXPECT_EQ(Status().resident(), expected.Bytes());
  EXPECT_EQ(Status().resident_experts(), 19U);
  // What has been given up still answers those who have not heard of it.
  EXPECT_TRUE(served_->experts().Resident(0, 3));
  EXPECT_NE(Status().incarnation(), OtherIncarnation());
}

}  // namespace
}  // namespace shoal
