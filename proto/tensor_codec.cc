#include "proto/tensor_codec.h"

#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

constexpr uint32_t kMaxRowElems = uint32_t{1} << 20;

// Elements in rounded-up blocks; the caller has checked that hidden_dim is at most kMaxRowElems.
constexpr size_t Blocks(uint32_t hidden_dim) { return (hidden_dim + kRowBlock - 1) / kRowBlock; }

absl::Status CheckShape(wire::RowFormat format, uint32_t n_rows, uint32_t hidden_dim) {
  if (n_rows < 1 || n_rows > uint32_t{kMaxCallRows}) {
    return absl::InvalidArgumentError(
        absl::StrCat("n_rows=", n_rows, " not in [1, ", kMaxCallRows, "]"));
  }
  if (hidden_dim < 1 || hidden_dim > kMaxRowElems) {
    return absl::InvalidArgumentError(
        absl::StrCat("hidden_dim=", hidden_dim, " not in [1, ", kMaxRowElems, "]"));
  }
  if (format != wire::ROW_FORMAT_QUANTIZED && format != wire::ROW_FORMAT_F32) {
    return absl::InvalidArgumentError(
        absl::StrCat("row format ", static_cast<int>(format), " is unknown"));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> CheckTotal(size_t n_rows, size_t row_bytes) {
  // At most kMaxCallRows * 4 * kMaxRowElems: far from overflow.
  const size_t total = n_rows * row_bytes;
  if (total > kMaxPayloadBytes) {
    return absl::InvalidArgumentError(absl::StrCat(n_rows, " rows of ", row_bytes,
                                                   " bytes are over the payload cap of ",
                                                   kMaxPayloadBytes, "; send fewer rows per call"));
  }
  return total;
}

absl::Status CheckLength(size_t needed, size_t actual) {
  if (needed == actual) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("payload has ", actual, " bytes, its shape needs ", needed));
}

// The next n elements of `rest`, which the caller knows to be there and aligned.
template <typename T, typename Byte>
std::span<T> Take(std::span<Byte>& rest, size_t n) {
  const std::span<T> taken(reinterpret_cast<T*>(rest.data()), n);
  rest = rest.subspan(n * sizeof(T));
  return taken;
}

template <typename T, typename Byte>
using Like = std::conditional_t<std::is_const_v<Byte>, const T, T>;

template <typename Byte>
absl::StatusOr<RequestRows<Like<int8_t, Byte>, Like<float, Byte>>> ViewRequest(
    const wire::RunExpertsRequest& header, std::span<Byte> payload) {
  SHOAL_ASSIGN_OR_RETURN(const size_t needed, RequestPayloadBytes(header.format(), header.n_rows(),
                                                                  header.hidden_dim()));
  SHOAL_RETURN_IF_ERROR(CheckLength(needed, payload.size()));
  const size_t n_rows = header.n_rows();
  RequestRows<Like<int8_t, Byte>, Like<float, Byte>> rows;
  if (header.format() == wire::ROW_FORMAT_F32) {
    rows.f32 = Take<Like<float, Byte>>(payload, n_rows * header.hidden_dim());
  } else {
    const size_t blocks = Blocks(header.hidden_dim());
    rows.q8 = Take<Like<int8_t, Byte>>(payload, n_rows * blocks * kRowBlock);
    rows.scales = Take<Like<float, Byte>>(payload, n_rows * blocks);
  }
  return rows;
}

template <typename Byte>
absl::StatusOr<ReplyRows<Like<uint16_t, Byte>, Like<float, Byte>>> ViewReply(
    const wire::RunExpertsReply& header, std::span<Byte> payload) {
  SHOAL_ASSIGN_OR_RETURN(const size_t needed,
                         ReplyPayloadBytes(header.format(), header.n_rows(), header.hidden_dim()));
  SHOAL_RETURN_IF_ERROR(CheckLength(needed, payload.size()));
  const size_t n_elems = size_t{header.n_rows()} * header.hidden_dim();
  ReplyRows<Like<uint16_t, Byte>, Like<float, Byte>> rows;
  if (header.format() == wire::ROW_FORMAT_F32) {
    rows.f32 = Take<Like<float, Byte>>(payload, n_elems);
  } else {
    rows.row_scale = Take<Like<float, Byte>>(payload, header.n_rows());
    rows.f16 = Take<Like<uint16_t, Byte>>(payload, n_elems);
  }
  return rows;
}

}  // namespace

absl::StatusOr<size_t> RequestPayloadBytes(wire::RowFormat format, uint32_t n_rows,
                                           uint32_t hidden_dim) {
  SHOAL_RETURN_IF_ERROR(CheckShape(format, n_rows, hidden_dim));
  const size_t row_bytes = format == wire::ROW_FORMAT_F32
                               ? size_t{hidden_dim} * sizeof(float)
                               : Blocks(hidden_dim) * (kRowBlock + sizeof(float));
  return CheckTotal(n_rows, row_bytes);
}

absl::StatusOr<size_t> ReplyPayloadBytes(wire::RowFormat format, uint32_t n_rows,
                                         uint32_t hidden_dim) {
  SHOAL_RETURN_IF_ERROR(CheckShape(format, n_rows, hidden_dim));
  const size_t row_bytes = format == wire::ROW_FORMAT_F32
                               ? size_t{hidden_dim} * sizeof(float)
                               : size_t{hidden_dim} * sizeof(uint16_t) + sizeof(float);
  return CheckTotal(n_rows, row_bytes);
}

absl::StatusOr<RequestRows<const int8_t, const float>> ReadRequestRows(
    const wire::RunExpertsRequest& header, std::span<const std::byte> payload) {
  return ViewRequest(header, payload);
}

absl::StatusOr<RequestRows<int8_t, float>> WriteRequestRows(const wire::RunExpertsRequest& header,
                                                            std::span<std::byte> payload) {
  return ViewRequest(header, payload);
}

absl::StatusOr<ReplyRows<const uint16_t, const float>> ReadReplyRows(
    const wire::RunExpertsReply& header, std::span<const std::byte> payload) {
  return ViewReply(header, payload);
}

absl::StatusOr<ReplyRows<uint16_t, float>> WriteReplyRows(const wire::RunExpertsReply& header,
                                                          std::span<std::byte> payload) {
  return ViewReply(header, payload);
}

}  // namespace shoal
