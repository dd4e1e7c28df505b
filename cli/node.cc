#include "cli/node.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/certificate.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr size_t kMaxTokenBytes = 512;
constexpr std::chrono::milliseconds kCancelPeriod{50};

bool IsSet(const std::atomic<bool>* cancelled) { return cancelled != nullptr && cancelled->load(); }

// One line of standard input, and not a byte more: what follows is somebody else's.
std::string ReadInputLine() {
  std::string line;
  char c = 0;
  while (line.size() < kMaxTokenBytes) {
    const ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || c == '\n') break;
    line.push_back(c);
  }
  return line;
}

absl::StatusOr<JoinToken> ReadToken(FileSystem* files, const std::string& path) {
  std::string text;
  if (path == "-") {
    text = ReadInputLine();
  } else {
    SHOAL_ASSIGN_OR_RETURN(text, ReadFile(files, path, kMaxTokenBytes));
  }
  absl::StatusOr<JoinToken> token = ParseJoinToken(text);
  if (token.ok()) return token;
  return absl::InvalidArgumentError(
      absl::StrCat("--join-token-file ", path, ": ", std::string(token.status().message())));
}

absl::StatusOr<NodeIdentity> IdentityOf(const Credentials& credentials) {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts own, ReadCertificate(credentials.certificate_pem));
  if (own.uri_names.size() != 1) {
    return absl::PermissionDeniedError(
        absl::StrCat("own certificate has ", own.uri_names.size(), " names, not one"));
  }
  return ParseIdentityUri(own.uri_names[0], credentials.cluster_id);
}

}  // namespace

std::vector<const ShardInfo*> TrunkShards(const Manifest& manifest) {
  std::vector<const ShardInfo*> shards;
  for (const ShardInfo& shard : manifest.shards) {
    if (shard.kind != ShardKind::kExpert) shards.push_back(&shard);
  }
  return shards;
}

std::vector<const ShardInfo*> ExpertShards(const Manifest& manifest, const ExpertSet& experts) {
  std::vector<const ShardInfo*> shards;
  for (const ShardInfo& shard : manifest.shards) {
    if (shard.kind == ShardKind::kExpert && experts.Contains(shard.layer, shard.expert)) {
      shards.push_back(&shard);
    }
  }
  return shards;
}

Node::Node(NodeSeams seams, std::unique_ptr<DataDirectory> data,
           std::unique_ptr<DataDirectory> local)
    : seams_(std::move(seams)),
      data_(std::move(data)),
      local_(std::move(local)),
      store_(seams_.files, JoinPath(data_->path(), "node")) {}

Node::~Node() = default;

// ------------------------------------------------------------------ membership

absl::StatusOr<std::unique_ptr<Node>> Node::Open(const NodeOptions& options, NodeRole role,
                                                 NodeSeams seams) {
  const std::string path = options.data_dir.empty() ? DefaultDataDirectory() : options.data_dir;
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<DataDirectory> data,
                         DataDirectory::Open(seams.files, path, DataDirectory::Access::kExclusive));
  std::unique_ptr<DataDirectory> local;
  if (!options.local_shards.empty()) {
    SHOAL_ASSIGN_OR_RETURN(local, DataDirectory::Open(seams.files, options.local_shards,
                                                      DataDirectory::Access::kShared));
  }
  std::unique_ptr<Node> node(new Node(std::move(seams), std::move(data), std::move(local)));
  SHOAL_RETURN_IF_ERROR(node->Start(options, role));
  return node;
}

absl::Status Node::Start(const NodeOptions& options, NodeRole role) {
  const std::string role_name(RoleName(role));
  coordinator_ = options.coordinator.empty() ? store_.ReadCoordinator() : options.coordinator;
  if (coordinator_.empty()) {
    return absl::FailedPreconditionError(
        "where the coordinator is has never been said: give --coordinator HOST:PORT");
  }
  SHOAL_ASSIGN_OR_RETURN(std::optional<Credentials> credentials, store_.ReadCredentials());
  if (credentials.has_value()) {
    SHOAL_RETURN_IF_ERROR(CheckSpentToken(*credentials, options.join_token_file));
  } else if (options.join_token_file.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        data_->path(), " belongs to no cluster yet. On the coordinator run `shoal token create ",
        "--role ", role_name, "` and give what it prints by --join-token-file"));
  } else {
    SHOAL_ASSIGN_OR_RETURN(const JoinToken token, ReadToken(seams_.files, options.join_token_file));
    SHOAL_ASSIGN_OR_RETURN(credentials, Join(token, role));
  }
  SHOAL_ASSIGN_OR_RETURN(identity_, IdentityOf(*credentials));
  if (identity_.role != role) {
    return absl::FailedPreconditionError(
        absl::StrCat(data_->path(), " is that of a ", std::string(RoleName(identity_.role)),
                     ", not of a ", role_name, ": each has a --data-dir of its own"));
  }
  if (store_.ReadCoordinator() != coordinator_) {
    SHOAL_RETURN_IF_ERROR(store_.WriteCoordinator(coordinator_));
  }
  credentials_ = std::make_shared<CredentialSource>(*std::move(credentials));
  fetcher_ = std::make_unique<ShardFetcher>(seams_.new_dialer(credentials_),
                                            ShardFetcher::Options{.is_busy = seams_.is_busy});
  return absl::OkStatus();
}

