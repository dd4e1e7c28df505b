#include "cli/admin_client.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "proto/grpc_transport.h"

namespace shoal {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr uint64_t kMaxFileBytes = 16 << 10;

absl::StatusOr<std::string> ReadOwn(const std::string& data_dir, const std::string& name) {
  const std::string path = JoinPath(JoinPath(data_dir, "coordinator"), name);
  absl::StatusOr<std::string> text = ReadFile(MachineFileSystem(), path, kMaxFileBytes);
  if (!absl::IsNotFound(text.status())) return text;
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": no such file; --data-dir has to be the folder of the coordinator, "
                   "which writes it when it starts"));
}

// "spiffe://<cluster-id>/...": what the operator's certificate says.
absl::StatusOr<std::string> ClusterOf(const std::string& certificate) {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate));
  constexpr std::string_view kScheme = "spiffe://";
  if (facts.uri_names.size() != 1 || !facts.uri_names[0].starts_with(kScheme)) {
    return absl::DataLossError("coordinator/admin.crt names no cluster; restart the coordinator");
  }
  const std::string rest = facts.uri_names[0].substr(kScheme.size());
  return rest.substr(0, rest.find('/'));
}

absl::StatusOr<Credentials> ReadCredentials(const std::string& data_dir) {
  Credentials credentials;
  SHOAL_ASSIGN_OR_RETURN(credentials.ca_pem, ReadOwn(data_dir, "ca.crt"));
  SHOAL_ASSIGN_OR_RETURN(credentials.certificate_pem, ReadOwn(data_dir, "admin.crt"));
  SHOAL_ASSIGN_OR_RETURN(credentials.key_pem, ReadOwn(data_dir, "admin.key"));
  SHOAL_ASSIGN_OR_RETURN(credentials.cluster_id, ClusterOf(credentials.certificate_pem));
  return credentials;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Open(const std::string& data_dir) {
  SHOAL_ASSIGN_OR_RETURN(Credentials credentials, ReadCredentials(data_dir));
  SHOAL_ASSIGN_OR_RETURN(const std::string address, ReadOwn(data_dir, "address"));
  std::unique_ptr<Dialer> dialer =
      NewGrpcDialer({.credentials = std::make_shared<CredentialSource>(std::move(credentials))});
  SHOAL_ASSIGN_OR_RETURN(const LinkId link,
                         dialer->Connect({.address = address, .role = NodeRole::kCoordinator},
                                         StreamKind::kControl, MonotonicNow() + kTimeout));
  return std::unique_ptr<AdminClient>(new AdminClient(std::move(dialer), link));
}

absl::StatusOr<wire::ControlReply> AdminClient::Ask(wire::ControlRequest request) {
  LinkEvent event;
  SHOAL_ASSIGN_OR_RETURN(const Frame frame, Exchange(std::move(request), &event));
  return frame.header.control_reply();
}

absl::StatusOr<wire::ClusterStatus> AdminClient::AskStatus() {
  wire::ControlRequest request;
  request.mutable_cluster_status();
  LinkEvent event;
  SHOAL_ASSIGN_OR_RETURN(const Frame frame, Exchange(std::move(request), &event));
  wire::ClusterStatus status;
  if (!status.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size()))) {
    return absl::DataLossError("the coordinator sent a status that cannot be read");
  }
  return status;
}

absl::StatusOr<Frame> AdminClient::Exchange(wire::ControlRequest request, LinkEvent* event) {
  wire::FrameHeader header;
  *header.mutable_control_request() = std::move(request);
  header.mutable_control_request()->set_id(++last_id_);
  SHOAL_RETURN_IF_ERROR(dialer_->Send(link_, EncodeFrame(header)));
  std::optional<LinkEvent> next = dialer_->Next(MonotonicNow() + kTimeout);
  if (!next.has_value()) {
    return absl::UnavailableError("the coordinator did not answer within 10 s");
  }
  *event = *std::move(next);
  SHOAL_RETURN_IF_ERROR(event->status);
  SHOAL_ASSIGN_OR_RETURN(Frame frame, DecodeFrame(event->frame));
  const wire::ControlReply& reply = frame.header.control_reply();
  if (!frame.header.has_control_reply() || reply.id() != last_id_) {
    return absl::InternalError("the coordinator answered something else");
  }
  if (reply.code() != 0) {
    return absl::Status(static_cast<absl::StatusCode>(reply.code()), reply.message());
  }
  return frame;
}

}  // namespace shoal
