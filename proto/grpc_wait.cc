#include "proto/grpc_wait.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/clock.h"

namespace shoal {
namespace {

// The monotonic point in time that is as far away as `deadline` is now.
gpr_timespec ToMonotonic(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const absl::Duration wait = std::max(deadline - MonotonicNow(), absl::ZeroDuration());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(wait), GPR_TIMESPAN));
}

}  // namespace

bool NextCompletion(grpc::CompletionQueue& queue, absl::Duration spin, absl::Time deadline,
                    void** tag, bool* ok) {
  const absl::Time start = MonotonicNow();
  const absl::Time spin_end = std::min(start + spin, deadline);
  do {
    const auto status = queue.AsyncNext(tag, ok, gpr_time_0(GPR_CLOCK_MONOTONIC));
    if (status == grpc::CompletionQueue::GOT_EVENT) return true;
    if (status == grpc::CompletionQueue::SHUTDOWN) return false;
  } while (MonotonicNow() < spin_end);
  if (deadline <= start) return false;
  return queue.AsyncNext(tag, ok, ToMonotonic(deadline)) == grpc::CompletionQueue::GOT_EVENT;
}

grpc::ByteBuffer ToByteBuffer(FrameBuffer frame) {
  const size_t size = frame.size();
  const grpc::Slice slice(frame.Release(), size, &std::free);
  return {&slice, 1};
}

FrameBuffer ToFrameBuffer(const grpc::ByteBuffer& buffer) {
  FrameBuffer frame(buffer.Length());
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return FrameBuffer();
  auto* to = reinterpret_cast<uint8_t*>(frame.data());
  for (const grpc::Slice& slice : slices) to = std::copy(slice.begin(), slice.end(), to);
  return frame;
}

}  // namespace shoal