// A restart with the same arguments: the token is spent, and may be gone. Only one of another
// cluster shows a mistake.
absl::Status Node::CheckSpentToken(const Credentials& credentials, const std::string& file) const {
  if (file.empty() || file == "-") return absl::OkStatus();
  const absl::StatusOr<JoinToken> token = ReadToken(seams_.files, file);
  if (!token.ok()) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const Sha256Digest ca, CertificateDigest(credentials.ca_pem));
  if (ca == token->ca_digest) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(data_->path(), " belongs to another cluster than the join token: use a ",
                   "fresh --data-dir, or remove ", JoinPath(data_->path(), "node")));
}

absl::StatusOr<Credentials> Node::Join(const JoinToken& token, NodeRole role) {
  const absl::Time deadline = MonotonicNow() + seams_.join_time;
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(2), seams_.random);
  const Ed25519Key key = Ed25519Key::Generate(seams_.random);
  while (true) {
    absl::StatusOr<Credentials> joined =
        JoinCluster(token, coordinator_, seams_.fetch_ca, seams_.new_dialer, key, deadline);
    if (joined.ok()) {
      // Nothing of a wrong role is kept: the next start takes a right token.
      SHOAL_ASSIGN_OR_RETURN(const NodeIdentity identity, IdentityOf(*joined));
      if (identity.role != role) {
        return absl::FailedPreconditionError(absl::StrCat(
            "the join token is for a ", std::string(RoleName(identity.role)), ", not for a ",
            std::string(RoleName(role)), "; make one with --role ", std::string(RoleName(role))));
      }
      SHOAL_RETURN_IF_ERROR(store_.WriteCredentials(*joined));
      Log(LogLevel::kInfo, "joined", {{"coordinator", coordinator_}});
      return joined;
    }
    const absl::Time next = MonotonicNow() + backoff.Next();
    if (!absl::IsUnavailable(joined.status()) || next >= deadline) {
      return absl::Status(
          joined.status().code(),
          absl::StrCat("joining at ", coordinator_, ": ", std::string(joined.status().message())));
    }
    MutexLock lock(&mu_);
    changed_.WaitUntil(
        &mu_, std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(next - MonotonicNow()));
  }
}

// ------------------------------------------------------------------ snapshots

void Node::Follow(OnSnapshot on_snapshot) {
  on_snapshot_ = std::move(on_snapshot);
  client_ = CoordinatorClient::Start({.address = coordinator_,
                                      .credentials = credentials_,
                                      .new_dialer = seams_.new_dialer,
                                      .store = &store_,
                                      .clock = seams_.clock,
                                      .random = seams_.random,
                                      .on_snapshot = [this](std::shared_ptr<const Snapshot> next) {
                                        OnNewSnapshot(std::move(next));
                                      }});
}

void Node::OnNewSnapshot(std::shared_ptr<const Snapshot> snapshot) {
  {
    MutexLock lock(&mu_);
    snapshot_ = snapshot;
    changed_.SignalAll();
  }
  if (on_snapshot_) on_snapshot_(std::move(snapshot));
}

std::shared_ptr<const Snapshot> Node::snapshot() const {
  MutexLock lock(&mu_);
  return snapshot_;
}

// ------------------------------------------------------------------ files

std::vector<Endpoint> Node::Sources(
    const Snapshot* snapshot,
    const std::function<bool(const Snapshot::Member& worker)>& holds) const {
  std::vector<Endpoint> sources;
  for (size_t i = 0; snapshot != nullptr && i < snapshot->members.size(); ++i) {
    const Snapshot::Member& member = snapshot->members[i];
    if (member.node.role != NodeRole::kWorker || member.node == identity_ || !holds(member)) {
      continue;
    }
    sources.push_back({member.peer_address, NodeRole::kWorker, member.node.node_id});
  }
  // Not every node begins with the same peer.
  if (!sources.empty()) {
    std::rotate(sources.begin(), sources.begin() + seams_.random->Next64() % sources.size(),
                sources.end());
  }
  sources.push_back({coordinator_, NodeRole::kCoordinator, {}});
  return sources;
}

absl::StatusOr<SignedManifest> Node::StoredManifest(const Snapshot& snapshot) const {
  SHOAL_ASSIGN_OR_RETURN(SignedManifest stored, data_->ReadModel(*snapshot.model_id));
  if (stored.signer != snapshot.import_key) {
    return absl::PermissionDeniedError("the manifest is not signed by the cluster's import key");
  }
  const ModelConfig& config = stored.manifest.config;
  if (config.n_layers != snapshot.n_layers || config.MaxExperts() != snapshot.n_experts) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the manifest has ", config.n_layers, " layers of ", config.MaxExperts(),
        " experts, the snapshot says ", snapshot.n_layers, " of ", snapshot.n_experts));
  }
  return stored;
}

