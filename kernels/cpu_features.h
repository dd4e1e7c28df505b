#pragma once

#include "kernels/kernel_table.h"

namespace shoal {

// Whether this machine and its operating system can run the kernels of `isa`:
// kAvx2 is AVX2, FMA and F16C; kAvxVnni those and AVX-VNNI; kAvx512 kAvx2's and AVX-512 F, BW, DQ,
// VL and VNNI; kAmx those and AMX INT8, for which it asks Linux on behalf of the process. kNeon is
// what every 64-bit ARM has; kNeonDotprod adds SDOT (Cortex-A76), kNeonI8mm SMMLA too (Neoverse
// V1).
bool CpuSupports(Isa isa);

}  // namespace shoal
