#include "model/import/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

// True if [offset, offset + length) lies inside `size`.
bool Inside(uint64_t offset, uint64_t length, uint64_t size) {
  const auto end = (Checked<uint64_t>(offset) + length).value();
  return end && *end <= size;
}

absl::Status PastTheEnd(const ByteSource& source, uint64_t offset, uint64_t length) {
  return absl::DataLossError(absl::StrCat(source.name(), ": wanted ", length, " bytes at byte ",
                                          offset, ", but it has ", source.size(), " bytes"));
}

class FileSource final : public ByteSource {
 public:
  FileSource(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  ~FileSource() override { close(fd_); }

  const std::string& name() const override { return path_; }
  uint64_t size() const override { return size_; }

  absl::Status Read(uint64_t offset, std::span<std::byte> out) const override {
    if (!Inside(offset, out.size(), size_)) return PastTheEnd(*this, offset, out.size());
    while (!out.empty()) {
      const ssize_t got = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        return absl::DataLossError(absl::StrCat(
            path_, ": reading ", out.size(), " bytes at byte ", offset, " failed (",
            got == 0 ? "the file has shrunk since it was opened" : std::strerror(errno),
            "); check the disk, then fetch the file again"));
      }
      out = out.subspan(static_cast<size_t>(got));
      offset += static_cast<uint64_t>(got);
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string name, std::span<const std::byte> bytes)
      : name_(std::move(name)), bytes_(bytes.begin(), bytes.end()) {}

  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }

  absl::Status Read(uint64_t offset, std::span<std::byte> out) const override {
    if (!Inside(offset, out.size(), bytes_.size())) return PastTheEnd(*this, offset, out.size());
    const auto piece = std::span(bytes_).subspan(offset, out.size());
    std::copy(piece.begin(), piece.end(), out.begin());
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  const std::vector<std::byte> bytes_;
};

absl::Status OpenError(const std::string& path, int error) {
  const std::string text = absl::StrCat(path, ": cannot be opened (", std::strerror(error), "); ");
  if (error == ENOENT) return absl::NotFoundError(text + "check the path");
  return absl::FailedPreconditionError(text + "check the path and its permissions");
}

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(const std::string& path) {
  // Non-blocking, so that a pipe under this name cannot hold us up before it is refused.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return OpenError(path, errno);
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 0) {
    close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is not a regular file; name the model file itself"));
  }
  return std::make_unique<FileSource>(path, fd, static_cast<uint64_t>(info.st_size));
}

std::unique_ptr<ByteSource> MakeMemorySource(std::string name, std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(std::move(name), bytes);
}

absl::StatusOr<uint64_t> PositionIn(std::string_view path, std::string_view tensor, uint64_t begin,
                                    uint64_t n_bytes, uint64_t offset, uint64_t length) {
  const auto end = (Checked<uint64_t>(offset) + length).value();
  const auto at = (Checked<uint64_t>(begin) + offset).value();
  if (!end || *end > n_bytes || !at) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(path), ": tensor ", Quoted(tensor),
                                                   ": wanted ", length, " bytes at ", offset,
                                                   " of the ", n_bytes, " it has"));
  }
  return *at;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  SHOAL_ASSIGN_OR_RETURN(const auto source, OpenFileSource(path));
  if (source->size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has ", source->size(),
                                                   " bytes, above the limit of ", max_bytes,
                                                   "; fetch the file again"));
  }
  std::string text(source->size(), '\0');
  SHOAL_RETURN_IF_ERROR(source->Read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace shoal
