#include "proto/cluster_testing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/random.h"

namespace shoal {

const absl::Time TestAuthority::kStart = absl::FromUnixSeconds(1790000000);

TestAuthority::TestAuthority(std::string cluster_id, absl::Time now)
    : cluster_id_(std::move(cluster_id)),
      key_(Ed25519Key::Generate(SystemRandom())),
      ca_pem_(*MakeCaCertificate(key_, "shoal", now - absl::Hours(1), now + absl::Hours(87600),
                                 SystemRandom())) {}

Credentials TestAuthority::Issue(const NodeIdentity& node, absl::Time not_before,
                                 absl::Time not_after) const {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  return {.cluster_id = cluster_id_,
          .ca_pem = ca_pem_,
          .certificate_pem = Sign(*MakeCsr(key), node, not_before, not_after),
          .key_pem = key.Pem()};
}

std::string TestAuthority::Sign(const std::string& csr_pem, const NodeIdentity& node,
                                absl::Time not_before, absl::Time not_after) const {
  return *IssueLeaf(key_, ca_pem_, *ReadCsr(csr_pem),
                    {IdentityUri(cluster_id_, node), {RoleDnsName(node.role), NodeDnsName(node)}},
                    not_before, not_after, SystemRandom());
}

std::string TestNodeId(uint64_t n) { return absl::StrCat(absl::Hex(n, absl::kZeroPad16)); }

Snapshot MakeTestSnapshot(const std::string& cluster_id, uint64_t epoch) {
  Snapshot snapshot;
  snapshot.cluster_id = cluster_id;
  snapshot.epoch = epoch;
  snapshot.issued = TestAuthority::kStart;
  snapshot.model_id.emplace();
  snapshot.model_id->fill(std::byte{0x5A});
  snapshot.model_name = "tiny";
  snapshot.n_layers = 2;
  snapshot.n_experts = 3;
  snapshot.import_key.fill(std::byte{0x11});
  ExpertSet all(2, 3);
  for (int i = 0; i < 6; ++i) all.Insert(i / 3, i % 3);
  const auto add = [&](uint64_t n, NodeRole role, std::string address, ExpertSet assigned) {
    snapshot.members.push_back({.node = {role, TestNodeId(n)},
                                .peer_address = std::move(address),
                                .draining = false,
                                .assigned = std::move(assigned)});
  };
  add(1, NodeRole::kRouter, "", ExpertSet(2, 3));
  add(2, NodeRole::kWorker, "127.0.0.1:7002", all);
  add(3, NodeRole::kWorker, "[::1]:7003", all);
  snapshot.revoked = {TestNodeId(8), TestNodeId(9)};
  return snapshot;
}

}  // namespace shoal
