#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "proto/worker.pb.h"

namespace shoal {

// How rows of numbers lie in a frame's payload: the arrays below one after the other,
// little-endian, without gaps. n_rows and hidden_dim come from the frame's header.

inline constexpr int kRowBlock = 32;  // Elements that share a scale on their way to experts.
static_assert(std::endian::native == std::endian::little, "payloads are read where they lie");

// Rows for experts. QUANTIZED: q8 [n_rows, hidden_dim rounded up to 32], then scales [n_rows,
// blocks]; F32: f32 [n_rows, hidden_dim].
template <typename Byte, typename Float>
struct RequestRows {
  std::span<Byte> q8;
  std::span<Float> scales;
  std::span<Float> f32;
};

// Rows from experts. QUANTIZED: row_scale [n_rows], then f16 bits [n_rows, hidden_dim]; F32: f32
// [n_rows, hidden_dim].
template <typename Half, typename Float>
struct ReplyRows {
  std::span<Float> row_scale;
  std::span<Half> f16;
  std::span<Float> f32;
};

// Payload bytes of n_rows rows. InvalidArgument when a number is out of range (1 <= n_rows <=
// kMaxCallRows, 1 <= hidden_dim <= 2^20), the format is unknown, or the result passes
// kMaxMessageBytes.
absl::StatusOr<size_t> RequestPayloadBytes(wire::RowFormat format, uint32_t n_rows,
                                           uint32_t hidden_dim);
absl::StatusOr<size_t> ReplyPayloadBytes(wire::RowFormat format, uint32_t n_rows,
                                         uint32_t hidden_dim);

// Views of a payload, for reading and, in a frame being written, for filling. InvalidArgument as
// above, or when the payload's length is not exactly what the shape needs.
absl::StatusOr<RequestRows<const int8_t, const float>> ReadRequestRows(
    const wire::RunExpertsRequest& header, std::span<const std::byte> payload);
absl::StatusOr<RequestRows<int8_t, float>> WriteRequestRows(const wire::RunExpertsRequest& header,
                                                            std::span<std::byte> payload);
absl::StatusOr<ReplyRows<const uint16_t, const float>> ReadReplyRows(
    const wire::RunExpertsReply& header, std::span<const std::byte> payload);
absl::StatusOr<ReplyRows<uint16_t, float>> WriteReplyRows(const wire::RunExpertsReply& header,
                                                          std::span<std::byte> payload);

}  // namespace shoal
