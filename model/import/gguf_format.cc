#include "model/import/gguf_format.h"

#include <array>
#include <iterator>

namespace shoal {
namespace {

// By GGML's number. Empty: never given, or withdrawn.
constexpr std::string_view kGgmlTypes[] = {
    "F32",    "F16",   "Q4_0",  "Q4_1",   "",      "",      "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
    "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
    "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
    "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4",
};
static_assert(std::size(kGgmlTypes) == 40);

}  // namespace

std::string_view GgufTypeName(GgufType type) {
  static constexpr std::array<std::string_view, kLastGgufType + 1> kNames = {
      "UINT8", "INT8",   "UINT16", "INT16",  "UINT32", "INT32",  "FLOAT32",
      "BOOL",  "STRING", "ARRAY",  "UINT64", "INT64",  "FLOAT64"};
  const auto number = static_cast<uint32_t>(type);
  return number < kNames.size() ? kNames[number] : std::string_view("?");
}

std::string_view GgmlTypeName(uint32_t type) {
  return type < std::size(kGgmlTypes) ? kGgmlTypes[type] : std::string_view();
}

std::optional<DType> DTypeOfGgml(uint32_t type) {
  switch (type) {
    case 0:
      return DType::kF32;
    case 1:
      return DType::kF16;
    case 2:
      return DType::kQ4_0;
    case 8:
      return DType::kQ8_0;
    case 12:
      return DType::kQ4_K;
    case 13:
      return DType::kQ5_K;
    case 14:
      return DType::kQ6_K;
    case 23:
      return DType::kIQ4_XS;
    case 30:
      return DType::kBF16;
    case 35:
      return DType::kTQ2_0;
    case 39:
      return DType::kMXFP4;
    default:
      return std::nullopt;
  }
}

std::string_view SupportedGgmlTypes() {
  return "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, IQ4_XS, MXFP4, TQ2_0";
}

}  // namespace shoal
