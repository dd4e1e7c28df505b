#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/dtype.h"

// The numbers of the GGUF container, versions 2 and 3. All fields are little-endian:
//   "GGUF", u32 version, u64 n_tensors, u64 n_keys,
//   n_keys x (string key, u32 type, value), n_tensors x (string name, u32 n_dims, u64 dims[],
//   u32 ggml type, u64 offset into the data), padding, data.
// A string is a u64 length and its bytes; an array is a u32 element type, a u64 count, elements.
namespace shoal {

static_assert(std::endian::native == std::endian::little, "fields are copied as they lie");

enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
inline constexpr uint32_t kLastGgufType = 12;

// Bytes of one value; for strings and arrays, of the fields before their contents.
constexpr uint64_t FixedBytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kString:
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kArray:
      return 12;
  }
  return 0;
}

// The type's name for error texts: "UINT32".
std::string_view GgufTypeName(GgufType type);

// GGML's name of a tensor type ("Q4_1"), or empty if this number is not known to be one.
std::string_view GgmlTypeName(uint32_t type);

// Our type for GGML's number, if this runtime computes with it: the one of the same name.
std::optional<DType> DTypeOfGgml(uint32_t type);

// "F32, F16, ...": the types DTypeOfGgml knows.
std::string SupportedGgmlTypes();

// --- Bounds (FAILURE-MODEL 6.6).
inline constexpr uint64_t kMaxGgufTensors = 131072;
inline constexpr uint64_t kMaxGgufKeys = 65536;
inline constexpr uint64_t kMaxGgufKeyBytes = 65535;
inline constexpr uint64_t kMaxGgufNameBytes = 64;
inline constexpr uint64_t kMaxGgufStringBytes = 16 << 20;
inline constexpr uint64_t kMaxGgufElements = 16777216;
inline constexpr uint32_t kMaxGgufDims = 4;
inline constexpr uint64_t kMaxGgufDim = uint64_t{1} << 40;
inline constexpr uint64_t kDefaultGgufAlignment = 32;
inline constexpr uint64_t kMinGgufAlignment = 8;
inline constexpr uint64_t kMaxGgufAlignment = 1 << 20;
// Fewest bytes that one key or one tensor can take: what counts are held against before anything
// is allocated for them.
inline constexpr uint64_t kMinGgufKeyEntryBytes = 8 + 1 + 4 + 1;
inline constexpr uint64_t kMinGgufTensorEntryBytes = 8 + 1 + 4 + 8 + 4 + 8;

}  // namespace shoal
