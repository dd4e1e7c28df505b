#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/frame_buffer.h"

namespace shoal {

// What both ends of proto/grpc_transport.h share.

// Takes the next completion: polls for up to `spin`, then blocks until the deadline. False when
// there was none, or the queue is shut down and empty.
bool NextCompletion(grpc::CompletionQueue& queue, absl::Duration spin, absl::Time deadline,
                    void** tag, bool* ok);

// Hands the memory over without copying.
grpc::ByteBuffer ToByteBuffer(FrameBuffer frame);

// Copies once: what arrives lies in several slices at any alignment.
FrameBuffer ToFrameBuffer(const grpc::ByteBuffer& buffer);

}  // namespace shoal
