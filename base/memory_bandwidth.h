#pragma once

#include <cstddef>

namespace shoal {

// How fast `n_threads` threads together read memory, in GB/s (1e9 bytes): the median of a few
// passes, of 50 ms or more each, over a buffer that no cache holds. Takes less than a second on
// anything that reads 1 GB/s or more, and as many bytes as BandwidthBufferBytes() says while it
// lasts.
double MeasureReadGbPerS(int n_threads);

// Twice the last caches, 32 to 256 MiB, or a quarter of the available memory where that is less.
size_t BandwidthBufferBytes();

}  // namespace shoal
