#include "model/tokenizer.h"
#include "model/utf8.h"

namespace shoal {

std::string Detokenizer::Add(int32_t id) {
  std::string text;
  if (!keep_special_ && tokenizer_->IsControl(id)) return text;
  pending_ += tokenizer_->TokenBytes(id);
  const size_t held = AppendValidUtf8(pending_, /*final=*/false, &text);
  pending_.erase(0, pending_.size() - held);
  return text;
}

std::string Detokenizer::Flush() {
  std::string text;
  AppendValidUtf8(pending_, /*final=*/true, &text);
  pending_.clear();
  return text;
}

}  // namespace shoal
