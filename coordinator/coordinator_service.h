#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/cluster_view.h"
#include "proto/frame_codec.h"
#include "proto/identity.h"
#include "proto/transport.h"

namespace shoal {

// Who asks: proven by its link, not by what it says.
struct Caller {
  NodeIdentity identity;
  LinkId link = 0;
};

// A coordinator's methods: who may ask what, one operation of ops/ for each, and the snapshot
// pushed to whoever watches. Knows no transport: frames come in, frames go out through `send`.
// Thread-compatible.
class CoordinatorService {
 public:
  using Send = absl::FunctionRef<absl::Status(LinkId to, FrameBuffer frame)>;

  explicit CoordinatorService(Cluster* cluster) : cluster_(cluster) {}

  // Answers a frame of a control stream, whatever it holds.
  void OnFrame(const Caller& caller, const FrameBuffer& frame, Send send);
  void OnClosed(LinkId link);
  // Periodic work; pushes what has changed.
  void Tick(Send send);
  // What the cluster is now, and what was asked so far.
  ClusterView View() const;

 private:
  struct Watcher {
    std::string node_id;
    uint64_t epoch = 0;  // That it has.
  };
  // By the request's place in wire::ControlRequest; 0: none of them.
  static constexpr size_t kOperations = 12;
  struct Tries {  // Of a caller without a certificate (S05).
    absl::Time since;
    int n = 0;
  };

  wire::ControlReply Answer(const Caller& caller, const wire::FrameHeader& header);
  absl::Status Check(const Caller& caller, const wire::FrameHeader& header);
  absl::Status CheckRate(LinkId link);
  absl::Status CheckMembership(const NodeIdentity& caller) const;
  absl::Status Dispatch(const Caller& caller, const wire::ControlRequest& request,
                        wire::ControlReply* reply);
  void Push(Send send);

  Cluster* const cluster_;
  std::array<uint64_t, kOperations> asked_ = {};
  std::array<uint64_t, kOperations> refused_ = {};
  uint64_t snapshots_sent_ = 0;
  std::map<LinkId, Watcher> watchers_;
  std::map<LinkId, Tries> tries_;
};

}  // namespace shoal
