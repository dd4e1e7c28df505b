#include "model/import/stored_values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

float WidenBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float WidenF16(uint16_t bits) {
  const uint32_t sign = (uint32_t{bits} & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | magnitude << 13);
  // Scaling by 2^112 moves the exponent's bias; it is exact, and subnormal halves become normal.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

// E4M3 without infinities (arXiv:2209.05433): the two codes with all other bits set are NaN.
constexpr std::array<float, 256> MakeF8Values() {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15;
    const int mantissa = code & 7;
    float value = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) / 512.0F;
    for (int e = 1; e < exponent; ++e) value *= 2;
    if ((code & 0x7F) == 0x7F) value = std::numeric_limits<float>::quiet_NaN();
    values[code] = code < 128 ? value : -value;
  }
  return values;
}
constexpr std::array<float, 256> kF8Values = MakeF8Values();

// Four significant bits of an E4M3 value by at most four of a scale are the eight that BF16 has.
bool KeepsBf16Exact(float scale) {
  const bool four_bits = (std::bit_cast<uint32_t>(scale) & 0x000FFFFFU) == 0;
  return four_bits && scale >= 0x1p-100F && scale <= 0x1p100F;
}

template <typename T>
T LoadAt(std::span<const std::byte> bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.subspan(i * sizeof(T), sizeof(T)).data(), sizeof(T));
  return value;
}
template <typename T>
void StoreAt(std::span<std::byte> bytes, size_t i, T value) {
  std::memcpy(bytes.subspan(i * sizeof(T), sizeof(T)).data(), &value, sizeof(T));
}

// As read, or what it stands for.
float ValueOf(float stored, StoredAs stored_as) {
  switch (stored_as) {
    case StoredAs::kItself:
      return stored;
    case StoredAs::kLessOne:
      return stored + 1;
    case StoredAs::kLogOfNegated:
      return static_cast<float>(-std::exp(static_cast<double>(stored)));
  }
  return stored;
}

// FP8 by its scales.
absl::Status UnpackF8(const Checkpoint& checkpoint, const StoredTensor& tensor, DType dtype,
                      int64_t first, std::span<const std::byte> stored, std::span<std::byte> out) {
  std::vector<float> scales(static_cast<size_t>((tensor.cols + kScaleBlock - 1) / kScaleBlock));
  int64_t scale_row = -1;
  for (size_t i = 0; i < stored.size(); ++i) {
    const int64_t at = first + static_cast<int64_t>(i);
    const int64_t row = at / tensor.cols / kScaleBlock;
    if (row != scale_row) {
      scale_row = row;
      const uint64_t begin = static_cast<uint64_t>(row) * scales.size() * sizeof(float);
      SHOAL_RETURN_IF_ERROR(
          checkpoint.Read(*tensor.scales, begin, std::as_writable_bytes(std::span(scales))));
    }
    const float scale = scales[static_cast<size_t>(at % tensor.cols / kScaleBlock)];
    const float value = kF8Values[std::to_integer<uint8_t>(stored[i])] * scale;
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(checkpoint.folder(), ": tensor ", Quoted(tensor.source->info->name),
                       ": element ", at, " is not a finite number; fetch the model again"));
    }
    if (dtype == DType::kF32) {
      StoreAt(out, i, value);
    } else {  // Exact: the scales have been looked at.
      StoreAt(out, i, static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
    }
  }
  return absl::OkStatus();
}

// Blocks of 32: a checkpoint has elements 2j and 2j + 1 in byte j, and scales apart; a block here
// has its scale first, then j and j + 16.
absl::Status PackMxfp4(const Checkpoint& checkpoint, const StoredTensor& tensor, int64_t first,
                       std::span<std::byte> out) {
  constexpr size_t kBlock = 32;
  constexpr size_t kHalf = kBlock / 2;
  const size_t n_blocks = out.size() / (kHalf + 1);
  const uint64_t first_block = static_cast<uint64_t>(first) / kBlock;
  std::vector<std::byte> nibbles(n_blocks * kHalf);
  std::vector<std::byte> scales(n_blocks);
  SHOAL_RETURN_IF_ERROR(checkpoint.Read(*tensor.source, first_block * kHalf, nibbles));
  SHOAL_RETURN_IF_ERROR(checkpoint.Read(*tensor.scales, first_block, scales));
  for (size_t b = 0; b < n_blocks; ++b) {
    const std::byte* in = nibbles.data() + b * kHalf;
    std::byte* block = out.data() + b * (kHalf + 1);
    block[0] = scales[b];
    const auto nibble = [in](size_t element) {
      return element % 2 == 0 ? in[element / 2] & std::byte{15} : in[element / 2] >> 4;
    };
    for (size_t j = 0; j < kHalf; ++j) block[1 + j] = nibble(j) | nibble(j + kHalf) << 4;
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<DType> SameFormat(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::kF32:
      return DType::kF32;
    case SafetensorsType::kF16:
      return DType::kF16;
    case SafetensorsType::kBF16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

bool IsStoredAs(const StoredTensor& tensor, DType dtype) {
  return tensor.stored_as == StoredAs::kItself && SameFormat(tensor.source->info->type) == dtype;
}

absl::Status ReadValues(const Checkpoint& checkpoint, const StoredTensor& tensor, DType dtype,
                        int64_t first, std::span<std::byte> out) {
  if (dtype == DType::kMXFP4) return PackMxfp4(checkpoint, tensor, first, out);
  const SafetensorsType type = tensor.source->info->type;
  const uint64_t elem_bytes = SafetensorsTypeBytes(type);
  const uint64_t begin = static_cast<uint64_t>(first) * elem_bytes;
  if (IsStoredAs(tensor, dtype)) return checkpoint.Read(*tensor.source, begin, out);
  const uint64_t n_elems = out.size() / static_cast<uint64_t>(Traits(dtype).block_bytes);
  std::vector<std::byte> stored(n_elems * elem_bytes);
  SHOAL_RETURN_IF_ERROR(checkpoint.Read(*tensor.source, begin, stored));
  if (type == SafetensorsType::kF8E4M3) {
    return UnpackF8(checkpoint, tensor, dtype, first, stored, out);
  }
  for (size_t i = 0; i < n_elems; ++i) {
    const float value = type == SafetensorsType::kBF16  ? WidenBf16(LoadAt<uint16_t>(stored, i))
                        : type == SafetensorsType::kF16 ? WidenF16(LoadAt<uint16_t>(stored, i))
                                                        : LoadAt<float>(stored, i);
    StoreAt(out, i, ValueOf(value, tensor.stored_as));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> AreScalesExact(const Checkpoint& checkpoint,
                                    const Checkpoint::Tensor& scales) {
  bool exact = true;
  std::array<std::byte, 16384> buffer;
  for (uint64_t offset = 0; offset < scales.info->n_bytes; offset += buffer.size()) {
    const auto piece =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), scales.info->n_bytes - offset));
    SHOAL_RETURN_IF_ERROR(checkpoint.Read(scales, offset, piece));
    for (size_t i = 0; i < piece.size() / sizeof(float); ++i) {
      const auto scale = LoadAt<float>(piece, i);
      if (!std::isfinite(scale)) {
        return absl::InvalidArgumentError(
            absl::StrCat(checkpoint.folder(), ": tensor ", Quoted(scales.info->name),
                         " has element ", offset / sizeof(float) + i, " ", scale,
                         ", not a finite number; fetch the model again"));
      }
      exact = exact && KeepsBf16Exact(scale);
    }
  }
  return exact;
}

}  // namespace shoal
