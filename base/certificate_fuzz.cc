// Any bytes, as a certificate and as a request for one: nothing may crash, and what is read holds.
// The first byte says whether the rest is the text or the bytes inside it. Seeds:
// tests/data/fuzz/certificate, made by tests/data/fuzz/make_certificate_seeds.cc.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/check.h"

namespace shoal {
namespace {

std::string ToPem(const std::string& label, const std::string& der) {
  std::string text = absl::StrCat("-----BEGIN ", label, "-----\n");
  const std::string base64 = absl::Base64Escape(der);
  for (size_t at = 0; at < base64.size(); at += 64) {
    absl::StrAppend(&text, base64.substr(at, 64), "\n");
  }
  return absl::StrCat(text, "-----END ", label, "-----\n");
}

void Read(const std::string& certificate, const std::string& csr) {
  const auto facts = ReadCertificate(certificate);
  if (facts.ok()) {
    SHOAL_CHECK(CertificateDigest(certificate).ok());
    for (const std::string& name : facts->uri_names) {
      SHOAL_CHECK(name.find('\0') == std::string::npos);
    }
  }
  (void)CheckSignedBy(certificate, certificate);
  (void)ReadCsr(csr);
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    shoal::Read(rest, rest);
  } else {
    shoal::Read(shoal::ToPem("CERTIFICATE", rest), shoal::ToPem("CERTIFICATE REQUEST", rest));
  }
  return 0;
}
