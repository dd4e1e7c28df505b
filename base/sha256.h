#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace shoal {

// SHA-256 (FIPS 180-4). As text it is 64 lower-case hex digits.
using Sha256Digest = std::array<std::byte, 32>;

Sha256Digest Sha256(std::span<const std::byte> bytes);
std::string Sha256Hex(std::span<const std::byte> bytes);
std::string ToHex(const Sha256Digest& digest);
// Nothing unless `hex` is exactly 64 digits of 0-9a-f (S19).
std::optional<Sha256Digest> DigestFromHex(std::string_view hex);
// As ==, in a time that does not tell where they differ.
bool EqualInConstantTime(const Sha256Digest& a, const Sha256Digest& b);
// As DigestFromHex, for 32 raw bytes, as they stand in messages.
std::optional<Sha256Digest> DigestFromBytes(std::string_view bytes);
std::string DigestBytes(const Sha256Digest& digest);

// The hash of bytes that come in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;  // What was moved from may only be destroyed.
  Sha256Stream& operator=(Sha256Stream&&) = delete;
  void Update(std::span<const std::byte> bytes);
  // Of all bytes so far; starts anew.
  Sha256Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace shoal
