#include "coordinator/file_store.h"

#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/crc32c.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALLOG";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kEntryHeaderBytes = 8;
constexpr uint32_t kMaxEntryBytes = 8U << 20;   // 256 workers with every expert named twice: 4 MiB.
constexpr uint64_t kMaxFileBytes = 256U << 20;  // Compaction keeps it far below.

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

uint32_t Crc(std::string_view bytes) { return Crc32c(0, AsBytes(bytes).data(), bytes.size()); }

std::string Header(uint64_t claim) {
  ByteWriter number;
  number.U64(claim);
  ByteWriter header;
  header.Bytes(kMagic);
  header.U32(kVersion);
  header.U32(Crc(number.bytes()));
  header.U64(claim);
  return header.Take();
}

std::string Framed(std::string_view entry) {
  ByteWriter length;
  length.U32(static_cast<uint32_t>(entry.size()));
  ByteWriter frame;
  frame.Bytes(length.bytes());
  frame.U32(Crc(absl::StrCat(length.bytes(), std::string(entry))));
  frame.Bytes(entry);
  return frame.Take();
}

uint32_t NumberAt(std::string_view bytes, size_t offset) {
  const auto at = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[offset + i]));
  };
  return at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24;
}

// The entry that begins there; nothing when it is not whole.
std::optional<std::string_view> EntryAt(std::string_view file, size_t offset) {
  if (file.size() - offset < kEntryHeaderBytes) return std::nullopt;
  const uint32_t length = NumberAt(file, offset);
  if (length > kMaxEntryBytes || length > file.size() - offset - kEntryHeaderBytes) {
    return std::nullopt;
  }
  const std::string_view entry = file.substr(offset + kEntryHeaderBytes, length);
  const std::string checked = absl::StrCat(std::string(file.substr(offset, 4)), std::string(entry));
  if (Crc(checked) != NumberAt(file, offset + 4)) return std::nullopt;
  return entry;
}

// Whether a whole entry begins anywhere behind `offset`: then what is damaged was acknowledged.
bool WholeEntryBehind(std::string_view file, size_t offset) {
  for (size_t i = offset + 1; i + kEntryHeaderBytes < file.size(); ++i) {
    const std::optional<std::string_view> entry = EntryAt(file, i);
    if (entry.has_value() && !entry->empty()) return true;
  }
  return false;
}

struct Contents {
  uint64_t claim = 0;
  std::vector<std::string> entries;
};

absl::StatusOr<uint64_t> ReadClaim(std::string_view file, const std::string& path) {
  if (file.size() < kHeaderBytes || !file.starts_with(kMagic)) {
    return absl::DataLossError(absl::StrCat(path, ": does not begin as a cluster's log does"));
  }
  if (const uint32_t version = NumberAt(file, 8); version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": format version ", version, ", this program reads ", kVersion));
  }
  if (Crc(file.substr(16, 8)) != NumberAt(file, 12)) {
    return absl::DataLossError(absl::StrCat(path, ": the checksum of its header differs"));
  }
  return uint64_t{NumberAt(file, 20)} << 32 | NumberAt(file, 16);
}

absl::StatusOr<Contents> Parse(std::string_view file, const std::string& path) {
  Contents contents;
  SHOAL_ASSIGN_OR_RETURN(contents.claim, ReadClaim(file, path));
  size_t offset = kHeaderBytes;
  while (offset < file.size()) {
    const std::optional<std::string_view> entry = EntryAt(file, offset);
    if (!entry.has_value()) {
      if (!WholeEntryBehind(file, offset)) break;  // Torn, and nobody was told that it is there.
      return absl::DataLossError(absl::StrCat(path, ": damaged at byte ", offset,
                                              "; put back a copy of the file and start again"));
    }
    contents.entries.emplace_back(*entry);
    offset += kEntryHeaderBytes + entry->size();
  }
  return contents;
}

absl::Status CheckSize(std::string_view entry) {
  if (entry.size() >= 1 && entry.size() <= kMaxEntryBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("log entry of ", entry.size(), " bytes is not in [1, ", kMaxEntryBytes, "]"));
}

}  // namespace

absl::StatusOr<uint64_t> FileStore::Claim() {
  Contents found;
  if (files_->Exists(path_)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string file, ReadFile(files_, path_, kMaxFileBytes));
    SHOAL_ASSIGN_OR_RETURN(found, Parse(file, path_));
  }
  SHOAL_RETURN_IF_ERROR(WriteAnew(found.claim + 1, std::move(found.entries)));
  return claim_;
}

absl::Status FileStore::Append(uint64_t claim, std::string_view entry) {
  SHOAL_RETURN_IF_ERROR(CheckSize(entry));
  SHOAL_RETURN_IF_ERROR(CheckClaim(claim));
  if (file_ == nullptr) {
    std::vector<std::string> entries = entries_;
    entries.emplace_back(entry);
    return WriteAnew(claim, std::move(entries));
  }
  if (absl::Status status = AppendInPlace(entry); !status.ok()) {
    file_.reset();  // Nobody knows what of it is on the disk (F12).
    return status;
  }
  entries_.emplace_back(entry);
  n_bytes_ += kEntryHeaderBytes + entry.size();
  return absl::OkStatus();
}

absl::Status FileStore::Compact(uint64_t claim, std::string_view entry) {
  SHOAL_RETURN_IF_ERROR(CheckSize(entry));
  SHOAL_RETURN_IF_ERROR(CheckClaim(claim));
  return WriteAnew(claim, {std::string(entry)});
}

absl::Status FileStore::CheckClaim(uint64_t claim) const {
  if (claim == claim_ && claim != 0) {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, files_->Open(path_));
    std::string header(kHeaderBytes, '\0');
    SHOAL_RETURN_IF_ERROR(
        file->Read(0, std::as_writable_bytes(std::span<char>(header.data(), header.size()))));
    SHOAL_ASSIGN_OR_RETURN(const uint64_t in_force, ReadClaim(header, path_));
    if (in_force == claim) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": claim ", claim, " is over; another coordinator writes here now"));
}

absl::Status FileStore::AppendInPlace(std::string_view entry) {
  SHOAL_RETURN_IF_ERROR(file_->Append(AsBytes(Framed(entry))));
  return file_->Sync();
}

absl::Status FileStore::WriteAnew(uint64_t claim, std::vector<std::string> entries) {
  std::string contents = Header(claim);
  for (const std::string& entry : entries) contents += Framed(entry);
  file_.reset();
  SHOAL_RETURN_IF_ERROR(ReplaceFile(files_, path_, contents));
  claim_ = claim;
  entries_ = std::move(entries);
  n_bytes_ = contents.size();
  // The file is right already: if it cannot be opened now, the next entry tries anew.
  if (auto file = files_->OpenToAppend(path_); file.ok()) file_ = *std::move(file);
  return absl::OkStatus();
}

}  // namespace shoal
