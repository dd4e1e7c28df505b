#include "kernels/cpu_features.h"

#include "kernels/matmul.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace shoal {

#if defined(__x86_64__)

namespace {

bool HasF16C() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool HasAvxVnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & bit_AVXVNNI) != 0;
}

// Linux lends the tile registers to a process that asks for them.
bool HasAmxInt8() {
  constexpr unsigned kTile = 1U << 24;
  constexpr unsigned kInt8 = 1U << 25;
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, of asm/prctl.h.
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTile) != 0 &&
         (edx & kInt8) != 0 && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool CpuSupports(Isa isa) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16C();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvxVnni:
      return avx2 && HasAvxVnni();
    case Isa::kAvx512:
      return avx512;
    case Isa::kAmx:
      return avx512 && HasAmxInt8();
    default:
      return false;
  }
}

// AMD's processors read the weights of one row's products quickest by themselves. With more rows or
// minima there is more to compute between two loads, and they no longer see far enough ahead.
PrefetchDistances WeightPrefetch(int64_t n_rows, bool minima) {
  static const bool amd = (__builtin_cpu_init(), __builtin_cpu_is("amd") != 0);
  if (!amd) return {.near = 768, .far = 3072};
  return {.near = 0, .far = n_rows == 1 && !minima ? 0 : 8192};
}

#elif defined(__aarch64__)

bool CpuSupports(Isa isa) {
  const bool neon = (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
  const bool dotprod = neon && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kNeon:
      return neon;
    case Isa::kNeonDotprod:
      return dotprod;
    case Isa::kNeonI8mm:
      return dotprod && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
    default:
      return false;
  }
}

PrefetchDistances WeightPrefetch(int64_t /*n_rows*/, bool /*minima*/) {
  return {.near = 768, .far = 3072};
}

#else

bool CpuSupports(Isa isa) { return isa == Isa::kScalar; }
PrefetchDistances WeightPrefetch(int64_t /*n_rows*/, bool /*minima*/) {
  return {.near = 768, .far = 3072};
}

#endif

}  // namespace shoal
