#include "kernels/attention.h"
#include "kernels/f32x16_neon.h"
// After the lanes that it is written in.
#include "kernels/attention_f32x16.h"

namespace shoal::neon {

void Attend(const AttendArgs& args) { AttendLanes(args); }

}  // namespace shoal::neon
