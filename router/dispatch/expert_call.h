#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/expert_rows.h"
#include "proto/frame_codec.h"
#include "proto/transport.h"
#include "router/dispatch/worker_member.h"

namespace shoal {

// A set of workers, by their place in WorkerLinks.
using WorkerSet = std::bitset<kMaxWorkers>;

// How a call stands. All but the first two are final.
enum class CallState : uint8_t {
  kWaiting,    // Not sent yet: the worker has as many calls as it takes at once.
  kSent,       // Its reply may come.
  kAnswered,   // `output` is there.
  kLost,       // The link closed. Another replica may be asked, for free.
  kRefused,    // By a worker that cannot now; another replica may.
  kCorrupt,    // What came was not its reply's shape, or not a frame. Another replica may be asked.
  kHopeless,   // The two sides do not fit together: never retried.
  kAbandoned,  // All it was for has been answered by others.
};

// One attempt of a call to one worker, from its frame until its reply or its failure.
struct WorkerCall {
  wire::CallId id;
  LinkId link = 0;  // A reply counts only if it comes from there.
  RowFormat format = RowFormat::kQuantized;
  uint32_t n_results = 0;  // Rows that the reply must have.
  uint32_t hidden_dim = 0;
  WorkerSet tried = {};                          // Asked for the same before, and this one.
  absl::Time sent = {};                          // Once kSent.
  absl::Time patience = absl::InfiniteFuture();  // Then another replica is asked, too.
  bool overdue = false;                          // And has been.

  CallState state = CallState::kWaiting;
  absl::Status status = {};  // Why there is no output.
  FrameBuffer reply = {};    // What `output` points into.
  ExpertOutput output = {};
  absl::Duration compute = {};                // That the worker says it spent.
  std::vector<int32_t> rows_not_finite = {};  // Result rows that hold no number. Usually none.

  bool open() const { return state == CallState::kWaiting || state == CallState::kSent; }
};

// Frames from workers that entered no sum.
struct DroppedReplies {
  uint64_t duplicate = 0;  // Of a call of this step that has ended: answered, abandoned or lost.
  uint64_t late = 0;       // Of a call of an earlier step.
  uint64_t unknown = 0;    // Of no call of ours, or from a worker that was not asked.
  uint64_t corrupt = 0;    // Not a frame, or its checksum differs.
};

// The calls of one step's layer, and who may answer them (FAILURE-MODEL I3). A reply is used only
// if its id is outstanding, it came over the link that was asked, and checksum and shape hold; all
// else is dropped and counted. Thread-compatible.
class CallTable {
 public:
  // What a frame turned out to be.
  enum class FrameKind : uint8_t { kReply, kDropped, kCorrupt };

  explicit CallTable(uint64_t router_incarnation) : router_incarnation_(router_incarnation) {}

  // Forgets the calls of the step before; replies to them are late from now on.
  void Clear();

  // Opens a call: `call` with all but its id filled in. Its index is the number of calls before.
  WorkerCall& Open(WorkerCall call, uint64_t step, uint32_t layer, uint32_t worker,
                   uint32_t attempt);

  // Takes in a frame that came over `link`.
  FrameKind OnFrame(LinkId link, FrameBuffer frame);
  // Ends every open call over `link` as lost.
  void OnClosed(LinkId link, const absl::Status& why) { EndAll(link, CallState::kLost, why); }
  // Ends a call, if it is open.
  void End(int call, CallState state, const absl::Status& why);

  // The next call that has ended since the last question, each of them once.
  std::optional<int> NextEnded();

  std::span<const WorkerCall> calls() const { return calls_; }
  WorkerCall& call(int i) { return calls_[i]; }
  const DroppedReplies& dropped() const { return dropped_; }

 private:
  std::optional<int> FindOpen(LinkId link, const wire::CallId& id);
  void Accept(int i, const wire::RunExpertsReply& reply, std::span<const std::byte> payload,
              FrameBuffer frame);
  void EndAll(LinkId link, CallState state, const absl::Status& why);
  static absl::Status ReadOutput(WorkerCall& call, const wire::RunExpertsReply& reply,
                                 std::span<const std::byte> payload);

  const uint64_t router_incarnation_;
  uint64_t next_call_ = 1;
  uint64_t first_call_of_step_ = 1;
  std::vector<WorkerCall> calls_;
  std::vector<int> ended_;
  size_t n_ended_seen_ = 0;
  DroppedReplies dropped_;
};

}  // namespace shoal
