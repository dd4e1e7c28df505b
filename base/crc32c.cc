#include "base/crc32c.h"

#include <boost/crc.hpp>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace shoal {
namespace {

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cSse42(uint32_t crc, const uint8_t* p,
                                                       size_t size) {
  uint64_t state = ~crc;
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    state = _mm_crc32_u64(state, word);
  }
  auto tail = static_cast<uint32_t>(state);
  for (; size > 0; ++p, --size) tail = _mm_crc32_u8(tail, *p);
  return ~tail;
}
#endif

uint32_t Crc32cTable(uint32_t crc, const uint8_t* p, size_t size) {
  // crc_optimal takes its start value before reflection, so a continued sum enters as a remainder.
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> sum;
  if (crc != 0) {
    uint32_t reversed = 0;
    for (int bit = 0; bit < 32; ++bit) reversed |= ((~crc >> bit) & 1U) << (31 - bit);
    sum = decltype(sum)(reversed);
  }
  sum.process_bytes(p, size);
  return sum.checksum();
}

}  // namespace

uint32_t Crc32c(uint32_t crc, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
  if (has_sse42) return Crc32cSse42(crc, p, size);
#endif
  return Crc32cTable(crc, p, size);
}

}  // namespace shoal
