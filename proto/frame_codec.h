#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "proto/frame.pb.h"
#include "proto/frame_buffer.h"

namespace shoal {

// A frame is what one message on a stream holds, little-endian:
//
//   offset 0   u32  magic "SHF1"
//          4   u32  CRC-32C of everything behind this field
//          8   u32  header_bytes
//         12   u32  payload_bytes
//         16        header: a wire::FrameHeader, then zeros up to a multiple of 64
//                   payload: payload_bytes
//
// so the payload is aligned to 64 inside a FrameBuffer and is read where it lies.
inline constexpr uint32_t kFrameMagic = 0x31464853;
inline constexpr size_t kFramePrefixBytes = 16;
inline constexpr size_t kMaxFrameHeaderBytes = size_t{64} << 10;  // 4,096 row indices are 8 KiB.
// What is left of a message beside the largest header, its prefix and its padding.
inline constexpr size_t kMaxPayloadBytes = kMaxMessageBytes - kMaxFrameHeaderBytes - 4096;

// Writes one frame: the header at once, the payload in place, the checksum last.
class FrameWriter {
 public:
  // The header is at most kMaxFrameHeaderBytes and the payload kMaxPayloadBytes: callers cut larger
  // work by rows before.
  FrameWriter(const wire::FrameHeader& header, size_t payload_bytes);
  std::span<std::byte> payload() { return buffer_.bytes().subspan(payload_offset_); }
  FrameBuffer Finish() &&;

 private:
  size_t payload_offset_ = 0;
  FrameBuffer buffer_;
};

// A frame without a payload.
FrameBuffer EncodeFrame(const wire::FrameHeader& header);

struct Frame {
  wire::FrameHeader header;            // Exactly one message is set.
  std::span<const std::byte> payload;  // Aligned to 64; lives as long as the buffer.
};

// Reads a frame of foreign bytes; nothing of it is used before lengths and checksum hold.
// InvalidArgument: not a frame, or lengths that do not add up. DataLoss: the checksum differs.
absl::StatusOr<Frame> DecodeFrame(const FrameBuffer& buffer);

// Bytes of a frame around a payload, header included, if the header has `header_bytes`.
size_t FrameBytes(size_t header_bytes, size_t payload_bytes);

}  // namespace shoal
