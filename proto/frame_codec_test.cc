#include "proto/frame_codec.h"

#include <cstring>
#include <random>
#include <string>

#include "base/crc32c.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

wire::FrameHeader SampleHeader() {
  wire::FrameHeader header;
  wire::RunExpertsRequest& request = *header.mutable_run_experts_request();
  request.mutable_id()->set_router_incarnation(0x1234567890abcdef);
  request.mutable_id()->set_call(7);
  request.set_model_id("feed");
  for (uint32_t expert : {1, 4, 6}) request.add_expert_ids(expert);
  return header;
}

FrameBuffer SampleFrame(size_t payload_bytes) {
  FrameWriter writer(SampleHeader(), payload_bytes);
  for (size_t i = 0; i < payload_bytes; ++i)
    writer.payload()[i] = static_cast<std::byte>(i * 7 + 3);
  return std::move(writer).Finish();
}

FrameBuffer Copy(std::span<const std::byte> bytes) {
  FrameBuffer copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

// Makes the checksum right again, so that what is behind it is reached.
void Reseal(FrameBuffer& frame) {
  const uint32_t crc = Crc32c(0, frame.data() + 8, frame.size() - 8);
  std::memcpy(frame.data() + 4, &crc, 4);
}

TEST(FrameCodecTest, RoundTripKeepsHeaderAndPayload) {
  for (const size_t payload_bytes : {0, 1, 63, 64, 1000}) {
    const FrameBuffer buffer = SampleFrame(payload_bytes);
    const auto frame = DecodeFrame(buffer);
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(frame->header.SerializeAsString(), SampleHeader().SerializeAsString());
    ASSERT_EQ(frame->payload.size(), payload_bytes);
    for (size_t i = 0; i < payload_bytes; ++i) {
      ASSERT_EQ(frame->payload[i], static_cast<std::byte>(i * 7 + 3));
    }
  }
}

TEST(FrameCodecTest, PayloadIsAligned) {
  const FrameBuffer buffer = SampleFrame(100);
  const auto frame = DecodeFrame(buffer);
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(frame->payload.data()) % FrameBuffer::kAlignment, 0U);
}

TEST(FrameCodecTest, F09_EveryFlippedBitIsRefused) {
  const FrameBuffer good = SampleFrame(130);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    FrameBuffer bad = Copy(good.bytes());
    bad.data()[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_FALSE(DecodeFrame(bad).ok()) << "bit " << bit;
  }
}

TEST(FrameCodecTest, F09_EveryTruncationIsRefused) {
  const FrameBuffer good = SampleFrame(130);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeFrame(Copy(good.bytes().first(size))).ok()) << size;
  }
}

TEST(FrameCodecTest, F09_ExtensionIsRefused) {
  const FrameBuffer good = SampleFrame(130);
  for (const size_t extra : {1, 4, 64, 4096}) {
    FrameBuffer longer(good.size() + extra);
    std::memset(longer.data(), 0, longer.size());
    std::memcpy(longer.data(), good.data(), good.size());
    EXPECT_FALSE(DecodeFrame(longer).ok()) << extra;
    Reseal(longer);
    EXPECT_THAT(DecodeFrame(longer).status().message(), HasSubstr("payload_bytes=130"));
  }
}

TEST(FrameCodecTest, F09_SwappedPayloadsAreRefused) {
  FrameBuffer a = SampleFrame(128);
  FrameBuffer b = SampleFrame(128);
  for (std::byte& byte : b.bytes().last(128)) byte ^= std::byte{1};
  Reseal(b);
  ASSERT_TRUE(DecodeFrame(a).ok());
  ASSERT_TRUE(DecodeFrame(b).ok());
  for (size_t i = 0; i < 128; ++i) {
    std::swap(a.bytes().last(128)[i], b.bytes().last(128)[i]);
  }
  EXPECT_EQ(DecodeFrame(a).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeFrame(b).status().code(), absl::StatusCode::kDataLoss);
}

TEST(FrameCodecTest, LengthsPastTheEndAreRefusedEvenWithARightChecksum) {
  for (const uint32_t value : {0U, 1U, 65U, 0x10001U, 0x7fffffffU, 0xffffffffU}) {
    for (const size_t offset : {8, 12}) {
      FrameBuffer bad = SampleFrame(130);
      std::memcpy(bad.data() + offset, &value, 4);
      Reseal(bad);
      EXPECT_EQ(DecodeFrame(bad).status().code(), absl::StatusCode::kInvalidArgument)
          << offset << " " << value;
    }
  }
}

TEST(FrameCodecTest, HeaderThatIsNoMessageIsRefused) {
  FrameBuffer bad = SampleFrame(0);
  bad.data()[kFramePrefixBytes] = std::byte{0xff};
  Reseal(bad);
  EXPECT_THAT(DecodeFrame(bad).status().message(), HasSubstr("not a FrameHeader"));
}

TEST(FrameCodecTest, EmptyHeaderIsRefused) {
  EXPECT_THAT(DecodeFrame(EncodeFrame(wire::FrameHeader())).status().message(),
              HasSubstr("no message"));
}

TEST(FrameCodecTest, S14_FrameOverTheCapIsRefused) {
  FrameBuffer huge(kMaxMessageBytes + 64);
  std::memset(huge.data(), 0, huge.size());
  EXPECT_THAT(DecodeFrame(huge).status().message(), HasSubstr("over the cap"));
}

TEST(FrameCodecTest, F09_RandomBytesAreRefused) {
  std::mt19937_64 rng(91);
  for (int i = 0; i < 20000; ++i) {
    FrameBuffer noise(rng() % 300);
    for (std::byte& byte : noise.bytes()) byte = static_cast<std::byte>(rng());
    EXPECT_FALSE(DecodeFrame(noise).ok());
  }
}

}  // namespace
}  // namespace shoal
