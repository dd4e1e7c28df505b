#include "model/import/gguf_format.h"

#include <array>
#include <iterator>

namespace shoal {
namespace {

// By GGML's number. Empty: never given, or withdrawn.
constexpr std::string_view kGgmlTypes[] = {
    "F32",     "F16",   "Q4_0",   "Q4_1",  "",      "",       "Q5_0", "Q5_1",    "Q8_0",
    "Q8_1",    "Q2_K",  "Q3_K",   "Q4_K",  "Q5_K",  "Q6_K",   "Q8_K", "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",     "I32",
    "I64",     "F64",   "IQ1_M",  "BF16",  "",      "",       "",     "TQ1_0",   "TQ2_0",
    "",        "",      "",       "MXFP4", "NVFP4", "Q1_0",   "Q2_0",
};
static_assert(std::size(kGgmlTypes) == 43);

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
  const std::string_view name = GgmlTypeName(type);
  for (int i = 0; i <= static_cast<int>(kLastDType); ++i) {
    if (Traits(static_cast<DType>(i)).name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string SupportedGgmlTypes() {
  std::string names;
  for (int i = 0; i <= static_cast<int>(kLastDType); ++i) {
    names.append(i == 0 ? "" : ", ").append(Traits(static_cast<DType>(i)).name);
  }
  return names;
}

}  // namespace shoal
