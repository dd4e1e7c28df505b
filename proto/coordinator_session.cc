#include "proto/coordinator_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/log.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr absl::Duration kShortestWait = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Seconds(2);
constexpr absl::Duration kRenewRetry = absl::Seconds(60);  // After a refusal.

double Fraction(Random* random) {
  return static_cast<double>(random->Next64() >> 11) / 9007199254740992.0;
}

}  // namespace

CoordinatorSession::CoordinatorSession(CoordinatorClient::Options options)
    : options_(std::move(options)), dial_backoff_(kShortestWait, kLongestWait, options_.random) {
  PlanRenewal();
}

void CoordinatorSession::Start() {
  absl::StatusOr<std::optional<Snapshot>> stored =
      options_.store->ReadSnapshot(*options_.credentials->Get());
  if (!stored.ok()) {
    Log(LogLevel::kWarning, "no stored snapshot",
        {{"reason", std::string(stored.status().message())}});
    return;
  }
  if (!stored->has_value()) return;
  // A box may boot in 1970, before the snapshot was made: that is not old.
  const absl::Duration age = options_.clock->WallNow() - (*stored)->issued;
  if (age > kSnapshotLife) {
    Log(LogLevel::kWarning, "stored snapshot is too old: waiting for the coordinator",
        {{"epoch", static_cast<unsigned long>((*stored)->epoch)},
         {"age_hours", absl::ToInt64Hours(age)},
         {"coordinator", options_.address}});
    return;
  }
  snapshot_ = std::make_shared<const Snapshot>(**std::move(stored));
  if (options_.on_snapshot) options_.on_snapshot(snapshot_);
}

void CoordinatorSession::Poll(const NodeReport* report) {
  SaveIfDue();
  if (state_ == State::kWaiting && options_.clock->Now() >= dial_at_) Dial();
  while (dialer_ != nullptr && state_ != State::kWaiting) {
    std::optional<LinkEvent> event = dialer_->Next(MonotonicNow());  // What is there already.
    if (!event.has_value()) break;
    if (event->link == link_) OnEvent(*std::move(event));
  }
  if (state_ != State::kWaiting) CheckTimeouts();
  if (state_ == State::kOpen) RenewIfDue();
  if (connected()) ReportIfDue(report);
}

// ------------------------------------------------------------------ the link

void CoordinatorSession::Dial() {
  // The coordinator's clock decides what has expired. When it turns this node away although the
  // certificate looks good from here, every other attempt is made without it.
  const bool renewal_due = options_.clock->WallNow() >= renew_from_;
  const bool anonymous = Expired() || (renewal_due && failures_ % 2 == 1);
  if (dialer_ == nullptr || anonymous || anonymous_) {
    std::shared_ptr<CredentialSource> source = options_.credentials;
    if (anonymous) {
      Credentials without = *source->Get();
      without.certificate_pem.clear();
      source = std::make_shared<CredentialSource>(std::move(without));
    }
    dialer_ = options_.new_dialer(std::move(source));
  }
  anonymous_ = anonymous;
  state_ = State::kDialing;
  dialed_at_ = options_.clock->Now();
  link_ = dialer_->Dial({.address = options_.address, .role = NodeRole::kCoordinator},
                        StreamKind::kControl);
}

void CoordinatorSession::GiveUp(const std::string& reason) {
  // The first of a row only: an outage of days is one line.
  if (failures_++ == 0) {
    Log(LogLevel::kWarning, "no line to the coordinator",
        {{"coordinator", options_.address}, {"reason", reason}});
  }
  if (dialer_ != nullptr) dialer_->Close(link_);
  state_ = State::kWaiting;
  watch_.reset();
  reporting_.reset();
  renewing_.reset();
  dial_at_ = options_.clock->Now() + dial_backoff_.Next();
}

void CoordinatorSession::OnEvent(LinkEvent event) {
  if (!event.status.ok()) return GiveUp(std::string(event.status.message()));
  if (event.opened) return OnOpened();
  OnFrame(event.frame);
}

void CoordinatorSession::OnOpened() {
  state_ = State::kOpen;
  ++counters_.connections;
  if (anonymous_) return;
  taken_epoch_.reset();
  report_at_ = absl::InfinitePast();
  wire::ControlRequest request;
  request.mutable_watch()->set_known_epoch(snapshot_ == nullptr ? 0 : snapshot_->epoch);
  watch_ = Send(std::move(request));
}

void CoordinatorSession::CheckTimeouts() {
  const absl::Time long_ago = options_.clock->Now() - kReplyTimeout;
  if (state_ == State::kDialing && dialed_at_ <= long_ago) {
    return GiveUp(absl::StrCat("no answer within ", absl::FormatDuration(kReplyTimeout)));
  }
  for (const std::optional<Pending>* pending : {&watch_, &reporting_, &renewing_}) {
    if (pending->has_value() && (*pending)->sent <= long_ago) {
      return GiveUp(absl::StrCat("no reply within ", absl::FormatDuration(kReplyTimeout)));
    }
  }
}

