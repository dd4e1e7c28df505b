#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "base/backoff.h"
#include "proto/control.pb.h"
#include "proto/coordinator_client.h"
#include "proto/frame_codec.h"

namespace shoal {

// What CoordinatorClient does, without its thread: a state machine that never waits. There is one
// link at a time: the line, on which this node watches and reports, or, once the certificate has
// expired, a link without one that asks for the next. Owned by one thread.
class CoordinatorSession {
 public:
  explicit CoordinatorSession(CoordinatorClient::Options options);

  // Hands out the snapshot on disk, unless it is too old.
  void Start();
  // Does whatever is due; `report` (null: nothing to say yet) is what to report. Call it again
  // within kPollPeriod, and when the report has changed.
  void Poll(const NodeReport* report);

  const std::shared_ptr<const Snapshot>& snapshot() const { return snapshot_; }
  bool connected() const { return state_ == State::kOpen && !anonymous_; }
  const CoordinatorClient::Counters& counters() const { return counters_; }

  // It is not the transport that is waited in: gRPC lets one thread watch all of a process's
  // sockets, and were that this one, each call of experts would first wake it, 40 to 50 us more.
  static constexpr absl::Duration kPollPeriod = absl::Milliseconds(25);
  static constexpr absl::Duration kReportPeriod = absl::Seconds(3);
  // The coordinator may be silent for as long; then the link is given up.
  static constexpr absl::Duration kReplyTimeout = absl::Seconds(5);
  static constexpr absl::Duration kSnapshotLife = absl::Hours(7 * 24);

 private:
  enum class State : uint8_t { kWaiting, kDialing, kOpen };
  // A request whose reply has not come.
  struct Pending {
    uint64_t id = 0;
    absl::Time sent;
  };

  void Dial();
  void OnEvent(LinkEvent event);
  void OnOpened();
  void OnFrame(const FrameBuffer& frame);
  void OnReply(const wire::ControlReply& reply);
  void OnSnapshotBytes(std::string_view bytes);
  void OnRenewed(const wire::ControlReply& reply);
  // Closes the link, if there is one, and waits before the next.
  void GiveUp(const std::string& reason);

  void ReportIfDue(const NodeReport* report);
  void RenewIfDue();
  void SaveIfDue();
  void CheckTimeouts();

  std::optional<Pending> Send(wire::ControlRequest request);
  wire::ControlRequest MakeReport(const NodeReport& report) const;
  absl::Status TakeCertificate(const std::string& certificate_pem);
  void PlanRenewal();
  bool Expired() const;

  const CoordinatorClient::Options options_;
  CoordinatorClient::Counters counters_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::string unsaved_;  // Bytes of the newest snapshot while the disk would not take them.
  absl::Time save_at_ = absl::InfinitePast();

  State state_ = State::kWaiting;
  bool anonymous_ = false;  // The link is one without a certificate.
  std::unique_ptr<Dialer> dialer_;
  LinkId link_ = 0;
  absl::Time dialed_at_;
  absl::Time dial_at_ = absl::InfinitePast();
  int failures_ = 0;  // Links lost or refused, one after the other, without a reply between.
  Backoff dial_backoff_;

  uint64_t next_id_ = 1;
  std::optional<Pending> watch_;
  std::optional<Pending> reporting_;
  std::optional<Pending> renewing_;

  NodeReport sent_report_;
  NodeReport taken_report_;
  uint64_t sent_epoch_ = 0;
  std::optional<uint64_t> taken_epoch_;  // Nothing: no report has been taken on this link.
  absl::Time report_at_ = absl::InfinitePast();

  // By the wall clock, as certificates are.
  absl::Time renew_from_ = absl::InfiniteFuture();
  absl::Time expires_ = absl::InfiniteFuture();
  absl::Time renew_at_ = absl::InfinitePast();  // Not before, after a refusal; by the steady one.
};

}  // namespace shoal
