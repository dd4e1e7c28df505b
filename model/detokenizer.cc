#include <algorithm>
#include <utility>

#include "model/tokenizer.h"
#include "model/utf8.h"

namespace shoal {

Detokenizer::Detokenizer(const Tokenizer* tokenizer, Options options)
    : tokenizer_(tokenizer),
      options_(options),
      strip_(options.continues ? DecodeStrip::kNothing : tokenizer->vocabulary().decode_strip) {}

std::string Detokenizer::Add(int32_t id) {
  std::string text;
  if (!options_.keep_special && tokenizer_->IsControl(id)) return text;
  if (tokenizer_->IsByte(id)) {
    run_ += tokenizer_->TokenBytes(id);
    return text;
  }
  EndRun(&text);
  pending_ += tokenizer_->TokenBytes(id);
  const size_t held = AppendValidUtf8(pending_, /*final=*/false, &text);
  pending_.erase(0, pending_.size() - held);
  return WithoutPrefix(std::move(text));
}

std::string Detokenizer::Flush() {
  std::string text;
  EndRun(&text);
  AppendValidUtf8(pending_, /*final=*/true, &text);
  pending_.clear();
  return WithoutPrefix(std::move(text));
}

void Detokenizer::EndRun(std::string* text) {
  if (FindInvalidUtf8(run_) == std::string::npos) {
    text->append(run_);
  } else {
    for (size_t i = 0; i < run_.size(); ++i) AppendUtf8(0xFFFD, text);
  }
  run_.clear();
}

std::string Detokenizer::WithoutPrefix(std::string text) {
  if (strip_ == DecodeStrip::kNothing || text.empty()) return text;
  const size_t n_spaces = std::min(text.find_first_not_of(' '), text.size());
  text.erase(0, strip_ == DecodeStrip::kSpace ? std::min<size_t>(n_spaces, 1) : n_spaces);
  strip_ = DecodeStrip::kNothing;
  return text;
}

}  // namespace shoal
