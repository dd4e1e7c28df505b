#include "proto/identity.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"

namespace shoal {
namespace {

constexpr std::array<std::string_view, 5> kRoleNames = {"none", "coordinator", "router", "worker",
                                                        "admin"};

}  // namespace

bool IsNodeId(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string_view RoleName(NodeRole role) { return kRoleNames[static_cast<size_t>(role)]; }

NodeRole RoleFromName(std::string_view name) {
  for (size_t i = 1; i < kRoleNames.size(); ++i) {
    if (name == kRoleNames[i]) return static_cast<NodeRole>(i);
  }
  return NodeRole::kNone;
}

std::string IdentityUri(std::string_view cluster_id, const NodeIdentity& identity) {
  return absl::StrCat("spiffe://", std::string(cluster_id), "/",
                      std::string(RoleName(identity.role)), "/", identity.node_id);
}

absl::StatusOr<NodeIdentity> ParseIdentityUri(std::string_view uri, std::string_view cluster_id) {
  const auto refuse = [&](std::string_view why) {
    return absl::PermissionDeniedError(
        absl::StrCat("certificate name ", Quoted(std::string(uri)), ": ", std::string(why)));
  };
  const std::string prefix = absl::StrCat("spiffe://", std::string(cluster_id), "/");
  if (!uri.starts_with(prefix)) return refuse("not of this cluster");
  const std::string_view rest = uri.substr(prefix.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return refuse("not of the form cluster/role/node");
  NodeIdentity identity{RoleFromName(rest.substr(0, slash)), std::string(rest.substr(slash + 1))};
  if (identity.role == NodeRole::kNone) return refuse("no such role");
  if (!IsNodeId(identity.node_id)) return refuse("no node id of 16 hex digits");
  return identity;
}

std::string RoleDnsName(NodeRole role) {
  return absl::StrCat(std::string(RoleName(role)), ".shoal");
}

std::string NodeDnsName(const NodeIdentity& identity) {
  return absl::StrCat(identity.node_id, ".", RoleDnsName(identity.role));
}

}  // namespace shoal
