#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "base/sha256.h"

namespace shoal {

// The keys that let clients in (S07). A key is "sk-<id>-<secret>", id 16 and secret 64 hex digits;
// of its secret only the SHA-256 is kept, so that a file of keys opens nothing. Immutable.
class ApiKeys {
 public:
  // Lines "<id> <SHA-256 of the secret's 64 digits> <name>"; empty ones and those that begin with #
  // are passed over. InvalidArgument, with the line's number: a line of another form, an id that
  // stands twice, no key at all, more than kMaxApiKeys.
  static absl::StatusOr<ApiKeys> Parse(std::string_view text);

  // `authorization` is the field of that name in a request, "Bearer sk-...". Takes as long for an
  // unknown id as for a wrong secret.
  bool Admit(std::string_view authorization) const;

  struct NewKey {
    std::string key;   // For the client, who alone has it from then on.
    std::string line;  // For the file, with its end.
  };
  // InvalidArgument unless `name` is 1 to 64 of A-Za-z0-9._- .
  static absl::StatusOr<NewKey> Make(std::string_view name, Random* random);

 private:
  std::map<std::string, Sha256Digest, std::less<>> secrets_;  // By id.
};

}  // namespace shoal
