#include "kernels/attention.h"
#include "kernels/f32x16_avx2.h"
// After the lanes that it is written in.
#include "kernels/attention_f32x16.h"

namespace shoal::avx2 {

void Attend(const AttendArgs& args) { AttendLanes(args); }

}  // namespace shoal::avx2
