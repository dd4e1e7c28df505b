#pragma once

#include <cstdint>
#include <string>

namespace shoal {

// The model behind the API, as its replies name it.
struct ServedModel {
  std::string name;
  std::string fingerprint;  // Short hash of what decides the answers' bits.
  int64_t created = 0;      // Seconds since 1970 when it was loaded.
};

}  // namespace shoal
