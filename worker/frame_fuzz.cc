// Any bytes, as a frame that a worker receives, and as one that a router receives: nothing may
// crash, every call gets an answer that holds, and only a sound call is computed. Chance alone
// never meets a checksum and rarely a bound, so the first three bytes say what is put right before
// the frame is read and which of its numbers is moved to which bound afterwards. Seeds, real
// frames: tests/data/fuzz/frame.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/time/time.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "proto/frame_codec.h"
#include "proto/tensor_codec.h"
#include "router/dispatch/expert_call.h"
#include "tests/support/random_experts.h"
#include "worker/ops/run_experts.h"

namespace shoal {
namespace {

constexpr uint8_t kFixChecksum = 1;
constexpr uint8_t kFixPayloadLength = 2;

// Moves one number of a call to a bound or beside it. `what`: 0 nothing, else field and bound;
// `which`: the number, where the field has several.
void Nudge(uint8_t what, uint8_t which, wire::RunExpertsRequest& call) {
  if (what == 0) return;
  const auto n_results = static_cast<uint32_t>(call.rows_size());
  const uint32_t bounds[] = {0,  1, call.n_rows() - 1, call.n_rows(), n_results,
                             10, 2, ~uint32_t{0}};
  const uint32_t bound = bounds[what % 8];
  const auto set = [&](google::protobuf::RepeatedField<uint32_t>& field) {
    if (!field.empty()) field.Set(which % field.size(), bound);
  };
  switch (what / 8 % 4) {
    case 0:
      return set(*call.mutable_rows());
    case 1:
      return set(*call.mutable_expert_ids());
    case 2:
      return set(*call.mutable_n_expert_rows());
    case 3:
      return which % 2 == 0 ? call.set_n_rows(bound) : call.mutable_id()->set_layer(bound);
  }
}

struct Target {
  ModelConfig config = TinyExpertsConfig();
  LoadedExperts loaded = LoadExperts(config, *RandomExpertWeights(config, DType::kQ8_0, 11),
                                     {.part = 0, .n_parts = 2}, {});
  RunExpertsOp op{{.model_id = "0123456789abcdef",
                   .numerics_class = "arithmetic-1/q8x32-f16",
                   .format = RowFormat::kQuantized,
                   .n_layers = config.n_layers,
                   .n_experts = config.n_experts,
                   .hidden_dim = config.hidden_dim},
                  loaded.experts.get()};
};

FrameBuffer MakeFrame(uint8_t mode, const uint8_t* data, size_t size) {
  FrameBuffer frame(size);
  if (size > 0) std::memcpy(frame.data(), data, size);
  if (size < kFramePrefixBytes) return frame;
  if ((mode & kFixPayloadLength) != 0) {
    uint32_t header_bytes = 0;
    std::memcpy(&header_bytes, frame.data() + 8, 4);
    const size_t offset = FrameBytes(header_bytes, 0);
    if (offset <= size) {
      const auto payload_bytes = static_cast<uint32_t>(size - offset);
      std::memcpy(frame.data() + 12, &payload_bytes, 4);
    }
  }
  if ((mode & kFixChecksum) != 0) {
    const uint32_t crc = Crc32c(0, frame.data() + 8, size - 8);
    std::memcpy(frame.data() + 4, &crc, 4);
  }
  return frame;
}

// What must hold of a call that was computed, said once more and differently.
void CheckComputed(const wire::RunExpertsRequest& request, size_t payload_bytes,
                   const Frame& answer) {
  SHOAL_CHECK_EQ(payload_bytes, size_t{request.n_rows()} * (96 + 3 * 4));
  size_t n_rows = 0;
  for (const uint32_t n : request.n_expert_rows()) n_rows += n;
  SHOAL_CHECK_EQ(n_rows, static_cast<size_t>(request.rows_size()));
  for (const uint32_t row : request.rows()) SHOAL_CHECK_LT(row, request.n_rows());
  for (const uint32_t id : request.expert_ids()) SHOAL_CHECK_EQ(id % 2, 0U);
  SHOAL_CHECK_EQ(answer.payload.size(), n_rows * (96 * 2 + 4));
}

void AsWorker(const FrameBuffer& buffer, uint8_t what, uint8_t which) {
  static Target target;
  absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok() || !frame->header.has_run_experts_request()) return;
  wire::RunExpertsRequest& request = *frame->header.mutable_run_experts_request();
  Nudge(what, which, request);
  const RunExpertsOp::Answer answer =
      target.op.Handle(request, frame->payload, absl::InfiniteFuture());
  const absl::StatusOr<Frame> reply = DecodeFrame(answer.frame);
  SHOAL_CHECK(reply.ok());
  SHOAL_CHECK(reply->header.run_experts_reply().code() == answer.code);
  SHOAL_CHECK(answer.code != wire::REPLY_CODE_UNSPECIFIED);
  if (answer.code == wire::REPLY_CODE_OK) CheckComputed(request, frame->payload.size(), *reply);
}

void AsRouter(FrameBuffer buffer) {
  CallTable table(/*router_incarnation=*/1);
  WorkerCall call;
  call.link = 1;
  call.n_results = 2;
  call.hidden_dim = 96;
  table.Open(std::move(call), /*step=*/1, /*layer=*/0, /*worker=*/0, /*attempt=*/0).state =
      CallState::kSent;
  table.OnFrame(1, std::move(buffer));
  const WorkerCall& after = table.calls()[0];
  if (after.state == CallState::kAnswered) {
    SHOAL_CHECK_EQ(after.output.f16.size(), size_t{2 * 96});
  }
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || size > shoal::kMaxMessageBytes) return 0;
  shoal::AsWorker(shoal::MakeFrame(data[0], data + 3, size - 3), data[1], data[2]);
  shoal::AsRouter(shoal::MakeFrame(data[0], data + 3, size - 3));
  return 0;
}
