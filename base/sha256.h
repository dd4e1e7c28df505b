#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace shoal {

// SHA-256 (FIPS 180-4) of `bytes`, as 64 lower-case hex digits.
std::string Sha256Hex(std::span<const std::byte> bytes);

}  // namespace shoal
