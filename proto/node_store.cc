#include "proto/node_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/certificate.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr std::string_view kCredentials = "credentials";
constexpr std::string_view kSnapshot = "snapshot";
constexpr std::string_view kPreviousSnapshot = "snapshot.previous";
constexpr std::string_view kAddress = "address";
constexpr std::string_view kCoordinator = "coordinator";
constexpr std::string_view kMeasure = "measure";

constexpr uint32_t kCredentialsFormat = 1;
constexpr size_t kMaxPemBytes = size_t{64} << 10;
constexpr size_t kMaxClusterIdBytes = 64;
constexpr size_t kMaxCredentialsBytes = 4 * kMaxPemBytes;
constexpr size_t kMaxLineBytes = 512;

uint32_t Checksum(std::string_view bytes) { return Crc32c(0, bytes.data(), bytes.size()); }

// u32 format, then cluster id, authority, certificate and key as counted strings, then the
// CRC-32C of all that.
std::string EncodeCredentials(const Credentials& credentials) {
  ByteWriter writer;
  writer.U32(kCredentialsFormat);
  writer.String(credentials.cluster_id);
  writer.String(credentials.ca_pem);
  writer.String(credentials.certificate_pem);
  writer.String(credentials.key_pem);
  writer.U32(Checksum(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<Credentials> DecodeCredentials(std::string_view bytes) {
  ByteReader reader(bytes);
  SHOAL_ASSIGN_OR_RETURN(const uint32_t format, reader.U32());
  if (format != kCredentialsFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat("format ", format, ", this version reads ", kCredentialsFormat));
  }
  Credentials credentials;
  SHOAL_ASSIGN_OR_RETURN(credentials.cluster_id, reader.String(kMaxClusterIdBytes));
  SHOAL_ASSIGN_OR_RETURN(credentials.ca_pem, reader.String(kMaxPemBytes));
  SHOAL_ASSIGN_OR_RETURN(credentials.certificate_pem, reader.String(kMaxPemBytes));
  SHOAL_ASSIGN_OR_RETURN(credentials.key_pem, reader.String(kMaxPemBytes));
  const uint32_t expected = Checksum(bytes.substr(0, reader.offset()));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t checksum, reader.U32());
  if (checksum != expected) return absl::InvalidArgumentError("checksum differs");
  SHOAL_RETURN_IF_ERROR(reader.ExpectEnd());
  return credentials;
}

}  // namespace

NodeStore::NodeStore(FileSystem* files, std::string directory)
    : files_(files), directory_(std::move(directory)) {}

std::string NodeStore::Path(std::string_view name) const { return JoinPath(directory_, name); }

absl::Status NodeStore::Write(std::string_view name, std::string_view bytes) {
  SHOAL_RETURN_IF_ERROR(files_->CreateDirectories(directory_));
  return ReplaceFile(files_, Path(name), bytes);
}

absl::StatusOr<std::optional<Credentials>> NodeStore::ReadCredentials() const {
  const std::string path = Path(kCredentials);
  const absl::StatusOr<std::string> bytes = ReadFile(files_, path, kMaxCredentialsBytes);
  if (absl::IsNotFound(bytes.status())) return std::optional<Credentials>();
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<Credentials> credentials = DecodeCredentials(*bytes);
  if (!credentials.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", std::string(credentials.status().message()),
                                            ". Remove it and join again with a new token."));
  }
  return std::optional<Credentials>(*std::move(credentials));
}

absl::Status NodeStore::WriteCredentials(const Credentials& credentials) {
  return Write(kCredentials, EncodeCredentials(credentials));
}

std::optional<NodeStore::Stored> NodeStore::ReadStored(std::string_view name,
                                                       const Credentials& credentials,
                                                       const Ed25519PublicKey& ca_key) const {
  absl::StatusOr<std::string> bytes = ReadFile(files_, Path(name), kMaxSnapshotBytes);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  absl::Status damage = bytes.status();
  if (bytes.ok()) {
    absl::StatusOr<Snapshot> snapshot = OpenSnapshot(*bytes, ca_key, credentials.cluster_id);
    if (snapshot.ok()) return Stored{*std::move(bytes), *std::move(snapshot)};
    damage = snapshot.status();
  }
  Log(LogLevel::kWarning, "stored snapshot passed over",
      {{"path", Path(name)}, {"reason", std::string(damage.message())}});
  return std::nullopt;
}

absl::StatusOr<std::optional<Snapshot>> NodeStore::ReadSnapshot(
    const Credentials& credentials) const {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts ca, ReadCertificate(credentials.ca_pem));
  std::optional<Stored> newest = ReadStored(kSnapshot, credentials, ca.public_key);
  if (!newest.has_value()) newest = ReadStored(kPreviousSnapshot, credentials, ca.public_key);
  if (!newest.has_value()) return std::optional<Snapshot>();
  return std::optional<Snapshot>(std::move(newest->snapshot));
}

absl::Status NodeStore::WriteSnapshot(std::string_view signed_bytes,
                                      const Credentials& credentials) {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts ca, ReadCertificate(credentials.ca_pem));
  SHOAL_ASSIGN_OR_RETURN(const Snapshot snapshot,
                         OpenSnapshot(signed_bytes, ca.public_key, credentials.cluster_id));
  const std::optional<Stored> current = ReadStored(kSnapshot, credentials, ca.public_key);
  if (current.has_value()) {
    if (current->bytes == signed_bytes) return absl::OkStatus();
    if (snapshot.epoch <= current->snapshot.epoch) {
      return absl::FailedPreconditionError(absl::StrCat("snapshot of epoch ", snapshot.epoch,
                                                        " is not above ", current->snapshot.epoch,
                                                        ", which ", Path(kSnapshot), " holds"));
    }
    SHOAL_RETURN_IF_ERROR(Write(kPreviousSnapshot, current->bytes));
  } else if (const auto previous = ReadStored(kPreviousSnapshot, credentials, ca.public_key);
             previous.has_value() && snapshot.epoch < previous->snapshot.epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("snapshot of epoch ", snapshot.epoch, " is below ", previous->snapshot.epoch,
                     ", which ", Path(kPreviousSnapshot), " holds"));
  }
  return Write(kSnapshot, signed_bytes);
}

std::string NodeStore::ReadLine(std::string_view name) const {
  const absl::StatusOr<std::string> bytes = ReadFile(files_, Path(name), kMaxLineBytes);
  return bytes.ok() ? *bytes : std::string();
}

std::string NodeStore::ReadAddress() const { return ReadLine(kAddress); }
absl::Status NodeStore::WriteAddress(std::string_view address) { return Write(kAddress, address); }
std::string NodeStore::ReadCoordinator() const { return ReadLine(kCoordinator); }
absl::Status NodeStore::WriteCoordinator(std::string_view address) {
  return Write(kCoordinator, address);
}
std::string NodeStore::ReadMeasure() const { return ReadLine(kMeasure); }
absl::Status NodeStore::WriteMeasure(std::string_view line) { return Write(kMeasure, line); }

}  // namespace shoal
