#include "proto/snapshot.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "proto/cluster.pb.h"

namespace shoal {
namespace {

constexpr std::string_view kPurpose = "shoal snapshot";
constexpr uint32_t kFormat = 1;
constexpr size_t kMaxModelNameBytes = 256;
constexpr size_t kMaxHostBytes = 253;                  // RFC 1035.
constexpr uint64_t kMaxUnixSeconds = 253'402'300'799;  // The year 9999 ends.

absl::Status Refuse(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("snapshot: ", std::string(why)));
}

template <typename Bytes>
std::string AsText(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

wire::Role ToWire(NodeRole role) { return static_cast<wire::Role>(role); }
static_assert(static_cast<int>(NodeRole::kCoordinator) == wire::ROLE_COORDINATOR);
static_assert(static_cast<int>(NodeRole::kRouter) == wire::ROLE_ROUTER);
static_assert(static_cast<int>(NodeRole::kWorker) == wire::ROLE_WORKER);
static_assert(static_cast<int>(NodeRole::kAdmin) == wire::ROLE_ADMIN);

wire::Snapshot ToWire(const Snapshot& snapshot) {
  wire::Snapshot message;
  message.set_format(kFormat);
  message.set_cluster_id(snapshot.cluster_id);
  message.set_epoch(snapshot.epoch);
  message.set_issued_unix_s(static_cast<uint64_t>(absl::ToUnixSeconds(snapshot.issued)));
  if (snapshot.model_id.has_value()) {
    message.set_model_id(DigestBytes(*snapshot.model_id));
    message.set_model_name(snapshot.model_name);
    message.set_n_layers(static_cast<uint32_t>(snapshot.n_layers));
    message.set_n_experts(static_cast<uint32_t>(snapshot.n_experts));
    message.set_import_key(AsText(snapshot.import_key));
  }
  for (const Snapshot::Member& from : snapshot.members) {
    wire::Member& member = *message.add_members();
    member.set_node_id(from.node.node_id);
    member.set_role(ToWire(from.node.role));
    member.set_peer_address(from.peer_address);
    member.set_draining(from.draining);
    if (!from.assigned.empty()) member.set_assigned(from.assigned.Bytes());
  }
  for (const std::string& node_id : snapshot.revoked) message.add_revoked(node_id);
  return message;
}

absl::Status ReadModel(const wire::Snapshot& message, Snapshot* out) {
  if (message.model_id().empty()) {
    if (!message.model_name().empty() || message.n_layers() != 0 || message.n_experts() != 0 ||
        !message.import_key().empty()) {
      return Refuse("model_name, n_layers, n_experts or import_key without a model_id");
    }
    return absl::OkStatus();
  }
  out->model_id = DigestFromBytes(message.model_id());
  if (!out->model_id.has_value()) {
    return Refuse(absl::StrCat("model_id of ", message.model_id().size(), " bytes, not 32"));
  }
  if (message.model_name().empty() || message.model_name().size() > kMaxModelNameBytes) {
    return Refuse(absl::StrCat("model_name of ", message.model_name().size(), " bytes, not in [1, ",
                               kMaxModelNameBytes, "]"));
  }
  if (message.n_layers() < 1 || message.n_layers() > kMaxLayers) {
    return Refuse(absl::StrCat("n_layers=", message.n_layers(), " not in [1, ", kMaxLayers, "]"));
  }
  if (message.n_experts() < 1 || message.n_experts() > kMaxExperts) {
    return Refuse(
        absl::StrCat("n_experts=", message.n_experts(), " not in [1, ", kMaxExperts, "]"));
  }
  if (message.import_key().size() != out->import_key.size()) {
    return Refuse(absl::StrCat("import_key of ", message.import_key().size(), " bytes, not ",
                               out->import_key.size()));
  }
  out->model_name = message.model_name();
  out->n_layers = static_cast<int>(message.n_layers());
  out->n_experts = static_cast<int>(message.n_experts());
  std::memcpy(out->import_key.data(), message.import_key().data(), out->import_key.size());
  return absl::OkStatus();
}

absl::StatusOr<Snapshot::Member> ReadMember(const wire::Member& message, const Snapshot& snapshot) {
  if (!IsNodeId(message.node_id())) {
    return Refuse(absl::StrCat("node id ", Quoted(message.node_id()), " is not 16 hex digits"));
  }
  const std::string who = absl::StrCat("node ", message.node_id(), ": ");
  const bool is_worker = message.role() == wire::ROLE_WORKER;
  if (!is_worker && message.role() != wire::ROLE_ROUTER) {
    return Refuse(absl::StrCat(who, "role ", static_cast<int>(message.role()),
                               " is neither router nor worker"));
  }
  if (is_worker && !IsHostPort(message.peer_address())) {
    return Refuse(
        absl::StrCat(who, "peer address ", Quoted(message.peer_address()), " is not host:port"));
  }
  if (!is_worker && (!message.peer_address().empty() || !message.assigned().empty())) {
    return Refuse(absl::StrCat(who, "a router with a peer address or experts"));
  }
  absl::StatusOr<ExpertSet> assigned =
      ExpertSet::FromBytes(message.assigned(), snapshot.n_layers, snapshot.n_experts);
  if (!assigned.ok()) return Refuse(absl::StrCat(who, std::string(assigned.status().message())));
  return Snapshot::Member{
      .node = {is_worker ? NodeRole::kWorker : NodeRole::kRouter, message.node_id()},
      .peer_address = message.peer_address(),
      .draining = message.draining(),
      .assigned = *std::move(assigned)};
}

absl::Status ReadMembers(const wire::Snapshot& message, Snapshot* out) {
  if (message.members_size() > kMaxMembers) {
    return Refuse(absl::StrCat(message.members_size(), " members, more than ", kMaxMembers));
  }
  out->members.reserve(static_cast<size_t>(message.members_size()));
  for (const wire::Member& from : message.members()) {
    SHOAL_ASSIGN_OR_RETURN(Snapshot::Member member, ReadMember(from, *out));
    if (!out->members.empty() && out->members.back().node.node_id >= member.node.node_id) {
      return Refuse(absl::StrCat("member ", member.node.node_id, " is not above the one before"));
    }
    out->members.push_back(std::move(member));
  }
  return absl::OkStatus();
}

absl::Status ReadRevoked(const wire::Snapshot& message, Snapshot* out) {
  if (message.revoked_size() > kMaxRevoked) {
    return Refuse(absl::StrCat(message.revoked_size(), " revoked nodes, more than ", kMaxRevoked));
  }
  for (const std::string& node_id : message.revoked()) {
    if (!IsNodeId(node_id)) {
      return Refuse(absl::StrCat("revoked ", Quoted(node_id), " is not 16 hex digits"));
    }
    if (!out->revoked.empty() && out->revoked.back() >= node_id) {
      return Refuse(absl::StrCat("revoked ", node_id, " is not above the one before"));
    }
    out->revoked.push_back(node_id);
  }
  return absl::OkStatus();
}

absl::StatusOr<Snapshot> ReadMessage(const wire::Snapshot& message) {
  Snapshot snapshot;
  if (message.format() != kFormat) {
    return Refuse(absl::StrCat("format ", message.format(), ", this version reads ", kFormat));
  }
  if (message.epoch() == 0) return Refuse("epoch is 0");
  if (message.issued_unix_s() > kMaxUnixSeconds) {
    return Refuse(
        absl::StrCat("issued_unix_s=", message.issued_unix_s(), " is above ", kMaxUnixSeconds));
  }
  snapshot.cluster_id = message.cluster_id();
  snapshot.epoch = message.epoch();
  snapshot.issued = absl::FromUnixSeconds(static_cast<int64_t>(message.issued_unix_s()));
  SHOAL_RETURN_IF_ERROR(ReadModel(message, &snapshot));
  SHOAL_RETURN_IF_ERROR(ReadMembers(message, &snapshot));
  SHOAL_RETURN_IF_ERROR(ReadRevoked(message, &snapshot));
  return snapshot;
}

// The signature is proven before anything else of the message is looked at.
absl::StatusOr<wire::Snapshot> CheckSignature(std::string_view signed_bytes,
                                              const Ed25519PublicKey& ca_key) {
  if (signed_bytes.size() > kMaxSnapshotBytes) {
    return Refuse(absl::StrCat(signed_bytes.size(), " bytes, more than ", kMaxSnapshotBytes));
  }
  wire::SignedSnapshot outer;
  if (!outer.ParseFromArray(signed_bytes.data(), static_cast<int>(signed_bytes.size()))) {
    return Refuse("not a SignedSnapshot message");
  }
  Ed25519Signature signature;
  if (outer.signature().size() != signature.size()) {
    return Refuse(
        absl::StrCat("signature of ", outer.signature().size(), " bytes, not ", signature.size()));
  }
  std::memcpy(signature.data(), outer.signature().data(), signature.size());
  if (!VerifyEd25519(ca_key, kPurpose, outer.snapshot(), signature)) {
    return absl::PermissionDeniedError("snapshot: not signed by this cluster's authority");
  }
  wire::Snapshot message;
  if (!message.ParseFromString(outer.snapshot())) return Refuse("not a Snapshot message");
  return message;
}

}  // namespace

bool IsHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon > kMaxHostBytes) return false;
  std::string_view host = text.substr(0, colon);
  const std::string port(text.substr(colon + 1));
  int number = 0;
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
    return false;
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    return host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
  }
  return host.find_first_not_of(
             "0123456789abcdefghijklmnopqrstuvwxyz"
             "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_") == std::string_view::npos;
}