absl::Status Node::TakeManifest(const Snapshot& snapshot, const std::atomic<bool>* cancelled) {
  if (local_ != nullptr) {
    const absl::StatusOr<SignedManifest> there = local_->ReadModel(*snapshot.model_id);
    if (there.ok() && there->signer == snapshot.import_key) {
      SHOAL_ASSIGN_OR_RETURN(const std::string file, local_->ReadModelFile(*snapshot.model_id));
      return data_->WriteModel(file);
    }
  }
  std::vector<Endpoint> sources =
      Sources(&snapshot, [](const Snapshot::Member& worker) { return !worker.assigned.empty(); });
  std::rotate(sources.begin(), sources.end() - 1, sources.end());  // It certainly has it.
  SHOAL_ASSIGN_OR_RETURN(
      const std::string file,
      fetcher_->FetchManifest(*snapshot.model_id, snapshot.import_key, sources, cancelled));
  return data_->WriteModel(file);
}

absl::StatusOr<Node::Model> Node::WaitForModel(absl::Time deadline,
                                               const std::atomic<bool>* cancelled) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(2), seams_.random);
  std::string missing;
  absl::Time next_try = absl::InfinitePast();
  std::shared_ptr<const Snapshot> tried;  // One with another model is tried at once.
  while (true) {
    if (IsSet(cancelled)) return absl::CancelledError("stopped while waiting for a model");
    const std::shared_ptr<const Snapshot> current = snapshot();
    if (current == nullptr) {
      missing = absl::StrCat("no snapshot from the coordinator at ", coordinator_);
    } else if (!current->model_id.has_value()) {
      missing = "no model is set: run `shoal model set` on the coordinator";
    } else if (MonotonicNow() >= next_try || tried == nullptr ||
               tried->model_id != current->model_id) {
      tried = current;
      absl::StatusOr<SignedManifest> manifest = StoredManifest(*current);
      if (absl::IsNotFound(manifest.status()) || absl::IsDataLoss(manifest.status()) ||
          absl::IsPermissionDenied(manifest.status())) {
        const absl::Status taken = TakeManifest(*current, cancelled);
        manifest = taken.ok() ? StoredManifest(*current) : taken;
      }
      if (manifest.ok()) return Model{current, *std::move(manifest)};
      missing = std::string(manifest.status().message());
      next_try = MonotonicNow() + backoff.Next();
    }
    if (MonotonicNow() >= deadline) return absl::DeadlineExceededError(missing);
    MutexLock lock(&mu_);
    if (snapshot_ == current) {
      changed_.WaitUntil(&mu_, std::chrono::steady_clock::now() + kCancelPeriod);
    }
  }
}

absl::Status Node::EnsureShard(const ShardInfo& shard, const std::atomic<bool>* cancelled) {
  if (local_ != nullptr) {
    const absl::Status taken = data_->shards().TakeFrom(local_->shards(), shard);
    if (taken.ok() || absl::IsResourceExhausted(taken)) return taken;
    // Not there, or not good there: others have it.
  }
  const std::shared_ptr<const Snapshot> current = snapshot();
  const std::vector<Endpoint> sources = Sources(current.get(), [&](const Snapshot::Member& worker) {
    return shard.kind == ShardKind::kExpert && worker.assigned.Contains(shard.layer, shard.expert);
  });
  return fetcher_->Fetch(shard, sources, &data_->shards(), cancelled);
}

absl::Status Node::EnsureShards(std::span<const ShardInfo* const> shards, const Progress& progress,
                                const std::atomic<bool>* cancelled) {
  uint64_t bytes_all = 0;
  for (const ShardInfo* shard : shards) bytes_all += shard->file_bytes;
  uint64_t bytes_done = 0;
  absl::Status first_error;
  for (const ShardInfo* shard : shards) {
    if (IsSet(cancelled)) return absl::CancelledError("stopped while fetching shards");
    const absl::Status status =
        data_->shards().Has(*shard) ? absl::OkStatus() : EnsureShard(*shard, cancelled);
    if (status.ok()) bytes_done += shard->file_bytes;
    first_error.Update(status);
    if (absl::IsCancelled(status)) return status;
    if (progress) progress(bytes_done, bytes_all);
  }
  return first_error;
}

bool Node::SyncShards() {
  const absl::Status synced = data_->shards().Sync();
  if (synced.ok()) return true;
  Log(LogLevel::kWarning, "what was fetched could not be synced, and is fetched again when needed",
      {{"why", std::string(synced.message())}});
  return false;
}

void Node::KeepOnly(const Sha256Digest& model_id) {
  if (!SyncShards()) return;
  absl::Status tidied;
  const auto models = data_->ListModels();
  tidied.Update(models.status());
  for (size_t i = 0; models.ok() && i < models->size(); ++i) {
    const Sha256Digest& id = (*models)[i].id;
    if (id != model_id && !data_->IsImported(id)) tidied.Update(data_->RemoveModel(id));
  }
  tidied.Update(data_->SweepShards().status());
  if (tidied.ok()) return;
  Log(LogLevel::kWarning, "old files not removed", {{"why", std::string(tidied.message())}});
}

}  // namespace shoal
