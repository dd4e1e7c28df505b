#include "coordinator/live_nodes.h"

#include <algorithm>
#include <utility>

namespace shoal {

void LiveNodes::OnReport(const std::string& node_id, LinkId link, Report report, absl::Time now) {
  nodes_[node_id] = {.report = std::move(report), .heard = now, .link = link, .linked = true};
}

void LiveNodes::OnClosed(LinkId link) {
  for (auto& [id, node] : nodes_) {
    if (node.link == link) node.linked = false;
  }
}

void LiveNodes::ForgetResidents() {
  for (auto& [id, node] : nodes_) node.report.resident = {};
}

const LiveNodes::Node* LiveNodes::FindNode(std::string_view node_id) const {
  const auto found = nodes_.find(node_id);
  return found == nodes_.end() ? nullptr : &found->second;
}

const LiveNodes::Report* LiveNodes::Find(std::string_view node_id) const {
  const Node* node = FindNode(node_id);
  return node == nullptr ? nullptr : &node->report;
}

absl::Duration LiveNodes::SinceHeard(std::string_view node_id, absl::Time now) const {
  const Node* node = FindNode(node_id);
  return now - (node == nullptr ? start_ : node->heard);
}

Presence LiveNodes::PresenceOf(std::string_view node_id, absl::Time now) const {
  const absl::Duration silent = SinceHeard(node_id, now);
  if (silent >= kGoneAfter) return Presence::kGone;
  if (silent >= kLease) return Presence::kLost;
  const Node* node = FindNode(node_id);
  if (node == nullptr) return Presence::kUnheard;
  if (!node->linked || node->report.draining) return Presence::kMissing;
  if (silent >= kLease / 2 && UnreachableForRouter(node_id, now)) return Presence::kMissing;
  return Presence::kPresent;
}

bool LiveNodes::UnreachableForRouter(std::string_view node_id, absl::Time now) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
    const Node& router = entry.second;
    const auto seen = router.report.peers.find(std::string(node_id));
    return now - router.heard < kLease && seen != router.report.peers.end() &&
           !seen->second.reachable;
  });
}

absl::Duration LiveNodes::RoundTrip(std::string_view node_id, absl::Time now) const {
  absl::Duration nearest;
  for (const auto& [id, router] : nodes_) {
    if (now - router.heard >= kLease) continue;
    const auto seen = router.report.peers.find(std::string(node_id));
    if (seen == router.report.peers.end() || !seen->second.reachable) continue;
    const absl::Duration round_trip = seen->second.round_trip;
    if (round_trip <= absl::ZeroDuration()) continue;
    nearest = nearest == absl::ZeroDuration() ? round_trip : std::min(nearest, round_trip);
  }
  return nearest;
}

}  // namespace shoal
