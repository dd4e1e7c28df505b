// Writes the seeds of base/certificate_fuzz.cc into the folder that it is given.
#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/certificate.h"

namespace {

using shoal::Ed25519Key;
using shoal::SystemRandom;

std::string Der(const std::string& pem) {
  std::string base64;
  for (const auto line : absl::StrSplit(pem, '\n')) {
    if (!absl::StartsWith(line, "-----")) absl::StrAppend(&base64, line);
  }
  std::string der;
  absl::Base64Unescape(base64, &der);
  return der;
}

void Write(const std::string& folder, const std::string& name, const std::string& pem) {
  std::ofstream(folder + "/" + name + "_text", std::ios::binary) << '\0' << pem;
  std::ofstream(folder + "/" + name + "_bytes", std::ios::binary) << '\1' << Der(pem);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_certificate_seeds FOLDER\n");
    return 1;
  }
  const absl::Time begin = absl::FromUnixSeconds(1'700'000'000);
  const absl::Time end = begin + absl::Hours(24 * 7);
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const std::string ca = *shoal::MakeCaCertificate(key, "shoal", begin, end, SystemRandom());
  Write(argv[1], "ca", ca);
  Write(argv[1], "leaf",
        *shoal::IssueLeaf(key, ca, Ed25519Key::Generate(SystemRandom()).public_key(),
                          {.uri = "spiffe://c1/worker/0123456789abcdef", .dns = {"worker.shoal"}},
                          begin, end, SystemRandom()));
  Write(argv[1], "csr", *shoal::MakeCsr(key));
  return 0;
}
