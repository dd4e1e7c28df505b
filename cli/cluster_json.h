#pragma once

#include <string>

#include "nlohmann/json_fwd.hpp"
#include "proto/frame_codec.h"

namespace shoal {

// What the coordinator says of one node, as `shoal node list --json` has it.
nlohmann::ordered_json ToJson(const wire::NodeInfo& node);
// Of the cluster without its nodes.
nlohmann::ordered_json ToJson(const wire::ListNodesReply& cluster, const std::string& placement);
// All of it: what /status answers and `shoal status --json` prints.
nlohmann::ordered_json ToJson(const wire::ClusterStatus& status);

// What keeps a router from being quicker just now, in a few words.
std::string LimitOf(const wire::RouterLoad& load);

}  // namespace shoal
