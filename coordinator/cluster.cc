#include "coordinator/cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "model/manifest.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr absl::Duration kRestAfterFailure = absl::Seconds(1);  // Of a disk that refuses.
constexpr absl::Duration kTickPeriod = absl::Milliseconds(50);
constexpr absl::Duration kSnapshotAge = absl::Hours(24);  // Nodes use one for seven days.
constexpr absl::Duration kTokenMemory = absl::Hours(1);  // Says "expired" that long, not "unknown".
constexpr uint64_t kCompactAbove = uint64_t{1} << 20;

// What each expert takes in memory: its data, without the header.
ExpertBytes BytesOfExperts(const Manifest& manifest) {
  ExpertBytes bytes(static_cast<size_t>(manifest.config.n_layers));
  for (const ShardInfo& shard : manifest.shards) {  // Ascending by layer, then expert.
    if (shard.kind != ShardKind::kExpert) continue;
    bytes[shard.layer].push_back(shard.file_bytes - kShardHeaderBytes);
  }
  return bytes;
}

}  // namespace

Cluster::Cluster(Parts parts) : parts_(parts), live_(parts.clock->Now()) {}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Open(Parts parts) {
  std::unique_ptr<Cluster> cluster(new Cluster(parts));
  SHOAL_ASSIGN_OR_RETURN(cluster->claim_, parts.store->Claim());
  SHOAL_RETURN_IF_ERROR(cluster->Replay());
  if (cluster->state_.model().has_value()) {
    if (const absl::Status read = cluster->ReadModelSizes(); !read.ok()) {
      Log(LogLevel::kError, "model unreadable", {{"why", std::string(read.message())}});
    }
  }
  ClusterBatch begin{EpochRaised{cluster->state_.epoch() + 1}};
  if (cluster->state_.replicas() == 0) begin.emplace_back(ReplicasSet{parts.replicas});
  SHOAL_RETURN_IF_ERROR(cluster->Commit(begin));
  return cluster;
}

absl::Status Cluster::Replay() {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> entries, parts_.store->ReadAll());
  for (const std::string& entry : entries) {
    absl::StatusOr<ClusterBatch> batch = DecodeBatch(entry);
    absl::Status status = batch.status();
    if (status.ok()) status = state_.Apply(*batch);
    if (!status.ok()) {
      return absl::DataLossError(
          absl::StrCat("the cluster's log holds what this program cannot have written: ",
                       std::string(status.message()), "; put back a copy"));
    }
  }
  return absl::OkStatus();
}

absl::Status Cluster::Commit(const ClusterBatch& batch) {
  if (deposed_) return absl::FailedPreconditionError("another coordinator has taken over");
  if (batch.empty()) return absl::OkStatus();
  ClusterState next = state_;
  SHOAL_RETURN_IF_ERROR(next.Apply(batch));
  if (const absl::Status kept = parts_.store->Append(claim_, EncodeBatch(batch)); !kept.ok()) {
    Log(LogLevel::kError, "change not kept", {{"why", std::string(kept.message())}});
    if (absl::IsFailedPrecondition(kept)) {
      deposed_ = true;
      return kept;
    }
    return absl::UnavailableError(
        absl::StrCat("the coordinator cannot keep this: ", std::string(kept.message())));
  }
  state_ = std::move(next);
  PublishIfChanged();
  CompactIfLong();
  return absl::OkStatus();
}

void Cluster::PublishIfChanged() {
  {
    MutexLock lock(&mu_);
    if (snapshot_ != nullptr && snapshot_->epoch == state_.epoch()) return;
  }
  auto next = std::make_shared<const Snapshot>(
      state_.MakeSnapshot(parts_.authority->cluster_id(), parts_.clock->WallNow()));
  signed_snapshot_ = SignSnapshot(*next, parts_.authority->key());
  MutexLock lock(&mu_);
  snapshot_ = std::move(next);
}

std::shared_ptr<const Snapshot> Cluster::snapshot() const {
  MutexLock lock(&mu_);
  return snapshot_;
}

void Cluster::CompactIfLong() {
  if (parts_.store->n_bytes() < compacted_bytes_ + kCompactAbove) return;
  if (const absl::Status status = parts_.store->Compact(claim_, EncodeBatch(state_.Everything()));
      !status.ok()) {
    Log(LogLevel::kWarning, "log not compacted", {{"why", std::string(status.message())}});
  }
  compacted_bytes_ = parts_.store->n_bytes();
}

void Cluster::Tick() {
  const absl::Time now = parts_.clock->Now();
  if (deposed_ || now < resting_until_ || (now >= ticked_ && now - ticked_ < kTickPeriod)) return;
  ticked_ = now;
  ClusterBatch batch = keeper_.Next(state_, live_, now);
  const size_t n_placed = batch.size();
  for (ClusterRecord& record : Housekeeping()) batch.push_back(std::move(record));
  if (!Commit(batch).ok()) {
    keeper_.PlanAgain();
    resting_until_ = now + kRestAfterFailure;
    return;
  }
  if (n_placed == 0) return;
  parts_.audit->Write("placed", {{"epoch", absl::StrCat(state_.epoch())},
                                 {"workers_changed", absl::StrCat(n_placed)},
                                 {"placement", keeper_.text()}});
  Log(LogLevel::kInfo, "placed",
      {{"epoch", static_cast<unsigned long>(state_.epoch())}, {"placement", keeper_.text()}});
}

ClusterBatch Cluster::Housekeeping() const {
  ClusterBatch batch;
  const absl::Time wall = parts_.clock->WallNow();
  for (const auto& [id, token] : state_.tokens()) {
    if (wall >= token.expiry + kTokenMemory) batch.emplace_back(TokenForgotten{id});
  }
  const absl::Duration age = wall - snapshot()->issued;
  if (age >= kSnapshotAge || age <= -kSnapshotAge) {
    batch.emplace_back(EpochRaised{state_.epoch() + 1});
  }
  return batch;
}

absl::StatusOr<Sha256Digest> Cluster::SetModel(std::string_view model, int replicas) {
  SHOAL_ASSIGN_OR_RETURN(const Sha256Digest id, parts_.data->FindModel(model));
  SHOAL_ASSIGN_OR_RETURN(const SignedManifest manifest, parts_.data->ReadModel(id));
  SHOAL_ASSIGN_OR_RETURN(const Ed25519Key import_key, parts_.data->ImportKey(parts_.random));
  if (manifest.signer != import_key.public_key()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "model ", ToHex(id), " is signed by another key than coordinator/import.key of ",
        parts_.data->path(), "; import it here"));
  }
  const ModelConfig& config = manifest.manifest.config;
  const bool another = !state_.model().has_value() || state_.model()->id != id;
  ClusterBatch batch{ModelSet{{.id = id,
                               .name = manifest.manifest.name,
                               .n_layers = config.n_layers,
                               .n_experts = config.MaxExperts(),
                               .import_key = manifest.signer}}};
  if (replicas > 0) batch.emplace_back(ReplicasSet{replicas});
  SHOAL_RETURN_IF_ERROR(Commit(batch));
  if (another) live_.ForgetResidents();
  keeper_.SetModel(BytesOfExperts(manifest.manifest));
  return id;
}

absl::Status Cluster::ReadModelSizes() {
  SHOAL_ASSIGN_OR_RETURN(const SignedManifest manifest, parts_.data->ReadModel(state_.model()->id));
  keeper_.SetModel(BytesOfExperts(manifest.manifest));
  return absl::OkStatus();
}

}  // namespace shoal
