#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "model/expert_set.h"
#include "proto/router_load.h"
#include "proto/transport.h"

namespace shoal {

// How sure it is that a worker can be reached.
enum class Presence : uint8_t {
  kUnheard,  // Not since this coordinator started; its lease runs from then on.
  kPresent,
  kMissing,  // Its link closed, it says that it ends, or a router cannot reach it.
  kLost,     // Its lease ran out.
  kGone,     // And that a minute ago.
};

// What nodes said of themselves last, and when: never logged, since they say it again every few
// seconds. Times are the monotonic clock's. Thread-compatible.
class LiveNodes {
 public:
  static constexpr absl::Duration kLease = absl::Seconds(10);
  static constexpr absl::Duration kGoneAfter = absl::Seconds(70);

  explicit LiveNodes(absl::Time start) : start_(start) {}

  struct Report {
    uint64_t epoch = 0;
    uint64_t memory_bytes = 0;
    double read_gb_per_s = 0;
    ExpertSet resident;  // Of the model that is served now.
    bool draining = false;
    struct Peer {
      bool reachable = false;
      absl::Duration round_trip;
    };
    std::map<std::string, Peer> peers;    // Routers: by worker.
    std::optional<RouterLoad> load = {};  // Routers.
  };

  void OnReport(const std::string& node_id, LinkId link, Report report, absl::Time now);
  // Closed is what a link is that nobody is at any more.
  void OnClosed(LinkId link);
  void Forget(const std::string& node_id) { nodes_.erase(node_id); }
  void ForgetResidents();  // Another model is served now.

  const Report* Find(std::string_view node_id) const;  // Null: not heard.
  absl::Duration SinceHeard(std::string_view node_id, absl::Time now) const;
  Presence PresenceOf(std::string_view node_id, absl::Time now) const;
  // From the nearest router that is heard; zero: unknown.
  absl::Duration RoundTrip(std::string_view node_id, absl::Time now) const;

 private:
  struct Node {
    Report report;
    absl::Time heard;
    LinkId link = 0;
    bool linked = false;
  };
  const Node* FindNode(std::string_view node_id) const;
  bool UnreachableForRouter(std::string_view node_id, absl::Time now) const;

  const absl::Time start_;
  std::map<std::string, Node, std::less<>> nodes_;
};

}  // namespace shoal
