#include "base/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace shoal {
namespace {

constexpr size_t kMaxPemBytes = size_t{8} << 10;

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using X509ReqPtr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
using UsagesPtr = std::unique_ptr<EXTENDED_KEY_USAGE, Freer<EXTENDED_KEY_USAGE_free>>;

EVP_PKEY* KeyOf(const Ed25519Key& key) { return static_cast<EVP_PKEY*>(key.evp()); }

absl::Status Failed(std::string_view what) {
  return absl::InternalError(absl::StrCat("OpenSSL failed to ", std::string(what)));
}

BioPtr Reading(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  SHOAL_CHECK_EQ(PEM_write_bio_X509(bio.get(), certificate), 1);
  return TextOf(bio.get());
}

// The raw bytes of an Ed25519 key; InvalidArgument for any other kind.
absl::StatusOr<Ed25519PublicKey> RawKey(EVP_PKEY* key) {
  Ed25519PublicKey raw;
  size_t size = raw.size();
  if (key == nullptr || EVP_PKEY_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(raw.data()), &size) != 1 ||
      size != raw.size()) {
    return absl::InvalidArgumentError("the key is not an Ed25519 key");
  }
  return raw;
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Version 3, a serial number nobody can guess (RFC 5280, 4.1.2.2: positive, at most 20 bytes), the
// subject's common name and the times.
X509Ptr NewCertificate(std::string_view common_name, absl::Time not_before, absl::Time not_after,
                       Random* random) {
  X509Ptr certificate(X509_new());
  SHOAL_CHECK_EQ(X509_set_version(certificate.get(), X509_VERSION_3), 1);
  SHOAL_CHECK_EQ(
      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), random->Next64() >> 1 | 1),
      1);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  SHOAL_CHECK_EQ(
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0),
      1);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after));
  return certificate;
}

absl::StatusOr<X509Ptr> ParseCertificate(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate of ", pem.size(), " bytes, at most ", kMaxPemBytes, " are read"));
  }
  const BioPtr bio = Reading(pem);
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    ERR_clear_error();  // Whoever uses OpenSSL next would take it for its own.
    return absl::InvalidArgumentError("not a certificate in PEM");
  }
  const X509Ptr second(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (second != nullptr) return absl::InvalidArgumentError("more than one certificate");
  return certificate;
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

void ReadNames(X509* certificate, CertificateFacts* facts) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    const ASN1_IA5STRING* text = name->d.ia5;
    std::string value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
    (name->type == GEN_URI ? facts->uri_names : facts->dns_names).push_back(std::move(value));
  }
}

void ReadUsages(X509* certificate, CertificateFacts* facts) {
  const UsagesPtr usages(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(certificate, NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; usages != nullptr && i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    const int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.get(), i));
    facts->for_client |= nid == NID_client_auth;
    facts->for_server |= nid == NID_server_auth;
  }
}

}  // namespace

absl::StatusOr<std::string> MakeCaCertificate(const Ed25519Key& key, std::string_view name,
                                              absl::Time not_before, absl::Time not_after,
                                              Random* random) {
  const X509Ptr certificate = NewCertificate(name, not_before, not_after, random);
  X509* const self = certificate.get();
  if (X509_set_issuer_name(self, X509_get_subject_name(self)) != 1 ||
      X509_set_pubkey(self, KeyOf(key)) != 1 ||
      !AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(self, self, NID_subject_key_identifier, "hash") ||
      X509_sign(self, KeyOf(key), nullptr) == 0) {
    return Failed("make a CA certificate");
  }
  return PemOf(self);
}

absl::StatusOr<std::string> MakeCsr(const Ed25519Key& key) {
  const X509ReqPtr request(X509_REQ_new());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), KeyOf(key)) != 1 ||
      X509_REQ_sign(request.get(), KeyOf(key), nullptr) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return Failed("make a certificate request");
  }
  return TextOf(bio.get());
}

absl::StatusOr<Ed25519PublicKey> ReadCsr(std::string_view csr_pem) {
  if (csr_pem.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(absl::StrCat("certificate request of ", csr_pem.size(),
                                                   " bytes, at most ", kMaxPemBytes, " are read"));
  }
  const BioPtr bio = Reading(csr_pem);
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (request == nullptr) return absl::InvalidArgumentError("not a certificate request in PEM");
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  absl::StatusOr<Ed25519PublicKey> raw = RawKey(key);
  if (raw.ok() && X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the request is not signed with its own key");
  }
  return raw;
}

absl::StatusOr<std::string> IssueLeaf(const Ed25519Key& ca_key, std::string_view ca_pem,
                                      const Ed25519PublicKey& subject, const LeafNames& names,
                                      absl::Time not_before, absl::Time not_after, Random* random) {
  absl::StatusOr<X509Ptr> ca = ParseCertificate(ca_pem);
  if (!ca.ok()) return ca.status();
  const KeyPtr key(EVP_PKEY_new_raw_public_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(subject.data()),
      subject.size()));
  std::string alternative_names = absl::StrCat("URI:", names.uri);
  for (const std::string& dns : names.dns) absl::StrAppend(&alternative_names, ",DNS:", dns);
  const X509Ptr certificate = NewCertificate("shoal node", not_before, not_after, random);
  X509* const leaf = certificate.get();
  if (key == nullptr || X509_set_issuer_name(leaf, X509_get_subject_name(ca->get())) != 1 ||
      X509_set_pubkey(leaf, key.get()) != 1 ||
      !AddExtension(leaf, ca->get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(leaf, ca->get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(leaf, ca->get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(leaf, ca->get(), NID_authority_key_identifier, "keyid:always") ||
      !AddExtension(leaf, ca->get(), NID_subject_alt_name, alternative_names) ||
      X509_sign(leaf, KeyOf(ca_key), nullptr) == 0) {
    return Failed("issue a certificate");
  }
  return PemOf(leaf);
}

absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem) {
  absl::StatusOr<X509Ptr> certificate = ParseCertificate(pem);
  if (!certificate.ok()) return certificate.status();
  X509* const x509 = certificate->get();
  CertificateFacts facts;
  absl::StatusOr<Ed25519PublicKey> key = RawKey(X509_get0_pubkey(x509));
  if (!key.ok()) return key.status();
  facts.public_key = *key;
  facts.is_ca = X509_check_ca(x509) != 0;
  facts.not_before = ToTime(X509_get0_notBefore(x509));
  facts.not_after = ToTime(X509_get0_notAfter(x509));
  ReadNames(x509, &facts);
  ReadUsages(x509, &facts);
  return facts;
}

absl::StatusOr<Sha256Digest> CertificateDigest(std::string_view pem) {
  absl::StatusOr<X509Ptr> certificate = ParseCertificate(pem);
  if (!certificate.ok()) return certificate.status();
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate->get(), &der);
  if (size < 0) return Failed("encode a certificate");
  const Sha256Digest digest =
      Sha256(std::as_bytes(std::span<const unsigned char>(der, static_cast<size_t>(size))));
  OPENSSL_free(der);
  return digest;
}

}  // namespace shoal
