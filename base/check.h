#pragma once

#include <sstream>
#include <string>

namespace shoal::internal {

// Prints the failed condition and aborts. Never returns.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& values);

template <typename A, typename B>
std::string CheckValues(const A& a, const B& b) {
  std::ostringstream out;
  out << " (" << a << " against " << b << ")";
  return out.str();
}

}  // namespace shoal::internal

// For what only a bug of ours may break: prints both values, then crashes. Bytes from outside never
// reach a check; they are answered with a Status.
#define SHOAL_CHECK(condition)                                                       \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::shoal::internal::CheckFailed(__FILE__, __LINE__, #condition, std::string{}); \
  } while (false)

#define SHOAL_CHECK_OP(a, op, b)                                         \
  do {                                                                   \
    const auto& shoal_check_a = (a);                                     \
    const auto& shoal_check_b = (b);                                     \
    if (!(shoal_check_a op shoal_check_b)) [[unlikely]]                  \
      ::shoal::internal::CheckFailed(                                    \
          __FILE__, __LINE__, #a " " #op " " #b,                         \
          ::shoal::internal::CheckValues(shoal_check_a, shoal_check_b)); \
  } while (false)

#define SHOAL_CHECK_EQ(a, b) SHOAL_CHECK_OP(a, ==, b)
#define SHOAL_CHECK_NE(a, b) SHOAL_CHECK_OP(a, !=, b)
#define SHOAL_CHECK_LE(a, b) SHOAL_CHECK_OP(a, <=, b)
#define SHOAL_CHECK_LT(a, b) SHOAL_CHECK_OP(a, <, b)
#define SHOAL_CHECK_GE(a, b) SHOAL_CHECK_OP(a, >=, b)
#define SHOAL_CHECK_GT(a, b) SHOAL_CHECK_OP(a, >, b)

#ifdef NDEBUG
#define SHOAL_DCHECK(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#else
#define SHOAL_DCHECK(condition) SHOAL_CHECK(condition)
#endif
