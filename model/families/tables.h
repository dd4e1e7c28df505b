#pragma once

#include "model/families/family.h"

// One constant per architecture, each defined in the file that bears its name.
namespace shoal {

extern const Family kQwen3Moe;

}  // namespace shoal
