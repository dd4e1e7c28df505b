#include "model/import/gguf_keys.h"

#include <climits>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {

std::string GgufKeys::Key(std::string_view name) const {
  return absl::StrCat(std::string(architecture_), ".", std::string(name));
}

absl::StatusOr<int> GgufKeys::ReadCount(std::string_view name) const {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(Key(name)));
  if (value <= INT_MAX) return static_cast<int>(value);
  return Refuse(
      absl::StrCat("key ", Quoted(Key(name)), " is ", value, ", above the limit of ", INT_MAX));
}

absl::StatusOr<int> GgufKeys::ReadCountOr(std::string_view name, int otherwise) const {
  if (!Has(name)) return otherwise;
  return ReadCount(name);
}

absl::StatusOr<double> GgufKeys::ReadFloatOr(std::string_view name, double otherwise) const {
  if (!Has(name)) return otherwise;
  return file_.GetFloat(Key(name));
}

absl::Status GgufKeys::RequireCount(std::string_view name, uint64_t wanted) const {
  if (!Has(name)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(Key(name)));
  if (value == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": key ", Quoted(Key(name)), " is ",
                                                 value, "; only ", wanted,
                                                 " is computed here: use another model"));
}

absl::Status GgufKeys::Refuse(std::string_view message) const {
  return absl::InvalidArgumentError(
      absl::StrCat(file_.path(), ": ", std::string(message), "; convert the model again"));
}

}  // namespace shoal
