#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/import/model_file.h"

namespace shoal {

// A GGUF file, v2 or v3, opened and wholly checked (FAILURE-MODEL 6.6): what this hands out is in
// range, unique, aligned and inside the file. Errors name the file, the offset or field, the value,
// the bound and what to do. Immutable; Read is thread-safe.
class GgufReader final : public ModelFile {
 public:
  // NAME-00001-of-0000N.gguf, or another of its N parts: all of them as one file, with the first
  // one's metadata.
  static absl::StatusOr<std::unique_ptr<GgufReader>> Open(const std::string& path);
  // The same checks over bytes in memory, for tests and fuzzers. `name` stands in for the path.
  static absl::StatusOr<std::unique_ptr<GgufReader>> Parse(std::string name,
                                                           std::span<const std::byte> bytes);
  ~GgufReader() override;

  // --- Metadata. NotFound when the key is absent, InvalidArgument when its type is another.
  bool Has(std::string_view key) const;
  // Elements of an array; ask before the getters below turn one into values.
  absl::StatusOr<uint64_t> ArrayLength(std::string_view key) const;
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;  // Any non-negative integer type.
  absl::StatusOr<double> GetFloat(std::string_view key) const;   // FLOAT32 or FLOAT64, finite.
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;
  absl::StatusOr<std::vector<float>> GetFloats(std::string_view key) const;  // FLOAT32, finite.

  // --- Tensors.
  const TensorInfo* Find(std::string_view name) const override;
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override;
  const std::vector<TensorInfo>& tensors() const override;
  const std::string& path() const override;
  uint64_t file_bytes() const override;
  std::string HeaderHash() const override;

 private:
  struct Impl;
  static absl::StatusOr<std::unique_ptr<GgufReader>> OpenParts(
      const std::vector<std::string>& paths);
  explicit GgufReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