std::optional<CoordinatorSession::Pending> CoordinatorSession::Send(wire::ControlRequest request) {
  const Pending pending{next_id_++, options_.clock->Now()};
  request.set_id(pending.id);
  wire::FrameHeader header;
  *header.mutable_control_request() = std::move(request);
  // A closed link is reported by its event; until then the request is pending in vain.
  (void)dialer_->Send(link_, EncodeFrame(header));
  return pending;
}

void CoordinatorSession::OnFrame(const FrameBuffer& buffer) {
  const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok()) {
    ++counters_.unexpected_frames;
    return GiveUp(absl::StrCat("a damaged frame: ", std::string(frame.status().message())));
  }
  if (frame->header.has_control_reply()) return OnReply(frame->header.control_reply());
  if (frame->header.has_snapshot_update() && !anonymous_) {
    const std::span<const std::byte> bytes = frame->payload;
    return OnSnapshotBytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  ++counters_.unexpected_frames;
}

void CoordinatorSession::OnReply(const wire::ControlReply& reply) {
  const auto answers = [&](std::optional<Pending>& pending) {
    if (!pending.has_value() || pending->id != reply.id()) return false;
    pending.reset();
    return true;
  };
  if (answers(renewing_)) return OnRenewed(reply);
  const bool to_watch = answers(watch_);
  if (!to_watch && !answers(reporting_)) {
    ++counters_.unexpected_frames;  // Late, twice, or to nothing.
    return;
  }
  if (reply.code() != 0) {
    return GiveUp(
        absl::StrCat(to_watch ? "Watch" : "ReportStatus", " refused: ", Quoted(reply.message())));
  }
  failures_ = 0;
  dial_backoff_.Reset();
  if (to_watch) return;
  ++counters_.reports;
  taken_report_ = sent_report_;
  taken_epoch_ = sent_epoch_;
}

// ------------------------------------------------------------------ snapshots

void CoordinatorSession::OnSnapshotBytes(std::string_view bytes) {
  const std::shared_ptr<const Credentials> credentials = options_.credentials->Get();
  const auto open = [&]() -> absl::StatusOr<Snapshot> {
    SHOAL_ASSIGN_OR_RETURN(const CertificateFacts ca, ReadCertificate(credentials->ca_pem));
    return OpenSnapshot(bytes, ca.public_key, credentials->cluster_id);
  };
  absl::StatusOr<Snapshot> snapshot = open();
  if (!snapshot.ok()) {
    ++counters_.refused_snapshots;
    Log(LogLevel::kError, "snapshot refused",
        {{"reason", std::string(snapshot.status().message())}});
    return;
  }
  if (snapshot_ != nullptr && snapshot->epoch <= snapshot_->epoch) {
    ++counters_.stale_snapshots;
    return;
  }
  // FailedPrecondition: what lies on disk, too old to start from, is newer than this one (I9).
  const absl::Status written = options_.store->WriteSnapshot(bytes, *credentials);
  if (absl::IsFailedPrecondition(written)) {
    ++counters_.stale_snapshots;
    Log(LogLevel::kError, "snapshot refused", {{"reason", std::string(written.message())}});
    return;
  }
  unsaved_.clear();
  if (!written.ok()) {  // A full disk keeps nobody from being served (F12), or revoked.
    Log(LogLevel::kError, "snapshot not kept", {{"reason", std::string(written.message())}});
    unsaved_ = std::string(bytes);
    save_at_ = options_.clock->Now() + kReportPeriod;
  }
  ++counters_.snapshots;
  snapshot_ = std::make_shared<const Snapshot>(*std::move(snapshot));
  if (options_.on_snapshot) options_.on_snapshot(snapshot_);
}

void CoordinatorSession::SaveIfDue() {
  if (unsaved_.empty() || options_.clock->Now() < save_at_) return;
  if (options_.store->WriteSnapshot(unsaved_, *options_.credentials->Get()).ok()) {
    unsaved_.clear();
    return;
  }
  save_at_ = options_.clock->Now() + kReportPeriod;
}

// ------------------------------------------------------------------ reports

