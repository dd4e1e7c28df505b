#pragma once

#include <type_traits>

#include "base/check.h"
#include "kernels/row_groups.h"

// Which group a type has; for row_groups.cc and row_groups_pack.cc.
namespace shoal::grouped {

// Blocks that a group holds.
template <typename Group>
constexpr int kBlocksOf = std::extent_v<decltype(Group::q)>;

// Calls body with a null pointer to the type's group.
template <typename Body>
auto WithGroup(DType dtype, Body body) {
  switch (dtype) {
    case DType::kQ8_0:
      return body(static_cast<GroupQ8*>(nullptr));
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return body(static_cast<GroupQ4*>(nullptr));
    case DType::kQ4_K:
      return body(static_cast<GroupQ4K*>(nullptr));
    case DType::kQ6_K:
      return body(static_cast<GroupQ6K*>(nullptr));
    case DType::kQ5_K:
      return body(static_cast<GroupQ5K*>(nullptr));
    case DType::kIQ4_XS:
      return body(static_cast<GroupIQ4XS*>(nullptr));
    case DType::kMXFP4:
      return body(static_cast<GroupMXFP4*>(nullptr));
    case DType::kTQ2_0:
    case DType::kTQ1_0:
      return body(static_cast<GroupTQ2*>(nullptr));
    case DType::kQ1_0:
    case DType::kQ2_0:
      return body(static_cast<GroupQ2*>(nullptr));
    case DType::kQ4_1:
      return body(static_cast<GroupQ4Min*>(nullptr));
    case DType::kQ5_0:
      return body(static_cast<GroupQ5*>(nullptr));
    case DType::kQ5_1:
      return body(static_cast<GroupQ5Min*>(nullptr));
    case DType::kQ2_K:
      return body(static_cast<GroupQ2K*>(nullptr));
    case DType::kNVFP4:
      return body(static_cast<GroupNVFP4*>(nullptr));
    case DType::kIQ2_XXS:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
      return body(static_cast<GroupCoded<8>*>(nullptr));
    case DType::kQ3_K:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ1_M:
      return body(static_cast<GroupCoded<16>*>(nullptr));
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  SHOAL_CHECK(Traits(dtype).quantized);
  return body(static_cast<GroupQ8*>(nullptr));
}

// Of one row of groups: all columns of 16 rows.
inline int64_t GroupBytes(DType dtype, int64_t cols) {
  return WithGroup(dtype, [cols]<typename Group>(Group*) {
    const int64_t n = kBlocksOf<Group>;
    return (cols / 32 + n - 1) / n * static_cast<int64_t>(sizeof(Group));
  });
}

}  // namespace shoal::grouped
