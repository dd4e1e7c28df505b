#include "proto/tensor_codec.h"

#include <vector>

#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/frame_buffer.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

wire::RunExpertsRequest Request(wire::RowFormat format, uint32_t n_rows, uint32_t hidden_dim) {
  wire::RunExpertsRequest header;
  header.set_format(format);
  header.set_n_rows(n_rows);
  header.set_hidden_dim(hidden_dim);
  return header;
}

wire::RunExpertsReply Reply(wire::RowFormat format, uint32_t n_rows, uint32_t hidden_dim) {
  wire::RunExpertsReply header;
  header.set_format(format);
  header.set_n_rows(n_rows);
  header.set_hidden_dim(hidden_dim);
  return header;
}

TEST(TensorCodecTest, RequestBytesFollowFromTheShape) {
  EXPECT_EQ(*RequestPayloadBytes(wire::ROW_FORMAT_QUANTIZED, 3, 64), 3U * (64 + 2 * 4));
  EXPECT_EQ(*RequestPayloadBytes(wire::ROW_FORMAT_QUANTIZED, 3, 65), 3U * (96 + 3 * 4));
  EXPECT_EQ(*RequestPayloadBytes(wire::ROW_FORMAT_F32, 3, 65), 3U * 65 * 4);
  EXPECT_EQ(*ReplyPayloadBytes(wire::ROW_FORMAT_QUANTIZED, 5, 33), 5U * (33 * 2 + 4));
  EXPECT_EQ(*ReplyPayloadBytes(wire::ROW_FORMAT_F32, 5, 33), 5U * 33 * 4);
}

// Goal: a payload that is allowed always fits a message beside the largest header.
TEST(TensorCodecTest, PayloadsLeaveRoomForTheHeader) {
  EXPECT_FALSE(ReplyPayloadBytes(wire::ROW_FORMAT_F32, 1024, 2048).ok());  // 8 MiB to the byte.
  EXPECT_FALSE(ReplyPayloadBytes(wire::ROW_FORMAT_QUANTIZED, 2046, 2048).ok());
  const auto fits = ReplyPayloadBytes(wire::ROW_FORMAT_F32, 1015, 2048);
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_LE(FrameBytes(kMaxFrameHeaderBytes, *fits), kMaxMessageBytes);
}

TEST(TensorCodecTest, WhatIsWrittenIsRead) {
  for (const uint32_t hidden_dim : {1, 32, 33, 100}) {
    const auto header = Request(wire::ROW_FORMAT_QUANTIZED, 4, hidden_dim);
    FrameBuffer payload(*RequestPayloadBytes(header.format(), 4, hidden_dim));
    const auto written = WriteRequestRows(header, payload.bytes());
    ASSERT_TRUE(written.ok()) << written.status();
    for (size_t i = 0; i < written->q8.size(); ++i) written->q8[i] = static_cast<int8_t>(i);
    for (size_t i = 0; i < written->scales.size(); ++i) written->scales[i] = 0.5F * i;
    const auto read = ReadRequestRows(header, payload.bytes());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->q8.size(), 4U * ((hidden_dim + 31) / 32) * 32);
    EXPECT_EQ(read->q8[read->q8.size() - 1], static_cast<int8_t>(read->q8.size() - 1));
    EXPECT_EQ(read->scales.back(), 0.5F * (read->scales.size() - 1));
    EXPECT_TRUE(read->f32.empty());
  }
}

TEST(TensorCodecTest, RepliesAreWrittenAndRead) {
  const auto header = Reply(wire::ROW_FORMAT_QUANTIZED, 3, 7);
  FrameBuffer payload(*ReplyPayloadBytes(header.format(), 3, 7));
  const auto written = WriteReplyRows(header, payload.bytes());
  ASSERT_TRUE(written.ok()) << written.status();
  for (size_t i = 0; i < written->f16.size(); ++i) written->f16[i] = static_cast<uint16_t>(i);
  for (size_t i = 0; i < 3; ++i) written->row_scale[i] = 1.0F + i;
  const auto read = ReadReplyRows(header, payload.bytes());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->f16[20], 20);
  EXPECT_EQ(read->row_scale[2], 3.0F);
}

TEST(TensorCodecTest, S14_LengthsThatDoNotMatchTheShapeAreRefused) {
  for (const auto format : {wire::ROW_FORMAT_QUANTIZED, wire::ROW_FORMAT_F32}) {
    const size_t right = *RequestPayloadBytes(format, 2, 48);
    FrameBuffer payload(right + 8);
    for (const size_t size : {size_t{0}, right - 4, right - 1, right + 1, right + 8}) {
      EXPECT_THAT(
          ReadRequestRows(Request(format, 2, 48), payload.bytes().first(size)).status().message(),
          HasSubstr("its shape needs"));
    }
    EXPECT_FALSE(ReadReplyRows(Reply(format, 2, 48), payload.bytes().first(3)).ok());
  }
}

TEST(TensorCodecTest, S14_ShapesOutOfRangeAreRefused) {
  EXPECT_THAT(RequestPayloadBytes(wire::ROW_FORMAT_F32, 0, 8).status().message(),
              HasSubstr("n_rows=0"));
  EXPECT_FALSE(RequestPayloadBytes(wire::ROW_FORMAT_F32, kMaxCallRows + 1, 8).ok());
  EXPECT_FALSE(RequestPayloadBytes(wire::ROW_FORMAT_F32, 0xffffffff, 0xffffffff).ok());
  EXPECT_THAT(ReplyPayloadBytes(wire::ROW_FORMAT_F32, 1, 0).status().message(),
              HasSubstr("hidden_dim=0"));
  EXPECT_FALSE(ReplyPayloadBytes(wire::ROW_FORMAT_UNSPECIFIED, 1, 8).ok());
  EXPECT_FALSE(ReplyPayloadBytes(static_cast<wire::RowFormat>(77), 1, 8).ok());
}

TEST(TensorCodecTest, S14_RowsOverTheMessageCapAreRefused) {
  EXPECT_THAT(ReplyPayloadBytes(wire::ROW_FORMAT_F32, 4096, 2048).status().message(),
              HasSubstr("send fewer rows"));
}

}  // namespace
}  // namespace shoal
