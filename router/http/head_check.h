#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"

namespace shoal {

// The length of the head that `bytes` begins with: up to and with its empty line, or up to the
// first line that ends in a bare LF, so that it is refused at once. npos while it is incomplete.
size_t HeadLength(std::string_view bytes);

// Holds the head of an HTTP request, up to and with its empty line, against FAILURE-MODEL S08 and
// S10 before any other parser sees it: a line ends in CR LF and nowhere else, no field is folded
// over two lines, no NUL, sizes and counts within their caps, one way of saying where the body
// ends. InvalidArgument for what is malformed, OutOfRange for what is too large.
absl::Status CheckHead(std::string_view head);

}  // namespace shoal
