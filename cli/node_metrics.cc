#include "absl/time/clock.h"
#include "base/certificate.h"
#include "cli/node.h"

namespace shoal {

void Node::AddMetrics(Metrics* metrics) const {
  const auto add = [metrics](std::string_view name, auto value) {
    metrics->Add(name, static_cast<double>(value));
  };
  const absl::Time now = seams_.clock->WallNow();
  const std::shared_ptr<const Snapshot> snapshot = this->snapshot();
  add("shoal_node_epoch", snapshot != nullptr ? snapshot->epoch : 0);
  if (snapshot != nullptr) {
    add("shoal_node_snapshot_age_seconds", absl::ToDoubleSeconds(now - snapshot->issued));
  }
  const absl::StatusOr<CertificateFacts> certificate =
      ReadCertificate(credentials_->Get()->certificate_pem);
  if (certificate.ok()) {
    add("shoal_node_certificate_left_seconds", absl::ToDoubleSeconds(certificate->not_after - now));
  }
  const CoordinatorClient::Counters counters = client_->counters();
  add("shoal_node_coordinator_connected", client_->connected());
  add("shoal_node_coordinator_connections_total", counters.connections);
  add("shoal_node_certificate_renewals_total", counters.renewals);
  const auto snapshots = [metrics](const char* outcome, uint64_t n) {
    metrics->Add("shoal_node_snapshots_total", static_cast<double>(n), {{"outcome", outcome}});
  };
  snapshots("taken", counters.snapshots);
  snapshots("stale", counters.stale_snapshots);
  snapshots("refused", counters.refused_snapshots);
  add("shoal_node_fetched_bytes_total", fetched().bytes);
  add("shoal_node_bad_chunks_total", fetched().bad_chunks);
}

}  // namespace shoal
