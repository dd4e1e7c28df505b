#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/import/byte_source.h"
#include "model/import/gguf_format.h"
#include "model/weight_source.h"

namespace shoal {

// Where one metadata value lies in the header. Its contents were checked: lengths inside the
// header, text UTF-8, booleans 0 or 1.
struct GgufEntry {
  uint64_t key_offset = 0;
  uint64_t key_bytes = 0;
  GgufType type = GgufType::kUint8;
  GgufType element = GgufType::kUint8;  // Of arrays.
  uint64_t count = 1;                   // Elements of an array, bytes of a string.
  uint64_t offset = 0;                  // Of the value, the string's bytes or the first element.
};

// A GGUF header that passed every check of FAILURE-MODEL 6.6 for its container.
struct ParsedGguf {
  std::vector<std::byte> header;    // Everything before the tensor data, padding included.
  std::vector<GgufEntry> entries;   // Ascending by key; keys are unique.
  std::vector<TensorInfo> tensors;  // In the file's order.
  std::vector<uint32_t> by_name;    // Indices into tensors, ascending by name; names are unique.

  std::string_view Text(uint64_t offset, uint64_t n_bytes) const;
  std::string_view Key(const GgufEntry& entry) const {
    return Text(entry.key_offset, entry.key_bytes);
  }
};

// Fills in by_name. InvalidArgument when two tensors have one name.
absl::Status SortTensorNames(ParsedGguf* parsed);

// Reads and checks the header once, in time linear in its length but for sorting the names, within
// three times its length plus 64 MiB. InvalidArgument names the file, the key or tensor, the byte,
// the value and the bound.
absl::StatusOr<ParsedGguf> ParseGguf(const ByteSource& source);

}  // namespace shoal
