#include "base/quoted.h"

#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace shoal {

std::string Quoted(std::string_view text) {
  constexpr size_t kBytes = 64;
  return absl::StrCat("'", absl::CHexEscape(std::string(text.substr(0, kBytes))),
                      text.size() > kBytes ? "...'" : "'");
}

}  // namespace shoal
