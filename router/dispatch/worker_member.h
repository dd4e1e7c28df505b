#pragma once

#include <string>
#include <vector>

namespace shoal {

// A worker that may be asked, as the snapshot of the cluster names it.
struct WorkerMember {
  std::string node_id;  // Empty: whoever is at that address.
  std::string address;
  bool draining = false;  // Asked only for what no other worker has.
  double speed = 0;       // Measured, in any unit that all members share; 0: not known.

  friend bool operator==(const WorkerMember&, const WorkerMember&) = default;
};

inline constexpr int kMaxWorkers = 256;  // Members of a snapshot.

// Workers at fixed addresses, whoever they are.
inline std::vector<WorkerMember> StaticMembers(const std::vector<std::string>& addresses) {
  std::vector<WorkerMember> members;
  for (const std::string& address : addresses) {
    members.push_back({.node_id = {}, .address = address});
  }
  return members;
}

}  // namespace shoal
