#include "kernels/softplus.h"

#include <algorithm>

#include "kernels/double_math.h"

namespace shoal {

float Softplus(float x) {
  if (x < -64.0F) return 0.0F;
  if (!(x < 64.0F)) return x;  // A NaN too.
  const double tail = LogDouble(1.0 + ExpDouble(-std::fabs(static_cast<double>(x))));
  return static_cast<float>(std::max(static_cast<double>(x), 0.0) + tail);
}

}  // namespace shoal
