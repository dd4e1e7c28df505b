#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function when `expr` is not OK.
#define SHOAL_RETURN_IF_ERROR(expr)      \
  do {                                   \
    absl::Status shoal_status = (expr);  \
    if (!shoal_status.ok()) [[unlikely]] \
      return shoal_status;               \
  } while (false)

#define SHOAL_MACRO_CONCAT_INNER(a, b) a##b
#define SHOAL_MACRO_CONCAT(a, b) SHOAL_MACRO_CONCAT_INNER(a, b)

// Evaluates a StatusOr; returns its error, or moves its value into `lhs`.
#define SHOAL_ASSIGN_OR_RETURN(lhs, expr) \
  SHOAL_ASSIGN_OR_RETURN_IMPL(SHOAL_MACRO_CONCAT(shoal_or_, __LINE__), lhs, expr)
#define SHOAL_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) [[unlikely]]                       \
    return std::move(tmp).status();                 \
  lhs = *std::move(tmp)
