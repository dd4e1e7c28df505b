#include "base/certificate.h"

#include <openssl/pem.h>

#include <array>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/openssl_ptr.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr size_t kMaxCsrBytes = size_t{8} << 10;
constexpr size_t kMaxCertificateBytes = size_t{16} << 10;
constexpr size_t kMaxNameBytes = 255;

absl::Status Refuse(std::string_view what) { return absl::InvalidArgumentError(std::string(what)); }

EVP_PKEY* Evp(const Ed25519Key& key) { return static_cast<EVP_PKEY*>(key.evp()); }

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// One PEM block and nothing beside it. `read` is PEM_read_bio_X509 or its like.
template <typename Ptr, typename Read>
absl::StatusOr<Ptr> ReadOne(std::string_view pem, std::string_view what, std::string_view label,
                            size_t max_bytes, Read read) {
  if (pem.size() > max_bytes) {
    return Refuse(absl::StrCat(std::string(what), " of ", pem.size(),
                               " bytes is longer than the allowed ", max_bytes));
  }
  const std::string begin = absl::StrCat("-----BEGIN ", std::string(label), "-----");
  // With its line's end: the reader passes over lines that only begin like that.
  if (!pem.starts_with(begin + "\n") && !pem.starts_with(begin + "\r\n")) {
    return Refuse(absl::StrCat(std::string(what), " does not begin with the line ", begin));
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  SHOAL_CHECK(bio != nullptr);
  Ptr object(read(bio.get(), nullptr, &NoPassword, nullptr));
  if (object == nullptr) return Refuse(absl::StrCat(std::string(what), " cannot be read"));
  const char* rest = nullptr;
  const long n_rest = BIO_get_mem_data(bio.get(), &rest);
  if (!IsBlank({rest, static_cast<size_t>(n_rest)})) {
    return Refuse(absl::StrCat(std::string(what), " is followed by something else"));
  }
  return object;
}

absl::StatusOr<X509Ptr> ReadX509(std::string_view pem) {
  return ReadOne<X509Ptr>(pem, "certificate", "CERTIFICATE", kMaxCertificateBytes,
                          PEM_read_bio_X509);
}

template <typename Object, typename Write>
std::string ToPem(Object* object, Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  SHOAL_CHECK(bio != nullptr);
  SHOAL_CHECK_EQ(write(bio.get(), object), 1);
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

absl::StatusOr<Ed25519PublicKey> PublicKeyOf(const EVP_PKEY* key, std::string_view what) {
  Ed25519PublicKey raw;
  size_t size = raw.size();
  if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size) != 1 ||
      size != raw.size()) {
    return Refuse(absl::StrCat(std::string(what), " holds no Ed25519 key"));
  }
  return raw;
}

// --- Making.

void SetSerial(X509* certificate, Random* random) {
  std::array<std::byte, 16> bytes;
  random->Fill(bytes);
  bytes[0] = (bytes[0] & std::byte{0x3f}) | std::byte{0x40};  // Positive and always 16 bytes long.
  const BignumPtr number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr));
  SHOAL_CHECK(number != nullptr);
  SHOAL_CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void SetCommonName(X509_NAME* name, std::string_view text) {
  SHOAL_CHECK_EQ(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                            reinterpret_cast<const unsigned char*>(text.data()),
                                            static_cast<int>(text.size()), /*loc=*/-1, /*set=*/0),
                 1);
}

// `value` in the library's notation; only constants of this file.
void AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  SHOAL_CHECK(extension != nullptr);
  SHOAL_CHECK_EQ(X509_add_ext(certificate, extension.get(), /*loc=*/-1), 1);
}

// A certificate with everything but names of subject and issuer, extensions and signature.
absl::StatusOr<X509Ptr> Begin(EVP_PKEY* subject, absl::Time not_before, absl::Time not_after,
                              Random* random) {
  if (not_before >= not_after) {
    return Refuse(absl::StrCat("certificate would end (", absl::FormatTime(not_after),
                               ") before it begins (", absl::FormatTime(not_before), ")"));
  }
  X509Ptr certificate(X509_new());
  SHOAL_CHECK(certificate != nullptr);
  SHOAL_CHECK_EQ(X509_set_version(certificate.get(), X509_VERSION_3), 1);
  SetSerial(certificate.get(), random);
  SHOAL_CHECK_EQ(X509_set_pubkey(certificate.get(), subject), 1);
  if (ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after)) == nullptr) {
    return Refuse(absl::StrCat("certificate cannot last from ", absl::FormatTime(not_before),
                               " to ", absl::FormatTime(not_after)));
  }
  return certificate;
}

