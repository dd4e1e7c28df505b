#pragma once

namespace shoal {

// log(1 + e^x), computed in double as max(x, 0) + log(1 + e^-|x|) and rounded once; x itself from
// 64 on, 0 below -64.
float Softplus(float x);

}  // namespace shoal
