#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/expert_rows.h"
#include "proto/frame_codec.h"
#include "proto/transport.h"

namespace shoal {

// One logical call to one worker, from its frame until its reply or its failure.
struct WorkerCall {
  wire::CallId id;
  LinkId link = 0;     // A reply counts only if it comes from there.
  std::string worker;  // For error texts: "worker 1 (127.0.0.1:7001)".
  RowFormat format = RowFormat::kQuantized;
  uint32_t n_results = 0;  // Rows that the reply must have.
  uint32_t hidden_dim = 0;

  bool open = true;
  absl::Status status;  // Once closed: OK, or why there is no output.
  FrameBuffer reply;    // What `output` points into.
  ExpertOutput output;
};

// Frames from workers that entered no sum.
struct DroppedReplies {
  uint64_t duplicate = 0;  // Of a call of this step that has its answer.
  uint64_t late = 0;       // Of a call of an earlier step.
  uint64_t unknown = 0;    // Of no call of ours, or from a worker that was not asked.
  uint64_t corrupt = 0;    // Not a frame, or its checksum differs.
};

// The calls of one step's layer, and who may answer them (FAILURE-MODEL I3). A reply is used only
// if its id is outstanding, it came over the link that was asked, and checksum and shape hold; all
// else is dropped and counted. Thread-compatible.
class CallTable {
 public:
  explicit CallTable(uint64_t router_incarnation) : router_incarnation_(router_incarnation) {}

  // Forgets the calls of the step before; replies to them are late from now on.
  void Clear() { calls_.clear(); }

  // Opens a call: `call` with all but its id filled in. The reference holds until the next Open.
  WorkerCall& Open(WorkerCall call, uint64_t step, uint32_t layer, uint32_t worker);

  // Takes in a frame that came over `link`.
  void OnFrame(LinkId link, FrameBuffer frame);
  // Fails every open call over `link`.
  void OnClosed(LinkId link, const absl::Status& why);
  // Fails every open call.
  void FailOpen(const absl::Status& why);
  void Fail(WorkerCall& call, const absl::Status& why);

  int n_open() const { return n_open_; }
  std::span<const WorkerCall> calls() const { return calls_; }
  const DroppedReplies& dropped() const { return dropped_; }

 private:
  WorkerCall* FindOpen(LinkId link, const wire::CallId& id);
  void Accept(WorkerCall& call, const wire::RunExpertsReply& reply,
              std::span<const std::byte> payload, FrameBuffer frame);
  static absl::Status ReadOutput(WorkerCall& call, const wire::RunExpertsReply& reply,
                                 std::span<const std::byte> payload);

  const uint64_t router_incarnation_;
  uint64_t next_call_ = 1;
  uint64_t first_call_of_step_ = 1;
  int n_open_ = 0;
  std::vector<WorkerCall> calls_;
  DroppedReplies dropped_;
};

}  // namespace shoal
