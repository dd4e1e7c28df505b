#include "base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

// The error of the system call that just failed, about `path`.
absl::Status SystemError(std::string_view doing, const std::string& path) {
  const int code = errno;
  const std::string text = absl::StrCat(path, ": ", std::string(doing), ": ",
                                        std::error_code(code, std::generic_category()).message());
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case EXDEV:
      return absl::FailedPreconditionError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    case EMFILE:
    case ENFILE:
      return absl::AbortedError(text);
    default:
      return absl::DataLossError(text);
  }
}

// Calls again while a signal interrupts.
template <typename Call>
auto Retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// An open file's descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::StatusOr<Descriptor> OpenDescriptor(const std::string& path, int flags) {
  Descriptor fd(Retried([&] { return open(path.c_str(), flags | O_CLOEXEC, 0600); }));
  if (fd.get() < 0) return SystemError("open", path);
  return fd;
}

class MachineReadableFile final : public ReadableFile {
 public:
  MachineReadableFile(std::string path, Descriptor fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  uint64_t size() const override { return size_; }

  absl::Status Read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > size_ || out.size() > size_ - offset) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": ", out.size(), " bytes at ", offset,
                                                " are past the end, ", size_));
    }
    while (!out.empty()) {
      const ssize_t n = Retried(
          [&] { return pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset)); });
      if (n < 0) return SystemError("read", path_);
      if (n == 0) {
        return absl::DataLossError(
            absl::StrCat(path_, ": ends at ", offset, ", had ", size_, " bytes when opened"));
      }
      offset += static_cast<uint64_t>(n);
      out = out.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const Descriptor fd_;
  const uint64_t size_;
};

class MachineWritableFile final : public WritableFile {
 public:
  MachineWritableFile(std::string path, Descriptor fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status Append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = Retried([&] { return write(fd_.get(), bytes.data(), bytes.size()); });
      if (n < 0) return SystemError("write", path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (Retried([&] { return fsync(fd_.get()); }) < 0) return SystemError("sync", path_);
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

// flock belongs to the open file, so that two of one process exclude each other too.
class MachineFileLock final : public FileLock {
 public:
  explicit MachineFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;
};

class Machine final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override {
    SHOAL_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDONLY | O_NONBLOCK));
    struct stat info = {};
    if (fstat(fd.get(), &info) < 0) return SystemError("stat", path);
    if (!S_ISREG(info.st_mode)) {
      return absl::DataLossError(absl::StrCat(path, ": is not a regular file"));
    }
    return std::make_unique<MachineReadableFile>(path, std::move(fd),
                                                 static_cast<uint64_t>(info.st_size));
  }

  // Removed first: a link to the old file keeps the old bytes, and mode 0600 always holds.
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    if (unlink(path.c_str()) < 0 && errno != ENOENT) return SystemError("create", path);
    SHOAL_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_WRONLY | O_CREAT | O_EXCL));
    return std::make_unique<MachineWritableFile>(path, std::move(fd));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path) override {
    SHOAL_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_WRONLY | O_CREAT | O_APPEND));
    return std::make_unique<MachineWritableFile>(path, std::move(fd));
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) < 0) return SystemError("rename to " + to, from);
    return absl::OkStatus();
  }

  absl::Status Link(const std::string& from, const std::string& to) override {
    if (link(from.c_str(), to.c_str()) < 0) return SystemError("link to " + to, from);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (remove(path.c_str()) < 0) return SystemError("remove", path);
    return absl::OkStatus();
  }

  // A new folder is synced into its parent: what is synced inside it must not hang on a name that
  // a power cut takes away.
  absl::Status CreateDirectories(const std::string& path) override {
    if (path.empty() || IsDirectory(path)) return absl::OkStatus();
    const size_t slash = path.find_last_of('/');
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
    SHOAL_RETURN_IF_ERROR(CreateDirectories(parent));
    if (mkdir(path.c_str(), 0700) < 0 && !(errno == EEXIST && IsDirectory(path))) {
      return SystemError("create folder", path);
    }
    const absl::Status synced = SyncDirectory(parent.empty() ? "/" : parent);
    if (!synced.ok()) rmdir(path.c_str());  // Or the next call would take it for a durable one.
    return synced;
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
    if (dir == nullptr) return SystemError("list", directory);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(dir.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return SystemError("list", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status SyncDirectory(const std::string& path) override {
    SHOAL_ASSIGN_OR_RETURN(const Descriptor fd, OpenDescriptor(path, O_RDONLY | O_DIRECTORY));
    if (Retried([&] { return fsync(fd.get()); }) < 0) return SystemError("sync", path);
    return absl::OkStatus();
  }

  absl::Status SyncAll(const std::string& path) override {
    SHOAL_ASSIGN_OR_RETURN(const Descriptor fd, OpenDescriptor(path, O_RDONLY));
    if (syncfs(fd.get()) < 0) return SystemError("sync disk", path);
    return absl::OkStatus();
  }

  bool Exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info = {};
    if (statvfs(path.c_str(), &info) < 0) return SystemError("free bytes", path);
    return uint64_t{info.f_bavail} * info.f_frsize;
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    SHOAL_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDWR | O_CREAT));
    if (Retried([&] { return flock(fd.get(), LOCK_EX | LOCK_NB); }) < 0) {
      if (errno != EWOULDBLOCK) return SystemError("lock", path);
      return absl::UnavailableError(absl::StrCat(path, ": another process holds this lock"));
    }
    return std::make_unique<MachineFileLock>(std::move(fd));
  }

 private:
  static bool IsDirectory(const std::string& path) {
    struct stat info = {};
    return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
};

}  // namespace

FileSystem* MachineFileSystem() {
  static auto* const machine = new Machine;
  return machine;
}

absl::StatusOr<std::string> ReadFile(FileSystem* files, const std::string& path,
                                     uint64_t max_bytes) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, files->Open(path));
  if (file->size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", file->size(), " bytes, at most ", max_bytes));
  }
  std::string bytes(static_cast<size_t>(file->size()), '\0');
  SHOAL_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

absl::Status ReplaceFile(FileSystem* files, const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  const auto write = [&]() -> absl::Status {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files->Create(temporary));
    SHOAL_RETURN_IF_ERROR(file->Append(std::as_bytes(std::span(bytes))));
    return file->Sync();
  };
  absl::Status status = write();
  if (status.ok()) status = files->Rename(temporary, path);
  if (!status.ok()) {
    files->Remove(temporary).IgnoreError();  // Best effort: the next write replaces it.
    return status;
  }
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return files->SyncDirectory(".");
  return files->SyncDirectory(slash == 0 ? "/" : path.substr(0, slash));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

}  // namespace shoal
