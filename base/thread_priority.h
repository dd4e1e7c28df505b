#pragma once

namespace shoal {

// From now on the calling thread gets a core only where others leave it one, but is never starved:
// for work that must not slow down what somebody waits for. Threads that it starts inherit it.
void LowerThreadPriority();

}  // namespace shoal
