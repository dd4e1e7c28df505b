#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/import/byte_source.h"

namespace shoal {

inline constexpr int kMaxGgufParts = 1024;

// The files that a GGUF model lies in, by the name of any: NAME-00001-of-00003.gguf stands for
// three, whether they are there or not; any other name for itself alone.
std::vector<std::string> GgufParts(const std::string& path);

// The sources one behind the other, under the first one's name. At least one.
std::unique_ptr<ByteSource> Concatenate(std::vector<std::unique_ptr<ByteSource>> sources);

}  // namespace shoal
