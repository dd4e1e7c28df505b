#include "base/random.h"

#include <openssl/rand.h>

#include <algorithm>

#include "base/check.h"

namespace shoal {
namespace {

class OpenSslRandom final : public Random {
 public:
  void Fill(std::span<std::byte> out) override {
    constexpr size_t kMost = 1 << 20;
    while (!out.empty()) {
      const size_t n = std::min(out.size(), kMost);
      SHOAL_CHECK_EQ(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)),
                     1);
      out = out.subspan(n);
    }
  }
};

}  // namespace

Random* SystemRandom() {
  static auto* const random = new OpenSslRandom;
  return random;
}

}  // namespace shoal
