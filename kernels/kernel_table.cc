#include "kernels/kernel_table.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "kernels/attention.h"
#include "kernels/cpu_features.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/quantize.h"
#include "kernels/row_groups.h"

namespace shoal {
namespace {

constexpr KernelTable kScalarKernels = {
    .isa = Isa::kScalar,
    .quantize_row = scalar::QuantizeRow,
    .encode_f16_row = scalar::EncodeF16Row,
    .decode_f16_row = scalar::DecodeF16Row,
    .store_kv = scalar::StoreKv,
    .packed_bytes = scalar::PackedBytes,
    .pack_rows = scalar::PackRows,
    .unpack_row = scalar::UnpackRow,
    .matmul = scalar::Matmul,
    .attend = scalar::Attend,
    .rms_norm = scalar::RmsNorm,
    .layer_norm = scalar::LayerNorm,
    .softmax = scalar::Softmax,
    .silu_mul = scalar::SiluMul,
    .gelu_mul = scalar::GeluMul,
    .clamped_silu_mul = scalar::ClampedSiluMul,
    .axpy = scalar::Axpy,
    .add = scalar::Add,
    .rope_half = scalar::RopeHalf,
    .rope_adjacent = scalar::RopeAdjacent,
};

#if defined(__x86_64__)

constexpr KernelTable Avx2Kernels() {
  KernelTable table = kScalarKernels;
  table.isa = Isa::kAvx2;
  table.quantize_row = avx2::QuantizeRow;
  table.encode_f16_row = avx2::EncodeF16Row;
  table.decode_f16_row = avx2::DecodeF16Row;
  table.store_kv = avx2::StoreKv;
  table.packed_bytes = grouped::PackedBytes;
  table.pack_rows = grouped::PackRows;
  table.unpack_row = grouped::UnpackRow;
  table.matmul = avx2::Matmul;
  table.attend = avx2::Attend;
  table.rms_norm = avx2::RmsNorm;
  table.layer_norm = avx2::LayerNorm;
  table.softmax = avx2::Softmax;
  table.silu_mul = avx2::SiluMul;
  table.gelu_mul = avx2::GeluMul;
  table.clamped_silu_mul = avx2::ClampedSiluMul;
  table.axpy = avx2::Axpy;
  table.add = avx2::Add;
  table.rope_half = avx2::RopeHalf;
  return table;
}

constexpr KernelTable AvxVnniKernels() {
  KernelTable table = Avx2Kernels();
  table.isa = Isa::kAvxVnni;
  table.matmul = avxvnni::Matmul;
  return table;
}

constexpr KernelTable Avx512Kernels() {
  KernelTable table = Avx2Kernels();
  table.isa = Isa::kAvx512;
  table.matmul = avx512::Matmul;
  table.attend = avx512::Attend;
  table.rms_norm = avx512::RmsNorm;
  table.layer_norm = avx512::LayerNorm;
  table.softmax = avx512::Softmax;
  table.silu_mul = avx512::SiluMul;
  table.gelu_mul = avx512::GeluMul;
  table.clamped_silu_mul = avx512::ClampedSiluMul;
  table.axpy = avx512::Axpy;
  table.add = avx512::Add;
  table.rope_half = avx512::RopeHalf;
  return table;
}

constexpr KernelTable AmxKernels() {
  KernelTable table = Avx512Kernels();
  table.isa = Isa::kAmx;
  table.matmul = amx::Matmul;
  return table;
}

constexpr KernelTable kAvx2Kernels = Avx2Kernels();
constexpr KernelTable kAvxVnniKernels = AvxVnniKernels();
constexpr KernelTable kAvx512Kernels = Avx512Kernels();
constexpr KernelTable kAmxKernels = AmxKernels();
constexpr const KernelTable* kVectorKernels[] = {&kAvx2Kernels, &kAvxVnniKernels, &kAvx512Kernels,
                                                 &kAmxKernels};

#elif defined(__aarch64__)

constexpr KernelTable NeonKernels() {
  KernelTable table = kScalarKernels;
  table.isa = Isa::kNeon;
  table.quantize_row = neon::QuantizeRow;
  table.encode_f16_row = neon::EncodeF16Row;
  table.decode_f16_row = neon::DecodeF16Row;
  table.store_kv = neon::StoreKv;
  table.packed_bytes = grouped::PackedBytes;
  table.pack_rows = grouped::PackRows;
  table.unpack_row = grouped::UnpackRow;
  table.matmul = neon::Matmul;
  table.attend = neon::Attend;
  table.rms_norm = neon::RmsNorm;
  table.layer_norm = neon::LayerNorm;
  table.softmax = neon::Softmax;
  table.silu_mul = neon::SiluMul;
  table.gelu_mul = neon::GeluMul;
  table.clamped_silu_mul = neon::ClampedSiluMul;
  table.axpy = neon::Axpy;
  table.add = neon::Add;
  table.rope_half = neon::RopeHalf;
  return table;
}

constexpr KernelTable NeonDotprodKernels() {
  KernelTable table = NeonKernels();
  table.isa = Isa::kNeonDotprod;
  table.matmul = neon_dotprod::Matmul;
  return table;
}

constexpr KernelTable NeonI8mmKernels() {
  KernelTable table = NeonKernels();
  table.isa = Isa::kNeonI8mm;
  table.matmul = neon_i8mm::Matmul;
  return table;
}

constexpr KernelTable kNeonKernels = NeonKernels();
constexpr KernelTable kNeonDotprodKernels = NeonDotprodKernels();
constexpr KernelTable kNeonI8mmKernels = NeonI8mmKernels();
constexpr const KernelTable* kVectorKernels[] = {&kNeonKernels, &kNeonDotprodKernels,
                                                 &kNeonI8mmKernels};

#endif

const KernelTable* SelectKernels() {
  const std::vector<const KernelTable*> available = AvailableKernels();
  const char* wanted = std::getenv("SHOAL_ISA");
  if (wanted == nullptr || *wanted == '\0') return available.back();
  std::string names;
  for (const KernelTable* kernels : available) {
    if (IsaName(kernels->isa) == wanted) return kernels;
    names += (names.empty() ? "" : ", ") + std::string(IsaName(kernels->isa));
  }
  std::fprintf(stderr,
               "shoal: SHOAL_ISA=%s is not an instruction set that this machine runs; it runs: %s. "
               "Unset it to take the last one.\n",
               wanted, names.c_str());
  std::exit(2);
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDotprod:
      return "neon_dotprod";
    case Isa::kNeonI8mm:
      return "neon_i8mm";
  }
  return "?";
}

std::vector<const KernelTable*> AvailableKernels() {
  std::vector<const KernelTable*> tables = {&kScalarKernels};
#if defined(__x86_64__) || defined(__aarch64__)
  for (const KernelTable* table : kVectorKernels) {
    if (CpuSupports(table->isa)) tables.push_back(table);
  }
#endif
  return tables;
}

const KernelTable& SelectedKernels() {
  static const KernelTable* const kSelected = SelectKernels();
  return *kSelected;
}

}  // namespace shoal