const Snapshot::Member* Snapshot::Find(std::string_view node_id) const {
  const auto found = std::lower_bound(
      members.begin(), members.end(), node_id,
      [](const Member& member, std::string_view id) { return member.node.node_id < id; });
  return found == members.end() || found->node.node_id != node_id ? nullptr : &*found;
}

bool Snapshot::IsRevoked(std::string_view node_id) const {
  return std::binary_search(revoked.begin(), revoked.end(), node_id);
}

std::vector<int> Snapshot::HoldersOf(int layer, int expert) const {
  std::vector<int> holders;
  for (size_t i = 0; i < members.size(); ++i) {
    if (members[i].assigned.Contains(layer, expert)) holders.push_back(static_cast<int>(i));
  }
  return holders;
}

std::string SignSnapshot(const Snapshot& snapshot, const Ed25519Key& ca_key) {
  wire::SignedSnapshot outer;
  outer.set_snapshot(ToWire(snapshot).SerializeAsString());
  outer.set_signature(AsText(ca_key.Sign(kPurpose, outer.snapshot())));
  return outer.SerializeAsString();
}

absl::StatusOr<Snapshot> OpenSnapshot(std::string_view signed_bytes, const Ed25519PublicKey& ca_key,
                                      std::string_view cluster_id) {
  SHOAL_ASSIGN_OR_RETURN(const wire::Snapshot message, CheckSignature(signed_bytes, ca_key));
  if (message.cluster_id() != cluster_id) {
    return absl::PermissionDeniedError(absl::StrCat("snapshot: of cluster ",
                                                    Quoted(message.cluster_id()), ", not ",
                                                    Quoted(std::string(cluster_id))));
  }
  return ReadMessage(message);
}

}  // namespace shoal
