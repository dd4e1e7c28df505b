// Any bytes, as a signed snapshot that came over the network or lies on disk, and, signed here by
// the right key, as a snapshot of a coordinator gone mad. The first byte says which. What opens is
// within its bounds, and is the same again after it was signed and opened once more. Seeds:
// tests/data/fuzz/snapshot.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "base/random.h"
#include "proto/cluster.pb.h"
#include "proto/snapshot.h"

namespace shoal {
namespace {

std::string Signed(std::string_view bytes, const Ed25519Key& key) {
  wire::SignedSnapshot outer;
  outer.set_snapshot(std::string(bytes));
  const Ed25519Signature signature = key.Sign("shoal snapshot", bytes);
  outer.set_signature(
      std::string(reinterpret_cast<const char*>(signature.data()), signature.size()));
  return outer.SerializeAsString();
}

void CheckOpened(const Snapshot& snapshot, const Ed25519Key& key) {
  SHOAL_CHECK_GT(snapshot.epoch, 0U);
  SHOAL_CHECK_LE(snapshot.members.size(), static_cast<size_t>(kMaxMembers));
  SHOAL_CHECK_LE(snapshot.revoked.size(), static_cast<size_t>(kMaxRevoked));
  for (size_t i = 0; i < snapshot.members.size(); ++i) {
    const Snapshot::Member& member = snapshot.members[i];
    SHOAL_CHECK(IsNodeId(member.node.node_id));
    SHOAL_CHECK(i == 0 || snapshot.members[i - 1].node.node_id < member.node.node_id);
    SHOAL_CHECK(snapshot.Find(member.node.node_id) == &member);
    SHOAL_CHECK_EQ(member.assigned.n_layers(), snapshot.n_layers);
    SHOAL_CHECK_EQ(member.assigned.n_experts(), snapshot.n_experts);
    SHOAL_CHECK((member.node.role == NodeRole::kWorker) == !member.peer_address.empty());
  }
  for (const std::string& node_id : snapshot.revoked) SHOAL_CHECK(snapshot.IsRevoked(node_id));
  const std::string again = SignSnapshot(snapshot, key);
  const auto opened = OpenSnapshot(again, key.public_key(), snapshot.cluster_id);
  SHOAL_CHECK(opened.ok());
  SHOAL_CHECK(SignSnapshot(*opened, key) == again);
}

void OpenAny(std::string_view bytes, bool sign) {
  static const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const std::string signed_bytes = sign ? Signed(bytes, key) : std::string(bytes);
  const auto snapshot = OpenSnapshot(signed_bytes, key.public_key(), "c1");
  if (!snapshot.ok()) return;
  SHOAL_CHECK(sign);  // Nobody else signs.
  CheckOpened(*snapshot, key);
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > shoal::kMaxSnapshotBytes) return 0;
  shoal::OpenAny({reinterpret_cast<const char*>(data + 1), size - 1}, (data[0] & 1) != 0);
  return 0;
}
