#include "proto/join.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

constexpr std::string_view kVersion = "1";
constexpr size_t kIdDigits = 16;
constexpr size_t kSecretDigits = 64;

bool IsHex(std::string_view text, size_t n_digits) {
  return text.size() == n_digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// What stands before the first dot; the rest stays in `text`.
std::string_view TakeField(std::string_view* text) {
  const size_t dot = text->find('.');
  const std::string_view field = text->substr(0, dot);
  text->remove_prefix(dot == std::string_view::npos ? text->size() : dot + 1);
  return field;
}

FrameBuffer EncodeJoin(const JoinToken& token, const std::string& csr) {
  wire::FrameHeader header;
  wire::ControlRequest& request = *header.mutable_control_request();
  request.set_id(1);
  request.mutable_join()->set_token_id(token.id);
  request.mutable_join()->set_token_secret(token.secret);
  request.mutable_join()->set_csr(csr);
  return EncodeFrame(header);
}

// The certificate in the coordinator's answer, or why there is none.
absl::StatusOr<std::string> ReadAnswer(const LinkEvent& event) {
  SHOAL_RETURN_IF_ERROR(event.status);
  SHOAL_ASSIGN_OR_RETURN(const Frame frame, DecodeFrame(event.frame));
  const wire::ControlReply& reply = frame.header.control_reply();
  if (reply.code() != 0) {
    return absl::Status(static_cast<absl::StatusCode>(reply.code()), Quoted(reply.message()));
  }
  if (!reply.has_join()) return absl::InternalError("the coordinator answered something else");
  return reply.join().certificate();
}

// The cluster that a certificate for `key` names. DataLoss when it is not such a certificate.
absl::StatusOr<std::string> ClusterOf(const std::string& certificate, const Ed25519Key& key) {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate));
  constexpr std::string_view kScheme = "spiffe://";
  if (facts.public_key != key.public_key() || facts.uri_names.size() != 1 ||
      !facts.uri_names[0].starts_with(kScheme)) {
    return absl::DataLossError("the coordinator sent a certificate for somebody else");
  }
  const std::string_view rest = std::string_view(facts.uri_names[0]).substr(kScheme.size());
  std::string cluster_id(rest.substr(0, rest.find('/')));
  SHOAL_RETURN_IF_ERROR(ParseIdentityUri(facts.uri_names[0], cluster_id).status());
  return cluster_id;
}

}  // namespace

absl::StatusOr<JoinToken> ParseJoinToken(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  const absl::Status wrong = absl::InvalidArgumentError(
      "not a join token: it has the form 1.HASH.ID.SECRET, as `shoal token create` prints it");
  if (TakeField(&text) != kVersion) return wrong;
  const std::optional<Sha256Digest> digest = DigestFromHex(TakeField(&text));
  JoinToken token{digest.value_or(Sha256Digest{}), std::string(TakeField(&text)),
                  std::string(text)};
  if (!digest.has_value() || !IsHex(token.id, kIdDigits) || !IsHex(token.secret, kSecretDigits)) {
    return wrong;
  }
  return token;
}

std::string FormatJoinToken(const JoinToken& token) {
  return absl::StrCat(std::string(kVersion), ".", ToHex(token.ca_digest), ".", token.id, ".",
                      token.secret);
}

absl::StatusOr<Credentials> JoinCluster(const JoinToken& token, const std::string& coordinator,
                                        const FetchCa& fetch_ca, const DialerFactory& new_dialer,
                                        const Ed25519Key& key, absl::Time deadline) {
  Credentials credentials;
  SHOAL_ASSIGN_OR_RETURN(credentials.ca_pem, fetch_ca(coordinator, token.ca_digest, deadline));
  // From here on TLS answers for it: whoever listens there holds a key that this CA signed.
  const auto dialer = new_dialer(std::make_shared<CredentialSource>(credentials));
  SHOAL_ASSIGN_OR_RETURN(const LinkId link,
                         dialer->Connect({.address = coordinator, .role = NodeRole::kCoordinator},
                                         StreamKind::kControl, deadline));
  SHOAL_ASSIGN_OR_RETURN(const std::string csr, MakeCsr(key));
  SHOAL_RETURN_IF_ERROR(dialer->Send(link, EncodeJoin(token, csr)));
  const std::optional<LinkEvent> event = dialer->Next(deadline);
  if (!event.has_value()) {
    return absl::UnavailableError(absl::StrCat(coordinator, ": no answer to the wish to join"));
  }
  SHOAL_ASSIGN_OR_RETURN(credentials.certificate_pem, ReadAnswer(*event));
  SHOAL_RETURN_IF_ERROR(CheckSignedBy(credentials.certificate_pem, credentials.ca_pem));
  SHOAL_ASSIGN_OR_RETURN(credentials.cluster_id, ClusterOf(credentials.certificate_pem, key));
  credentials.key_pem = key.Pem();
  return credentials;
}

}  // namespace shoal
