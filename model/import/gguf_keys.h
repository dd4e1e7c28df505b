#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/import/gguf_reader.h"

namespace shoal {

// One architecture's keys in a GGUF file: names are what follows "ARCHITECTURE.". Errors name the
// file, the key, the value and what to do.
class GgufKeys {
 public:
  // Both outlive this.
  GgufKeys(const GgufReader& file, std::string_view architecture)
      : file_(file), architecture_(architecture) {}

  const GgufReader& file() const { return file_; }
  std::string Key(std::string_view name) const;
  bool Has(std::string_view name) const { return file_.Has(Key(name)); }

  absl::StatusOr<int> ReadCount(std::string_view name) const;
  // The same, and what holds where the file does not say.
  absl::StatusOr<int> ReadCountOr(std::string_view name, int otherwise) const;
  absl::StatusOr<double> ReadFloatOr(std::string_view name, double otherwise) const;

  // InvalidArgument if the key is there and says anything else.
  absl::Status RequireCount(std::string_view name, uint64_t wanted) const;
  // "FILE: message; convert the model again".
  absl::Status Refuse(std::string_view message) const;

 private:
  const GgufReader& file_;
  const std::string_view architecture_;
};

}  // namespace shoal
