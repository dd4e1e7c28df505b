#include "model/import/importer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/thread_pool.h"
#include "model/import/import_plan.h"
#include "model/import/import_record.h"
#include "model/import/open_model.h"
#include "model/import/shard_maker.h"
#include "model/shard.h"
#include "model/tokenizer_shard.h"

namespace shoal {
namespace {

// Left for the manifest, the folders and whoever else writes to this disk.
constexpr uint64_t kSpareBytes = uint64_t{64} << 20;

// The shard's whole file.
std::vector<std::byte> TokenizerFile(const TokenizerShard& tokenizer) {
  const std::string data = EncodeTokenizerShard(tokenizer);
  const auto header = EncodeShardHeader(data.size());
  std::vector<std::byte> file(header.begin(), header.end());
  const auto bytes = std::as_bytes(std::span(data));
  file.insert(file.end(), bytes.begin(), bytes.end());
  return file;
}

// One import, after the shortcut has found nothing.
class Import {
 public:
  Import(DataDirectory* data, const ImportOptions& options, FileIdentity identity)
      : data_(data), options_(options), identity_(std::move(identity)) {}

  absl::StatusOr<ImportResult> Run() {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, data_->LockShards());
    SHOAL_RETURN_IF_ERROR(OpenFile());
    SHOAL_RETURN_IF_ERROR(CheckRoom());
    SHOAL_RETURN_IF_ERROR(MakeShards());
    SHOAL_RETURN_IF_ERROR(CheckUnchanged());
    SHOAL_RETURN_IF_ERROR(SyncShards());
    SHOAL_RETURN_IF_ERROR(Publish());
    return std::move(result_);
  }

 private:
  absl::Status OpenFile() {
    SHOAL_ASSIGN_OR_RETURN(OpenedModel model, OpenModel(options_.path));
    if (!model.tokenizer.ok()) return model.tokenizer.status();
    file_ = std::move(model.file);
    manifest_.config = std::move(model.config);
    result_.note = std::move(model.note);
    tokenizer_file_ = TokenizerFile(*model.tokenizer);
    default_name_ = std::move(model.name);
    manifest_.name = options_.model_name.empty() ? default_name_ : options_.model_name;
    if (options_.convert) {
      SHOAL_ASSIGN_OR_RETURN(converted_, options_.convert(*file_, manifest_.config));
    }
    shards_ = PlanShards(weights(), manifest_.config);
    result_.n_bytes = tokenizer_file_.size();
    for (const PlannedShard& shard : shards_) result_.n_bytes += shard.info.file_bytes;
    return absl::OkStatus();
  }

  // What an interrupted import has left counts as room: it is not written again.
  absl::Status CheckRoom() const {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t free, data_->files()->FreeBytes(data_->path()));
    // A damaged manifest leaves unknown what is named: that is no reason to refuse another model.
    const uint64_t left = data_->UnnamedShardBytes().value_or(0);
    const uint64_t needed = result_.n_bytes + kSpareBytes;
    if (needed <= free + left) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "data directory ", data_->path(), ": importing ", options_.path, " takes ", needed >> 20,
        " MiB, but its disk has ", free >> 20,
        " MiB free; remove something, for instance with "
        "`shoal models rm` and `shoal models gc`, or name a folder elsewhere with --data-dir"));
  }

  absl::Status MakeShards() {
    ThreadPool pool(options_.n_threads);
    ShardMaker maker(weights(), &data_->shards(), &pool, kImportMemory / 2);
    uint64_t done = 0;
    const auto on_bytes = [&](uint64_t bytes) {
      done += bytes;
      if (options_.on_progress) options_.on_progress(done, result_.n_bytes);
    };
    SHOAL_RETURN_IF_ERROR(maker.Make(shards_, on_bytes));
    for (PlannedShard& shard : shards_) manifest_.shards.push_back(std::move(shard.info));
    ShardInfo tokenizer{.kind = ShardKind::kTokenizer, .file_bytes = tokenizer_file_.size()};
    SHOAL_RETURN_IF_ERROR(maker.Finish(tokenizer_file_, &tokenizer));
    on_bytes(tokenizer.file_bytes);
    manifest_.shards.push_back(std::move(tokenizer));
    result_.n_shards = static_cast<int>(manifest_.shards.size());
    written_ = maker.written();
    result_.n_written = static_cast<int>(written_.size());
    return absl::OkStatus();
  }

  // What a failed sync leaves looks right and may not be on the disk: the next try must not find
  // it.
  absl::Status SyncShards() {
    const absl::Status synced = data_->files()->SyncAll(data_->shards().directory());
    if (synced.ok()) return synced;
    for (const Sha256Digest& hash : written_) data_->shards().Remove(hash).IgnoreError();
    return synced;
  }

  absl::Status CheckUnchanged() const {
    SHOAL_ASSIGN_OR_RETURN(const FileIdentity now, IdentityOf(options_.path));
    if (now == identity_) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(options_.path, ": has changed while it was read; import it again"));
  }

  absl::Status Publish() {
    const std::string bytes = EncodeManifest(manifest_);
    SHOAL_ASSIGN_OR_RETURN(const Ed25519Key key, data_->ImportKey(options_.random));
    SHOAL_RETURN_IF_ERROR(data_->WriteModel(SignManifest(bytes, key)));
    result_.model_id = ModelId(bytes);
    result_.model_name = manifest_.name;
    return WriteImportRecord(data_, result_.model_id,
                             {identity_, default_name_, options_.conversion});
  }

  const WeightSource& weights() const { return converted_ == nullptr ? *file_ : *converted_; }

  DataDirectory* const data_;
  const ImportOptions& options_;
  const FileIdentity identity_;
  std::unique_ptr<ModelFile> file_;
  std::unique_ptr<WeightSource> converted_;  // Of file_; or null.
  Manifest manifest_;
  std::string default_name_;
  std::vector<PlannedShard> shards_;
  std::vector<std::byte> tokenizer_file_;
  std::vector<Sha256Digest> written_;  // Shards that were not there before.
  ImportResult result_;
};

}  // namespace

absl::StatusOr<ImportResult> ImportModel(DataDirectory* data, const ImportOptions& options) {
  SHOAL_CHECK_GE(options.n_threads, 1);
  SHOAL_CHECK(options.random != nullptr);
  SHOAL_ASSIGN_OR_RETURN(FileIdentity identity, IdentityOf(options.path));
  if (const auto found = FindImported(data, identity, options.model_name, options.conversion)) {
    return ImportResult{.model_id = found->id,
                        .model_name = found->manifest.name,
                        .n_bytes = found->manifest.n_bytes(),
                        .n_shards = static_cast<int>(found->manifest.shards.size()),
                        .already_there = true};
  }
  return Import(data, options, std::move(identity)).Run();
}

}  // namespace shoal
