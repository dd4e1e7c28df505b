#include "coordinator/coordinator.h"

#include <utility>

#include "base/certificate.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr absl::Duration kTurn = absl::Milliseconds(50);  // Between two looks at what is due.
constexpr absl::Duration kViewPeriod = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(Options options) {
  std::unique_ptr<Coordinator> coordinator(new Coordinator(std::move(options)));
  SHOAL_RETURN_IF_ERROR(coordinator->Open());
  coordinator->PublishView();
  coordinator->thread_ = std::thread([c = coordinator.get()] { c->Loop(); });
  coordinator->shard_server_ =
      ShardServer::Start({.listener = coordinator->listener_.get(),
                          .data = coordinator->options_.data,
                          .snapshot = [c = coordinator.get()] { return c->snapshot(); }});
  return coordinator;
}

Coordinator::Coordinator(Options options) : options_(std::move(options)) {}

Coordinator::~Coordinator() {
  shard_server_.reset();
  if (!thread_.joinable()) return;
  stop_.store(true);
  listener_->Wake(StreamKind::kControl);
  thread_.join();
}

absl::Status Coordinator::Open() {
  FileSystem* const files = options_.data->files();
  SHOAL_ASSIGN_OR_RETURN(authority_,
                         CertificateAuthority::Open(files, options_.data->CoordinatorPath(""),
                                                    options_.clock, options_.random));
  SHOAL_RETURN_IF_ERROR(OpenCluster());
  SHOAL_ASSIGN_OR_RETURN(Credentials own, authority_->IssueWithKey(authority_->coordinator()));
  credentials_ = std::make_shared<CredentialSource>(std::move(own));
  SHOAL_RETURN_IF_ERROR(RenewOwnCertificates());
  SHOAL_ASSIGN_OR_RETURN(listener_, options_.listen(credentials_));
  return ReplaceFile(files, options_.data->CoordinatorPath("address"), listener_->address());
}

absl::Status Coordinator::OpenCluster() {
  FileSystem* const files = options_.data->files();
  audit_ = std::make_unique<AuditLog>(files, options_.data->CoordinatorPath("audit.log"),
                                      options_.clock);
  store_ = std::make_unique<FileStore>(files, options_.data->CoordinatorPath("state.log"));
  SHOAL_ASSIGN_OR_RETURN(
      cluster_, Cluster::Open({.store = store_.get(),
                               .authority = authority_.get(),
                               .data = options_.data,
                               .audit = audit_.get(),
                               .clock = options_.clock,
                               .random = options_.random,
                               .replicas = options_.replicas > 0 ? options_.replicas : 2}));
  if (options_.replicas > 0 && options_.replicas != cluster_->state().replicas()) {
    SHOAL_RETURN_IF_ERROR(cluster_->Commit({ReplicasSet{options_.replicas}}));
  }
  if (!options_.model.empty()) {
    SHOAL_RETURN_IF_ERROR(cluster_->SetModel(options_.model, options_.replicas).status());
  }
  service_ = std::make_unique<CoordinatorService>(cluster_.get());
  return absl::OkStatus();
}

// The listener's own leaf, and the operator's, whose key stays on this machine.
absl::Status Coordinator::RenewOwnCertificates() {
  SHOAL_ASSIGN_OR_RETURN(Credentials own, authority_->IssueWithKey(authority_->coordinator()));
  SHOAL_ASSIGN_OR_RETURN(const Credentials admin, authority_->IssueWithKey(authority_->admin()));
  FileSystem* const files = options_.data->files();
  SHOAL_RETURN_IF_ERROR(
      ReplaceFile(files, options_.data->CoordinatorPath("admin.key"), admin.key_pem));
  SHOAL_RETURN_IF_ERROR(
      ReplaceFile(files, options_.data->CoordinatorPath("admin.crt"), admin.certificate_pem));
  credentials_->Set(std::move(own));
  renew_at_ = options_.clock->Now() + CertificateAuthority::kLeafLife / 2;
  return absl::OkStatus();
}

void Coordinator::Loop() {
  const auto send = [this](LinkId to, FrameBuffer frame) {
    return listener_->Send(StreamKind::kControl, to, std::move(frame));
  };
  const auto answer = [&](LinkId from, const NodeIdentity& peer, FrameBuffer frame) {
    links_.insert(from);
    service_->OnFrame({peer, from}, frame, send);
  };
  absl::Time turn = MonotonicNow();
  while (!stop_.load()) {
    listener_->Poll(StreamKind::kControl, turn, answer);
    if (MonotonicNow() < turn) continue;
    turn = MonotonicNow() + kTurn;
    CloseLinks();
    service_->Tick(send);
    if (turn >= view_at_) PublishView();
    if (options_.clock->Now() < renew_at_) continue;
    if (const absl::Status renewed = RenewOwnCertificates(); !renewed.ok()) {
      renew_at_ = options_.clock->Now() + absl::Minutes(1);
      Log(LogLevel::kError, "own certificates not renewed",
          {{"why", std::string(renewed.message())}});
    }
  }
}

void Coordinator::PublishView() {
  view_at_ = MonotonicNow() + kViewPeriod;
  auto view = std::make_shared<ClusterView>(service_->View());
  view->n_links = static_cast<int>(links_.size());
  const auto own = ReadCertificate(credentials_->Get()->certificate_pem);
  if (own.ok()) view->certificate_left = own->not_after - options_.clock->WallNow();
  MutexLock lock(&mu_);
  view_ = std::move(view);
}

std::shared_ptr<const ClusterView> Coordinator::view() const {
  MutexLock lock(&mu_);
  return view_;
}

void Coordinator::AddMetrics(Metrics* metrics) const {
  view()->AddMetrics(metrics);
  const ShardServer::Counters given = shards_given();
  metrics->Add("shoal_coordinator_shard_bytes_sent_total", static_cast<double>(given.bytes));
  metrics->Add("shoal_coordinator_shard_requests_total", static_cast<double>(given.answers));
}

void Coordinator::CloseLinks() {
  for (auto it = links_.begin(); it != links_.end();) {
    if (listener_->IsOpen(StreamKind::kControl, *it)) {
      ++it;
      continue;
    }
    service_->OnClosed(*it);
    it = links_.erase(it);
  }
}

}  // namespace shoal
