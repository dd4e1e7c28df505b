#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal {

// CRC-32C (Castagnoli, reflected, as in RFC 3720 appendix B.4) of `size` bytes, continuing `crc`
// (0 for a new sum). Uses the processor's instruction where there is one.
uint32_t Crc32c(uint32_t crc, const void* data, size_t size);

}  // namespace shoal
