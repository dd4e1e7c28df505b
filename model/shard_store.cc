#include "model/shard_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/incoming_shard.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr std::string_view kPart = ".part";      // Arriving.
constexpr std::string_view kTemporary = ".tmp";  // A link that is being checked.
constexpr size_t kPieceBytes = size_t{1} << 20;  // Read, then hashed while the caches hold it.

absl::Status WrongSize(const std::string& path, uint64_t n_bytes, const ShardInfo& shard) {
  return absl::DataLossError(
      absl::StrCat(path, ": has ", n_bytes, " bytes, the manifest says ", shard.file_bytes));
}

absl::Status WrongHash(const std::string& path, const Sha256Digest& found) {
  return absl::DataLossError(absl::StrCat(path, ": its SHA-256 is ", ToHex(found)));
}

// DataLoss unless the file is the shard.
absl::Status CheckFile(const ReadableFile& file, const std::string& path, const ShardInfo& shard) {
  if (file.size() != shard.file_bytes) return WrongSize(path, file.size(), shard);
  std::vector<std::byte> piece(std::min<uint64_t>(kPieceBytes, file.size()));
  Sha256Stream hash;
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    piece.resize(std::min<uint64_t>(piece.size(), file.size() - at));
    SHOAL_RETURN_IF_ERROR(file.Read(at, piece));
    hash.Update(piece);
  }
  const Sha256Digest found = hash.Finish();
  return found == shard.hash ? absl::OkStatus() : WrongHash(path, found);
}

// Bytes of the file at `path`; 0 if there is none.
uint64_t FileBytes(FileSystem* files, const std::string& path) {
  const auto file = files->Open(path);
  return file.ok() ? (*file)->size() : 0;
}

// Whether exactly these bytes lie at `path`.
bool HasBytes(FileSystem* files, const std::string& path, std::span<const std::byte> bytes) {
  const auto file = files->Open(path);
  if (!file.ok() || (*file)->size() != bytes.size()) return false;
  std::vector<std::byte> piece(std::min(kPieceBytes, bytes.size()));
  for (size_t at = 0; at < bytes.size(); at += piece.size()) {
    piece.resize(std::min(piece.size(), bytes.size() - at));
    if (!(*file)->Read(at, piece).ok()) return false;
    if (!std::equal(piece.begin(), piece.end(), bytes.begin() + static_cast<ptrdiff_t>(at))) {
      return false;
    }
  }
  return true;
}

// The shard that a name in a store's folder belongs to, whole or half-written (S19).
std::optional<Sha256Digest> OwnerOf(std::string_view name) {
  for (const std::string_view suffix : {kPart, kTemporary}) {
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  return DigestFromHex(name);
}

}  // namespace

ShardStore::ShardStore(FileSystem* files, std::string directory)
    : files_(files), directory_(std::move(directory)) {}

absl::StatusOr<std::unique_ptr<ShardStore>> ShardStore::Open(FileSystem* files,
                                                             std::string directory) {
  SHOAL_RETURN_IF_ERROR(files->CreateDirectories(directory));
  return std::unique_ptr<ShardStore>(new ShardStore(files, std::move(directory)));
}

std::string ShardStore::PathOf(const Sha256Digest& hash) const {
  return JoinPath(directory_, ShardPath(hash));
}

absl::Status ShardStore::MakeFolder(const Sha256Digest& hash) const {
  return files_->CreateDirectories(JoinPath(directory_, ToHex(hash).substr(0, 2)));
}

bool ShardStore::Has(const ShardInfo& shard) const {
  return FileBytes(files_, PathOf(shard.hash)) == shard.file_bytes;
}

absl::StatusOr<ShardStore::Reader> ShardStore::StartReading(const ShardInfo& shard) {
  const std::string path = PathOf(shard.hash);
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, files_->Open(path));
  if (file->size() != shard.file_bytes) {
    return Discard(shard, WrongSize(path, file->size(), shard));
  }
  return Reader(this, &shard, std::move(file));
}

absl::Status ShardStore::Reader::Read(std::span<std::byte> piece) {
  const absl::Status read = file_->Read(offset_, piece);
  if (absl::IsDataLoss(read)) return store_->Discard(*shard_, read);
  SHOAL_RETURN_IF_ERROR(read);
  hash_.Update(piece);
  if (offset_ < header_.size()) {
    const size_t n = std::min<uint64_t>(header_.size() - offset_, piece.size());
    std::copy_n(piece.begin(), n, header_.begin() + static_cast<ptrdiff_t>(offset_));
  }
  offset_ += piece.size();
  return absl::OkStatus();
}

