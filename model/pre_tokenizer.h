#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace shoal {

// Cuts text into the pieces that byte pairs are merged in, by the regular expressions a model was
// trained with. Which expressions belong to which name is a table in the source. Immutable,
// thread-safe.
class PreTokenizer {
 public:
  // `name` as in tokenizer.ggml.pre. Unimplemented, with the known names, for any other.
  static absl::StatusOr<std::unique_ptr<PreTokenizer>> Create(std::string_view name);
  ~PreTokenizer();

  // Whether text is brought to Unicode's composed form (NFC) before it is split.
  bool normalizes() const;
  // `text` in that form; valid UTF-8 in and out.
  static absl::StatusOr<std::string> Normalize(std::string_view text);

  // Calls emit(piece) for the pieces of `text`, in order; together they are the text. `text` must
  // be valid UTF-8. Fails only when the matcher runs out of resources.
  absl::Status Split(std::string_view text, absl::FunctionRef<void(std::string_view)> emit) const;

 private:
  struct Impl;
  explicit PreTokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