absl::StatusOr<std::string> Sign(X509* certificate, const Ed25519Key& key) {
  if (X509_sign(certificate, Evp(key), nullptr) == 0) {
    return absl::InternalError("certificate cannot be signed");
  }
  return ToPem(certificate, PEM_write_bio_X509);
}

absl::Status AddName(GENERAL_NAMES* names, int type, const std::string& text) {
  if (text.empty() || text.size() > kMaxNameBytes) {
    return Refuse(
        absl::StrCat("a certificate's name has 1 to ", kMaxNameBytes, " bytes, not ", text.size()));
  }
  for (const char c : text) {
    if (c <= ' ' || c > '~')
      return Refuse("a certificate's name is printable ASCII without spaces");
  }
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  SHOAL_CHECK(value != nullptr && name != nullptr);
  SHOAL_CHECK_EQ(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())), 1);
  GENERAL_NAME_set0_value(name, type, value);
  SHOAL_CHECK_GT(sk_GENERAL_NAME_push(names, name), 0);
  return absl::OkStatus();
}

absl::Status AddAlternativeNames(X509* certificate, const LeafNames& leaf) {
  const GeneralNamesPtr names(GENERAL_NAMES_new());
  SHOAL_CHECK(names != nullptr);
  SHOAL_RETURN_IF_ERROR(AddName(names.get(), GEN_URI, leaf.uri));
  for (const std::string& dns : leaf.dns) {
    SHOAL_RETURN_IF_ERROR(AddName(names.get(), GEN_DNS, dns));
  }
  SHOAL_CHECK_EQ(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), /*crit=*/0,
                                   X509V3_ADD_APPEND),
                 1);
  return absl::OkStatus();
}

// --- Reading.

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts;
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Refuse("certificate has a time that is none");
  return absl::FromTM(parts, absl::UTCTimeZone());
}

// Appends the names; refuses those that hold anything but printable ASCII, a zero byte above all.
absl::Status ReadNames(X509* certificate, CertificateFacts* facts) {
  int critical = 0;
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr) {
    return critical == -1 ? absl::OkStatus() : Refuse("certificate's names cannot be read");
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    const auto* value = static_cast<const ASN1_STRING*>(name->d.ia5);
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                     static_cast<size_t>(ASN1_STRING_length(value)));
    for (const char c : text) {
      if (c <= ' ' || c > '~') return Refuse("certificate has a name that is not printable ASCII");
    }
    (name->type == GEN_URI ? facts->uri_names : facts->dns_names).push_back(std::move(text));
  }
  return absl::OkStatus();
}

// Usages count only where the certificate names them: none named is none granted.
void ReadUsages(X509* certificate, CertificateFacts* facts) {
  const uint32_t flags = X509_get_extension_flags(certificate);
  const uint32_t usage = X509_get_key_usage(certificate);  // All bits when it names none.
  facts->is_ca =
      (flags & EXFLAG_CA) != 0 || ((flags & EXFLAG_KUSAGE) != 0 && (usage & KU_KEY_CERT_SIGN) != 0);
  if ((flags & EXFLAG_XKUSAGE) == 0 || (usage & KU_DIGITAL_SIGNATURE) == 0) return;
  const uint32_t extended = X509_get_extended_key_usage(certificate);
  facts->for_client = (extended & XKU_SSL_CLIENT) != 0;
  facts->for_server = (extended & XKU_SSL_SERVER) != 0;
}

}  // namespace

absl::StatusOr<std::string> MakeCaCertificate(const Ed25519Key& key, std::string_view name,
                                              absl::Time not_before, absl::Time not_after,
                                              Random* random) {
  const OpenSslErrorScope errors;
  if (name.empty() || name.size() > 64) {
    return Refuse(absl::StrCat("an authority's name has 1 to 64 bytes, not ", name.size()));
  }
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr certificate, Begin(Evp(key), not_before, not_after, random));
  X509* const raw = certificate.get();
  SetCommonName(X509_get_subject_name(raw), name);
  SHOAL_CHECK_EQ(X509_set_issuer_name(raw, X509_get_subject_name(raw)), 1);
  AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(raw, raw, NID_subject_key_identifier, "hash");
  return Sign(raw, key);
}