absl::Status ShardStore::Reader::Finish() {
  std::vector<std::byte> piece(std::min<uint64_t>(kPieceBytes, file_->size() - offset_));
  while (offset_ < file_->size()) {
    piece.resize(std::min<uint64_t>(piece.size(), file_->size() - offset_));
    SHOAL_RETURN_IF_ERROR(Read(piece));
  }
  const std::string path = store_->PathOf(shard_->hash);
  const Sha256Digest found = hash_.Finish();
  if (found != shard_->hash) return store_->Discard(*shard_, WrongHash(path, found));
  const uint64_t n_header = std::min<uint64_t>(header_.size(), file_->size());
  const absl::StatusOr<uint64_t> data_bytes = DecodeShardHeader({header_.data(), n_header});
  if (data_bytes.ok() && *data_bytes == file_->size() - kShardHeaderBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": bears its hash but is no shard: ",
      data_bytes.ok() ? absl::StrCat("data_bytes is ", *data_bytes, ", ",
                                     file_->size() - kShardHeaderBytes, " follow its header")
                      : std::string(data_bytes.status().message()),
      "; import the model anew"));
}

absl::Status ShardStore::Discard(const ShardInfo& shard, const absl::Status& why) {
  {
    const MutexLock lock(&mu_);
    ++n_corrupt_;
  }
  const absl::Status removed = files_->Remove(PathOf(shard.hash));
  return absl::DataLossError(absl::StrCat(
      std::string(why.message()),
      removed.ok() ? "; deleted, fetch it again"
                   : absl::StrCat("; and cannot be deleted: ", std::string(removed.message()))));
}

absl::StatusOr<AlignedBuffer> ShardStore::Load(const ShardInfo& shard) {
  AlignedBuffer whole;
  SHOAL_RETURN_IF_ERROR(LoadInto(shard, &whole));
  return whole;
}

absl::Status ShardStore::LoadInto(const ShardInfo& shard, AlignedBuffer* whole) {
  SHOAL_ASSIGN_OR_RETURN(Reader reader, StartReading(shard));
  if (whole->size() != shard.file_bytes) *whole = AlignedBuffer(shard.file_bytes);
  for (uint64_t at = 0; at < shard.file_bytes; at += kPieceBytes) {
    SHOAL_RETURN_IF_ERROR(
        reader.Read({whole->data() + at, std::min<uint64_t>(kPieceBytes, shard.file_bytes - at)}));
  }
  return reader.Finish();
}

absl::Status ShardStore::Verify(const ShardInfo& shard) {
  SHOAL_ASSIGN_OR_RETURN(Reader reader, StartReading(shard));
  return reader.Finish();
}

absl::Status ShardStore::ReadChunk(const Sha256Digest& hash, uint64_t offset,
                                   std::span<std::byte> out) const {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, files_->Open(PathOf(hash)));
  return file->Read(offset, out);
}

absl::Status ShardStore::TakeFrom(const ShardStore& other, const ShardInfo& shard) {
  const std::string from = other.PathOf(shard.hash);
  const std::string link = absl::StrCat(PathOf(shard.hash), std::string(kTemporary));
  SHOAL_RETURN_IF_ERROR(MakeFolder(shard.hash));
  files_->Remove(link).IgnoreError();  // Mostly there is none.
  const absl::Status linked = files_->Link(from, link);
  if (absl::IsNotFound(linked)) return linked;
  if (!linked.ok()) return CopyFrom(other, shard);
  const absl::Status taken = TakeLink(link, shard);
  if (!taken.ok()) files_->Remove(link).IgnoreError();  // Best effort: the next one removes it.
  return taken;
}

absl::Status ShardStore::TakeLink(const std::string& link, const ShardInfo& shard) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, files_->Open(link));
  SHOAL_RETURN_IF_ERROR(CheckFile(*file, link, shard));
  SHOAL_RETURN_IF_ERROR(files_->Rename(link, PathOf(shard.hash)));
  OnPut(shard.hash);
  // Where both are names of one file already, a rename does nothing and leaves them both.
  if (files_->Exists(link)) files_->Remove(link).IgnoreError();
  return absl::OkStatus();
}

absl::Status ShardStore::CopyFrom(const ShardStore& other, const ShardInfo& shard) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Incoming> incoming, Receive(shard));
  std::vector<std::byte> chunk;
  while (incoming->next_offset() < shard.file_bytes) {
    chunk.resize(incoming->next_bytes());
    SHOAL_RETURN_IF_ERROR(other.ReadChunk(shard.hash, incoming->next_offset(), chunk));
    SHOAL_RETURN_IF_ERROR(incoming->Append(chunk));
  }
  return incoming->Commit();
}

