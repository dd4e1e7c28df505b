#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/vocabulary.h"

namespace shoal {

// Cuts text into the pieces that byte pairs are merged in, by the regular expressions a model was
// trained with. Which expressions belong to which name is a table in the source. Immutable,
// thread-safe.
class PreTokenizer {
 public:
  // `name` as in tokenizer.ggml.pre. Unimplemented, with the known names, for any other.
  // Without `ascii_rules` the expressions alone decide: the same pieces, slower.
  static absl::StatusOr<std::unique_ptr<PreTokenizer>> Create(std::string_view name,
                                                              bool ascii_rules = true);
  ~PreTokenizer();

  // Every name that Create takes.
  static std::vector<std::string_view> KnownNames();

  // Makes `name` the pre-tokenizer of a byte-level vocabulary, with what else such tokenizers do
  // and GGUF files do not say: nfc, ignore_merges. As Create; InvalidArgument for another
  // vocabulary.
  static absl::Status Select(std::string_view name, Vocabulary* vocabulary);
  // The name of these regular expressions, as tokenizer.json writes them; none: not in the table.
  static std::optional<std::string_view> NameOf(const std::vector<std::string>& patterns);

  // `text` in Unicode's composed form (NFC); valid UTF-8 in and out.
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
