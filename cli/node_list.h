#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/star_model.h"

namespace shoal {

// Boxes as a person writes them down, in YAML:
//
//   nodes:
//     - name: shelf-1
//       memory: 8GiB                # Or bytes, or 8GB.
//       read_gb_per_s: 10           # Or `measure`: this machine, now.
//       round_trip_ms: 0.3          # To the router's box; 0.3 unless said.
//       link_gbit_per_s: 1          # 1 unless said.
//       gops: 80                    # Int8 products; estimated unless said.
//       router: true                # Runs the router; the first node unless said.
//       worker: false               # Holds no experts; true unless said.
//
// InvalidArgument names the file and the line, the key, its value and the bound. `measure` gives
// what `measure_read()` says.
absl::StatusOr<std::vector<StarNode>> ReadNodeList(const std::string& text,
                                                   const std::string& file_name,
                                                   double (*measure_read)());

inline constexpr int kMaxPlanNodes = 256;

}  // namespace shoal