absl::StatusOr<std::unique_ptr<ShardStore::Incoming>> ShardStore::Receive(const ShardInfo& shard) {
  SHOAL_RETURN_IF_ERROR(MakeFolder(shard.hash));
  const std::string path = PathOf(shard.hash);
  return OpenIncomingShard(files_, shard, absl::StrCat(path, std::string(kPart)), path,
                           [this, &shard] { OnPut(shard.hash); });
}

absl::Status ShardStore::Sync() {
  std::set<Sha256Digest> hashes;
  {
    const MutexLock lock(&mu_);
    hashes.swap(unsynced_);
  }
  if (hashes.empty()) return absl::OkStatus();
  const absl::Status synced = files_->SyncAll(directory_);
  if (synced.ok()) return synced;
  for (const Sha256Digest& hash : hashes) Remove(hash).IgnoreError();
  return synced;
}

void ShardStore::OnPut(const Sha256Digest& hash) {
  const MutexLock lock(&mu_);
  unsynced_.insert(hash);
}

absl::StatusOr<bool> ShardStore::Put(const Sha256Digest& hash, std::span<const std::byte> bytes) {
  if (HasBytes(files_, PathOf(hash), bytes)) return false;
  SHOAL_RETURN_IF_ERROR(MakeFolder(hash));
  const std::string part = absl::StrCat(PathOf(hash), std::string(kPart));
  const auto write = [&]() -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files_->Create(part));
    return file->Append(bytes);
  };
  absl::Status status = write();
  if (status.ok()) status = files_->Rename(part, PathOf(hash));
  if (status.ok()) return true;
  files_->Remove(part).IgnoreError();  // Best effort: the next one replaces it.
  return status;
}

std::string ShardStore::UnnamedPath() const { return JoinPath(directory_, "unnamed.part"); }

absl::StatusOr<std::unique_ptr<WritableFile>> ShardStore::CreateUnnamed() {
  return files_->Create(UnnamedPath());
}

absl::Status ShardStore::PutUnnamed(const Sha256Digest& hash) {
  SHOAL_RETURN_IF_ERROR(MakeFolder(hash));
  return files_->Rename(UnnamedPath(), PathOf(hash));
}

void ShardStore::RemoveUnnamed() { files_->Remove(UnnamedPath()).IgnoreError(); }

absl::Status ShardStore::Remove(const Sha256Digest& hash) {
  const absl::Status removed = files_->Remove(PathOf(hash));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

absl::Status ShardStore::ForEachFile(
    absl::FunctionRef<absl::Status(const std::string& path, const std::string& name,
                                   const Sha256Digest& owner)>
        visit) const {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> folders, files_->List(directory_));
  for (const std::string& folder : folders) {
    if (folder.size() != 2) continue;
    const std::string path = JoinPath(directory_, folder);
    const absl::StatusOr<std::vector<std::string>> names = files_->List(path);
    if (absl::IsNotFound(names.status())) continue;  // A file of somebody else's.
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const std::optional<Sha256Digest> owner = OwnerOf(name);
      if (!owner || ToHex(*owner).substr(0, 2) != folder) continue;
      SHOAL_RETURN_IF_ERROR(visit(JoinPath(path, name), name, *owner));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Sha256Digest>> ShardStore::List() const {
  std::vector<Sha256Digest> hashes;
  SHOAL_RETURN_IF_ERROR(ForEachFile(
      [&](const std::string& /*path*/, const std::string& name, const Sha256Digest& owner) {
        if (name == ToHex(owner)) hashes.push_back(owner);
        return absl::OkStatus();
      }));
  return hashes;
}

absl::StatusOr<uint64_t> ShardStore::Sweep(const std::set<Sha256Digest>& keep) {
  uint64_t freed = FileBytes(files_, UnnamedPath());
  RemoveUnnamed();
  SHOAL_RETURN_IF_ERROR(ForEachFile(
      [&](const std::string& path, const std::string& /*name*/, const Sha256Digest& owner) {
        if (keep.contains(owner)) return absl::OkStatus();
        const uint64_t n = FileBytes(files_, path);
        absl::Status removed = files_->Remove(path);
        if (removed.ok()) freed += n;
        return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
      }));
  return freed;
}

uint64_t ShardStore::n_corrupt() const {
  const MutexLock lock(&mu_);
  return n_corrupt_;
}

}  // namespace shoal
