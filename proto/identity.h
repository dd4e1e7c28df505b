#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal {

// What a node may be. kNone has no certificate: somebody who wants to join, or whose certificate
// has expired.
enum class NodeRole : uint8_t { kNone = 0, kCoordinator, kRouter, kWorker, kAdmin };
std::string_view RoleName(NodeRole role);  // "router"; "none" for kNone.
// kNone for anything that is not one of the four names.
NodeRole RoleFromName(std::string_view name);

// Who is at the other end of a link: from its certificate and from nothing else (S02).
struct NodeIdentity {
  NodeRole role = NodeRole::kNone;
  std::string node_id;  // 16 hex digits; empty for kNone.
  friend bool operator==(const NodeIdentity&, const NodeIdentity&) = default;
};

// 16 digits of 0-9a-f.
bool IsNodeId(std::string_view text);

// "spiffe://<cluster-id>/<role>/<node-id>".
std::string IdentityUri(std::string_view cluster_id, const NodeIdentity& identity);
// PermissionDenied for other clusters and for names of any other form.
absl::StatusOr<NodeIdentity> ParseIdentityUri(std::string_view uri, std::string_view cluster_id);
// The DNS names of a node's certificate: "<role>.shoal" and "<node-id>.<role>.shoal". Whoever dials
// asks TLS for one of them, and so reaches a node of that role, or that node, or nobody.
std::string RoleDnsName(NodeRole role);
std::string NodeDnsName(const NodeIdentity& identity);

}  // namespace shoal
