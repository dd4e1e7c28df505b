#include "base/thread_priority.h"

#include <sys/resource.h>

namespace shoal {
namespace {

constexpr int kLowest = 19;

}  // namespace

// On Linux a priority belongs to a thread, whatever POSIX says of processes; 0 is the caller. It
// always may lower itself.
void LowerThreadPriority() { setpriority(PRIO_PROCESS, 0, kLowest); }

}  // namespace shoal
