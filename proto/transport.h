#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/frame_buffer.h"
#include "proto/identity.h"

namespace shoal {

// How frames travel between nodes. Behind this stand gRPC over mutual TLS (grpc_transport.h) and,
// for tests, race detectors and simulation, queues in one process (in_process_transport.h).

// What a stream is for. A router opens one of each of the first two to every worker, so that a long
// computation never delays an answer about health.
enum class StreamKind : uint8_t { kRunExperts = 0, kHealth = 1, kControl = 2, kFetchShard = 3 };
inline constexpr int kNStreamKinds = 4;

// One end of an open bidirectional stream: frames arrive whole and in order, or the link closes.
// Unique within its Dialer or Listener; never used again after it closed.
using LinkId = uint64_t;

// Whom a dialer wants to reach: an address, and who has to be there.
struct Endpoint {
  std::string address;
  NodeRole role = NodeRole::kWorker;
  std::string node_id = {};  // Empty: any node of that role.
};

// What happened on a dialled link: it opened (`opened`), a frame arrived, or (status not OK) it
// closed for good.
struct LinkEvent {
  LinkId link = 0;
  absl::Status status;
  FrameBuffer frame;
  bool opened = false;
};

// The calling side: opens links and waits for whatever arrives on any of them. Thread-compatible.
class Dialer {
 public:
  virtual ~Dialer() = default;  // Closes its links.

  // Begins to open a stream, without waiting. An event says that it opened, or that it closed: with
  // Unavailable when nobody answers, PermissionDenied when this node may not, or somebody else is
  // there.
  virtual LinkId Dial(const Endpoint& to, StreamKind kind) = 0;

  // The same, and waits until it is open; no event tells of that. Unavailable also when nobody
  // answered before the deadline.
  virtual absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                         absl::Time deadline) = 0;

  // Hands a frame to an open link without waiting. Unavailable, and why, when the link has closed.
  virtual absl::Status Send(LinkId link, FrameBuffer frame) = 0;

  // Closes a link: no event of it comes any more.
  virtual void Close(LinkId link) = 0;

  // The next event of any link; nothing when the deadline passes first. A link's closing is
  // reported once, after the frames that came before it.
  virtual std::optional<LinkEvent> Next(absl::Time deadline) = 0;
};

// The answering side. One thread per stream kind polls and sends.
class Listener {
 public:
  // `peer` is who sent it, proven.
  using FrameHandler =
      absl::FunctionRef<void(LinkId from, const NodeIdentity& peer, FrameBuffer frame)>;
  virtual ~Listener() = default;  // Closes its links. No Poll may be running.

  // Where dialers reach it, with the port that was really taken.
  virtual const std::string& address() const = 0;

  // Hands over a frame that arrived on a stream of that kind; when there is none, waits for one
  // until the deadline. False when it handed over nothing; that may be before the deadline.
  virtual bool Poll(StreamKind kind, absl::Time deadline, FrameHandler handler) = 0;

  // Hands a frame to a link of that kind without waiting. Unavailable when the link has closed.
  virtual absl::Status Send(StreamKind kind, LinkId link, FrameBuffer frame) = 0;

  // Whether somebody is still at the other end, as far as this end knows. By the thread that polls.
  virtual bool IsOpen(StreamKind kind, LinkId link) = 0;

  // Makes the Poll of that kind that is waiting, or the next one, return. Any thread.
  virtual void Wake(StreamKind kind) = 0;
};

}  // namespace shoal