absl::StatusOr<std::string> MakeCsr(const Ed25519Key& key) {
  const OpenSslErrorScope errors;
  const X509RequestPtr request(X509_REQ_new());
  SHOAL_CHECK(request != nullptr);
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), Evp(key)) != 1 ||
      X509_REQ_sign(request.get(), Evp(key), nullptr) == 0) {
    return absl::InternalError("certificate request cannot be signed");
  }
  return ToPem(request.get(), PEM_write_bio_X509_REQ);
}

absl::StatusOr<Ed25519PublicKey> ReadCsr(std::string_view csr_pem) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(
      const X509RequestPtr request,
      ReadOne<X509RequestPtr>(csr_pem, "certificate request", "CERTIFICATE REQUEST", kMaxCsrBytes,
                              PEM_read_bio_X509_REQ));
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  SHOAL_ASSIGN_OR_RETURN(const Ed25519PublicKey raw, PublicKeyOf(key, "certificate request"));
  if (X509_REQ_verify(request.get(), key) != 1) {
    return Refuse("certificate request is not signed by its own key");
  }
  return raw;
}

absl::StatusOr<std::string> IssueLeaf(const Ed25519Key& ca_key, std::string_view ca_pem,
                                      const Ed25519PublicKey& subject, const LeafNames& names,
                                      absl::Time not_before, absl::Time not_after, Random* random) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr ca, ReadX509(ca_pem));
  if (X509_check_private_key(ca.get(), Evp(ca_key)) != 1) {
    return Refuse("the authority's key and certificate do not belong together");
  }
  const EvpKeyPtr key(EVP_PKEY_new_raw_public_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(subject.data()),
      subject.size()));
  if (key == nullptr) return Refuse("not an Ed25519 public key");
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr leaf, Begin(key.get(), not_before, not_after, random));
  SetCommonName(X509_get_subject_name(leaf.get()), "shoal node");
  SHOAL_CHECK_EQ(X509_set_issuer_name(leaf.get(), X509_get_subject_name(ca.get())), 1);
  AddExtension(leaf.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(leaf.get(), ca.get(), NID_key_usage, "critical,digitalSignature");
  AddExtension(leaf.get(), ca.get(), NID_ext_key_usage, "clientAuth,serverAuth");
  AddExtension(leaf.get(), ca.get(), NID_authority_key_identifier, "keyid");
  SHOAL_RETURN_IF_ERROR(AddAlternativeNames(leaf.get(), names));
  return Sign(leaf.get(), ca_key);
}

absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadX509(pem));
  X509* const raw = certificate.get();
  if ((X509_get_extension_flags(raw) & EXFLAG_INVALID) != 0) {
    return Refuse("certificate has extensions that contradict one another");
  }
  CertificateFacts facts;
  SHOAL_ASSIGN_OR_RETURN(facts.public_key, PublicKeyOf(X509_get0_pubkey(raw), "certificate"));
  SHOAL_ASSIGN_OR_RETURN(facts.not_before, ToTime(X509_get0_notBefore(raw)));
  SHOAL_ASSIGN_OR_RETURN(facts.not_after, ToTime(X509_get0_notAfter(raw)));
  SHOAL_RETURN_IF_ERROR(ReadNames(raw, &facts));
  ReadUsages(raw, &facts);
  return facts;
}

absl::StatusOr<Sha256Digest> CertificateDigest(std::string_view pem) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadX509(pem));
  Sha256Digest digest;
  unsigned int size = 0;
  SHOAL_CHECK_EQ(X509_digest(certificate.get(), EVP_sha256(),
                             reinterpret_cast<unsigned char*>(digest.data()), &size),
                 1);
  SHOAL_CHECK_EQ(size, digest.size());
  return digest;
}

absl::Status CheckSignedBy(std::string_view pem, std::string_view ca_pem) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadX509(pem));
  SHOAL_ASSIGN_OR_RETURN(const X509Ptr ca, ReadX509(ca_pem));
  if (X509_check_ca(ca.get()) != 1 || X509_check_issued(ca.get(), certificate.get()) != X509_V_OK ||
      X509_verify(certificate.get(), X509_get0_pubkey(ca.get())) != 1) {
    return absl::PermissionDeniedError("certificate is not signed by that authority");
  }
  return absl::OkStatus();
}

}  // namespace shoal
