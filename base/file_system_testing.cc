#include "base/file_system_testing.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace shoal {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

class MemoryFileSystem::Reader final : public ReadableFile {
 public:
  Reader(MemoryFileSystem* disk, std::string path, std::string bytes)
      : disk_(disk), path_(std::move(path)), bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  absl::Status Read(uint64_t offset, std::span<std::byte> out) const override {
    if (absl::Status status = disk_->Step(path_); !status.ok()) return status;
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": read past the end"));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return absl::OkStatus();
  }

 private:
  MemoryFileSystem* const disk_;
  const std::string path_;
  const std::string bytes_;
};

class MemoryFileSystem::Writer final : public WritableFile {
 public:
  Writer(MemoryFileSystem* disk, std::shared_ptr<Inode> inode)
      : disk_(disk), inode_(std::move(inode)) {}
  absl::Status Append(std::span<const std::byte> bytes) override {
    return disk_->Append(inode_.get(), bytes);
  }
  absl::Status Sync() override { return disk_->Sync(inode_.get()); }

 private:
  MemoryFileSystem* const disk_;
  const std::shared_ptr<Inode> inode_;
};

class MemoryFileSystem::HeldLock final : public FileLock {
 public:
  HeldLock(MemoryFileSystem* disk, std::string path) : disk_(disk), path_(std::move(path)) {}
  ~HeldLock() override {
    MutexLock lock(&disk_->mu_);
    disk_->locks_.erase(path_);
  }

 private:
  MemoryFileSystem* const disk_;
  const std::string path_;
};

void MemoryFileSystem::FailOperation(int64_t n) {
  MutexLock lock(&mu_);
  until_failure_ = n;
  failed_ = false;
}

bool MemoryFileSystem::failed() const {
  MutexLock lock(&mu_);
  return failed_;
}

void MemoryFileSystem::TurnOff() {
  MutexLock lock(&mu_);
  off_ = true;
}

void MemoryFileSystem::PowerCut() {
  MutexLock lock(&mu_);
  off_ = false;
  until_failure_ = -1;
  locks_.clear();
  // A folder's names are all as they were synced, or all as they are: renames are journalled.
  std::map<std::string, bool> newest;
  for (const Names* names : {&durable_, &names_}) {
    for (const auto& [path, inode] : *names) {
      newest.try_emplace(ParentOf(path), random_() % 2 == 0);
    }
  }
  Names left;
  for (const auto& [path, inode] : durable_) {
    if (!newest[ParentOf(path)]) left[path] = inode;
  }
  for (const auto& [path, inode] : names_) {
    if (newest[ParentOf(path)]) left[path] = inode;
  }
  std::map<Inode*, std::shared_ptr<Inode>> survivors;  // New ones: open files reach the old.
  for (auto& [path, inode] : left) {
    std::shared_ptr<Inode>& survivor = survivors[inode.get()];
    if (survivor == nullptr) {
      survivor = std::make_shared<Inode>();
      survivor->synced = inode->synced;
      const size_t unsynced =
          inode->bytes.size() - std::min(inode->synced.size(), inode->bytes.size());
      std::string tail = inode->bytes.substr(inode->bytes.size() - unsynced);
      if (!tail.empty()) tail.resize(random_() % (tail.size() + 1));
      if (!tail.empty() && random_() % 2 == 0) tail[random_() % tail.size()] ^= 0x55;
      survivor->synced += tail;
      survivor->bytes = survivor->synced;
    }
    inode = survivor;
  }
  names_ = left;
  durable_ = std::move(left);
}

void MemoryFileSystem::FlipBit(const std::string& path, uint64_t bit) {
  MutexLock lock(&mu_);
  Inode& inode = *names_.at(path);
  inode.bytes[bit / 8] = static_cast<char>(inode.bytes[bit / 8] ^ (1 << bit % 8));
  inode.synced = inode.bytes;
}

absl::Status MemoryFileSystem::Step(const std::string& what) {
  MutexLock lock(&mu_);
  return StepLocked(what);
}

absl::Status MemoryFileSystem::StepLocked(const std::string& what) {
  if (off_) return absl::DataLossError(absl::StrCat(what, ": the disk is off"));
  if (until_failure_ < 0 || until_failure_-- > 0) return absl::OkStatus();
  failed_ = true;
  return absl::DataLossError(absl::StrCat(what, ": the disk failed"));
}