wire::ControlRequest CoordinatorSession::MakeReport(const NodeReport& report) const {
  wire::ControlRequest request;
  wire::ReportStatusRequest& status = *request.mutable_report_status();
  status.set_peer_address(report.peer_address);
  status.set_epoch(snapshot_ == nullptr ? 0 : snapshot_->epoch);
  status.set_memory_bytes(report.memory_bytes);
  status.set_read_gb_per_s(report.read_gb_per_s);
  status.set_resident(report.resident.Bytes());
  if (report.model_id != Sha256Digest{}) status.set_model_id(DigestBytes(report.model_id));
  status.set_draining(report.draining);
  for (const NodeReport::Peer& from : report.peers) {
    wire::PeerObservation& peer = *status.add_peers();
    peer.set_node_id(from.node_id);
    peer.set_reachable(from.reachable);
    peer.set_round_trip_us(static_cast<uint64_t>(absl::ToInt64Microseconds(from.round_trip)));
  }
  if (report.load.has_value()) ToWire(*report.load, status.mutable_load());
  return request;
}

void CoordinatorSession::ReportIfDue(const NodeReport* report) {
  if (report == nullptr || reporting_.has_value()) return;
  const uint64_t epoch = snapshot_ == nullptr ? 0 : snapshot_->epoch;
  const bool differs = taken_epoch_ != epoch || !(taken_report_ == *report);
  if (!differs && options_.clock->Now() < report_at_) return;
  sent_report_ = *report;
  sent_epoch_ = epoch;
  report_at_ = options_.clock->Now() + kReportPeriod;
  reporting_ = Send(MakeReport(*report));
}

// ------------------------------------------------------------------ the certificate

bool CoordinatorSession::Expired() const { return options_.clock->WallNow() >= expires_; }

// Half of its life and up to a tenth more, so that nodes that joined together do not ask together.
void CoordinatorSession::PlanRenewal() {
  const absl::StatusOr<CertificateFacts> own =
      ReadCertificate(options_.credentials->Get()->certificate_pem);
  if (!own.ok()) return;
  const absl::Duration life = own->not_after - own->not_before;
  renew_from_ = own->not_before + life * (0.5 + 0.1 * Fraction(options_.random));
  expires_ = own->not_after;
}

void CoordinatorSession::RenewIfDue() {
  const absl::Time now = options_.clock->Now();
  if (renewing_.has_value() || (!anonymous_ && now < renew_at_)) return;
  if (!anonymous_ && options_.clock->WallNow() < renew_from_) return;
  renew_at_ = now + kRenewRetry * (0.5 + Fraction(options_.random));
  const auto make_csr = [&]() -> absl::StatusOr<std::string> {
    SHOAL_ASSIGN_OR_RETURN(const Ed25519Key key,
                           Ed25519Key::FromPem(options_.credentials->Get()->key_pem));
    return MakeCsr(key);
  };
  const absl::StatusOr<std::string> csr = make_csr();
  if (!csr.ok()) return GiveUp(absl::StrCat("own key: ", std::string(csr.status().message())));
  wire::ControlRequest request;
  request.mutable_renew()->set_csr(*csr);
  renewing_ = Send(std::move(request));
}

void CoordinatorSession::OnRenewed(const wire::ControlReply& reply) {
  absl::Status status = absl::PermissionDeniedError(Quoted(reply.message()));
  if (reply.code() == 0) status = TakeCertificate(reply.renew().certificate());
  if (!status.ok() && anonymous_) {
    return GiveUp(absl::StrCat("certificate not renewed: ", std::string(status.message())));
  }
  if (!status.ok()) {
    Log(LogLevel::kError, "certificate not renewed", {{"reason", std::string(status.message())}});
    return;
  }
  ++counters_.renewals;
  Log(LogLevel::kInfo, "certificate renewed", {{"until", absl::FormatTime(expires_)}});
  if (!anonymous_) return;
  dialer_->Close(link_);  // The line comes next, at once, with what was got here.
  state_ = State::kWaiting;
  failures_ = 0;
  dial_backoff_.Reset();
  dial_at_ = absl::InfinitePast();
}

// Whatever is not this node's own name and key would lock it out.
absl::Status CoordinatorSession::TakeCertificate(const std::string& certificate_pem) {
  Credentials credentials = *options_.credentials->Get();
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts next, ReadCertificate(certificate_pem));
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts own, ReadCertificate(credentials.certificate_pem));
  if (next.public_key != own.public_key || next.uri_names != own.uri_names) {
    return absl::PermissionDeniedError("the new certificate is for another key or node");
  }
  SHOAL_RETURN_IF_ERROR(CheckSignedBy(certificate_pem, credentials.ca_pem));
  if (next.not_after <= own.not_after) {
    return absl::InvalidArgumentError("the new certificate ends no later than the old one");
  }
  credentials.certificate_pem = certificate_pem;
  const absl::Status kept = options_.store->WriteCredentials(credentials);
  if (!kept.ok()) {  // Good until the next start, which then renews again.
    Log(LogLevel::kError, "certificate not kept", {{"reason", std::string(kept.message())}});
  }
  options_.credentials->Set(std::move(credentials));
  PlanRenewal();
  return absl::OkStatus();
}

}  // namespace shoal
