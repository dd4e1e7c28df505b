#include "proto/frame_codec.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"

namespace shoal {
namespace {

constexpr size_t kChecksumEnd = 8;

constexpr size_t PayloadOffset(size_t header_bytes) {
  const size_t align = FrameBuffer::kAlignment;
  return (kFramePrefixBytes + header_bytes + align - 1) / align * align;
}

void PutU32(std::byte* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

uint32_t GetU32(const std::byte* at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<uint32_t>(at[i]) << (8 * i);
  return value;
}

uint32_t Checksum(std::span<const std::byte> frame) {
  return Crc32c(0, frame.data() + kChecksumEnd, frame.size() - kChecksumEnd);
}

// Checks magic and lengths; afterwards every offset that they imply lies inside the frame.
absl::Status CheckPrefix(std::span<const std::byte> bytes) {
  if (bytes.size() < kFramePrefixBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frame of ", bytes.size(), " bytes is shorter than its prefix of ", kFramePrefixBytes));
  }
  if (bytes.size() > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame of ", bytes.size(), " bytes is over the cap of ", kMaxMessageBytes));
  }
  if (GetU32(bytes.data()) != kFrameMagic) {
    return absl::InvalidArgumentError("frame does not begin with the magic SHF1");
  }
  const size_t header_bytes = GetU32(bytes.data() + 8);
  const size_t payload_bytes = GetU32(bytes.data() + 12);
  if (header_bytes > kMaxFrameHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("frame header_bytes=", header_bytes,
                                                   " is over the cap of ", kMaxFrameHeaderBytes));
  }
  // Neither term can overflow: both came from 32 bits.
  if (PayloadOffset(header_bytes) + payload_bytes != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("frame of ", bytes.size(),
                                                   " bytes says header_bytes=", header_bytes,
                                                   " and payload_bytes=", payload_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

size_t FrameBytes(size_t header_bytes, size_t payload_bytes) {
  return PayloadOffset(header_bytes) + payload_bytes;
}

FrameWriter::FrameWriter(const wire::FrameHeader& header, size_t payload_bytes) {
  const size_t header_bytes = header.ByteSizeLong();
  SHOAL_CHECK_LE(header_bytes, kMaxFrameHeaderBytes);
  payload_offset_ = PayloadOffset(header_bytes);
  SHOAL_CHECK_LE(payload_offset_ + payload_bytes, kMaxMessageBytes);
  buffer_ = FrameBuffer(payload_offset_ + payload_bytes);
  std::byte* out = buffer_.data();
  PutU32(out, kFrameMagic);
  PutU32(out + 8, static_cast<uint32_t>(header_bytes));
  PutU32(out + 12, static_cast<uint32_t>(payload_bytes));
  header.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out + kFramePrefixBytes));
  std::fill(out + kFramePrefixBytes + header_bytes, out + payload_offset_, std::byte{0});
}

FrameBuffer FrameWriter::Finish() && {
  PutU32(buffer_.data() + 4, Checksum(buffer_.bytes()));
  return std::move(buffer_);
}

FrameBuffer EncodeFrame(const wire::FrameHeader& header) { return FrameWriter(header, 0).Finish(); }

absl::StatusOr<Frame> DecodeFrame(const FrameBuffer& buffer) {
  const std::span<const std::byte> bytes = buffer.bytes();
  if (absl::Status status = CheckPrefix(bytes); !status.ok()) return status;
  if (GetU32(bytes.data() + 4) != Checksum(bytes)) {
    return absl::DataLossError("frame checksum does not match its bytes");
  }
  const size_t header_bytes = GetU32(bytes.data() + 8);
  Frame frame;
  if (!frame.header.ParseFromArray(bytes.data() + kFramePrefixBytes,
                                   static_cast<int>(header_bytes))) {
    return absl::InvalidArgumentError("frame header is not a FrameHeader message");
  }
  if (frame.header.message_case() == wire::FrameHeader::MESSAGE_NOT_SET) {
    return absl::InvalidArgumentError("frame header holds no message this version knows");
  }
  frame.payload = bytes.subspan(PayloadOffset(header_bytes));
  return frame;
}

}  // namespace shoal