absl::Status MemoryFileSystem::Append(Inode* inode, std::span<const std::byte> bytes) {
  MutexLock lock(&mu_);
  const absl::Status status = StepLocked("append");
  size_t n = bytes.size();
  if (!status.ok()) n = off_ ? 0 : n / 2;
  inode->bytes.append(reinterpret_cast<const char*>(bytes.data()), n);
  return status;
}

absl::Status MemoryFileSystem::Sync(Inode* inode) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked("sync"); !status.ok()) {
    inode->unsyncable |= inode->synced != inode->bytes;
    return status;
  }
  if (!inode->unsyncable) inode->synced = inode->bytes;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ReadableFile>> MemoryFileSystem::Open(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  const auto found = names_.find(path);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  return std::make_unique<Reader>(this, path, found->second->bytes);
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::Create(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  if (!directories_.contains(ParentOf(path))) {
    return absl::NotFoundError(absl::StrCat(path, ": no such folder"));
  }
  auto inode = std::make_shared<Inode>();
  names_[path] = inode;
  return std::make_unique<Writer>(this, std::move(inode));
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::OpenToAppend(
    const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  if (!directories_.contains(ParentOf(path))) {
    return absl::NotFoundError(absl::StrCat(path, ": no such folder"));
  }
  std::shared_ptr<Inode>& inode = names_[path];
  if (inode == nullptr) inode = std::make_shared<Inode>();
  return std::make_unique<Writer>(this, inode);
}

absl::Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(from); !status.ok()) return status;
  const auto found = names_.find(from);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat(from, ": no such file"));
  std::shared_ptr<Inode> inode = found->second;
  names_.erase(found);
  names_[to] = std::move(inode);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Link(const std::string& from, const std::string& to) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(from); !status.ok()) return status;
  const auto found = names_.find(from);
  if (found == names_.end()) return absl::NotFoundError(absl::StrCat(from, ": no such file"));
  const std::shared_ptr<Inode> inode = found->second;
  names_[to] = inode;
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Remove(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  if (names_.erase(path) + directories_.erase(path) > 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(path, ": no such file"));
}

absl::Status MemoryFileSystem::CreateDirectories(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  for (std::string at = WithoutSlash(path); !at.empty(); at = ParentOf(at)) {
    if (!directories_.insert(at).second) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(directory); !status.ok()) return status;
  const std::string folder = WithoutSlash(directory);
  if (!directories_.contains(folder)) {
    return absl::NotFoundError(absl::StrCat(directory, ": no such folder"));
  }
  std::vector<std::string> inside;
  for (const auto& [path, inode] : names_) {
    if (ParentOf(path) == folder) inside.push_back(path.substr(folder.size() + 1));
  }
  for (const std::string& path : directories_) {
    if (ParentOf(path) == folder) inside.push_back(path.substr(folder.size() + 1));
  }
  std::sort(inside.begin(), inside.end());
  return inside;
}

absl::Status MemoryFileSystem::SyncDirectory(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  const std::string folder = WithoutSlash(path);
  std::erase_if(durable_, [&](const auto& entry) { return ParentOf(entry.first) == folder; });
  for (const auto& [name, inode] : names_) {
    if (ParentOf(name) == folder) durable_[name] = inode;
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncAll(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) {
    for (const auto& [name, inode] : names_) inode->unsyncable |= inode->synced != inode->bytes;
    return status;
  }
  for (const auto& [name, inode] : names_) {
    if (!inode->unsyncable) inode->synced = inode->bytes;
  }
  durable_ = names_;
  return absl::OkStatus();
}

bool MemoryFileSystem::Exists(const std::string& path) {
  MutexLock lock(&mu_);
  return names_.contains(path) || directories_.contains(WithoutSlash(path));
}

absl::StatusOr<uint64_t> MemoryFileSystem::FreeBytes(const std::string& path) {
  if (absl::Status status = Step(path); !status.ok()) return status;
  return uint64_t{1} << 40;
}

absl::StatusOr<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  MutexLock lock(&mu_);
  if (absl::Status status = StepLocked(path); !status.ok()) return status;
  if (!locks_.insert(path).second) {
    return absl::UnavailableError(absl::StrCat(path, ": locked by another process"));
  }
  return std::make_unique<HeldLock>(this, path);
}

}  // namespace shoal
