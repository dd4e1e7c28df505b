#pragma once

#include <concepts>
#include <optional>

namespace shoal {

// Integer arithmetic that reports overflow instead of wrapping. Parsers of foreign bytes count with
// nothing else: every result is empty once any step overflowed.
template <std::integral T>
class Checked {
 public:
  constexpr Checked(T value) : value_(value) {}  // NOLINT: a plain integer is a checked one.

  friend constexpr Checked operator+(Checked a, Checked b) {
    return Apply(a, b, [](T x, T y, T* out) { return __builtin_add_overflow(x, y, out); });
  }
  friend constexpr Checked operator-(Checked a, Checked b) {
    return Apply(a, b, [](T x, T y, T* out) { return __builtin_sub_overflow(x, y, out); });
  }
  friend constexpr Checked operator*(Checked a, Checked b) {
    return Apply(a, b, [](T x, T y, T* out) { return __builtin_mul_overflow(x, y, out); });
  }

  // The value, or nothing if any operation on the way overflowed.
  constexpr std::optional<T> value() const { return value_; }

 private:
  constexpr Checked() = default;

  template <typename Op>
  static constexpr Checked Apply(Checked a, Checked b, Op op) {
    Checked result;
    T out{};
    if (a.value_ && b.value_ && !op(*a.value_, *b.value_, &out)) result.value_ = out;
    return result;
  }

  std::optional<T> value_;
};

}  // namespace shoal
