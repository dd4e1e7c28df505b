#include "model/import/gguf_split.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

// Five digits, or -1.
int FiveDigits(std::string_view text) {
  if (text.front() < '0' || text.front() > '9') return -1;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 ? value : -1;
}

class ConcatenatedSource final : public ByteSource {
 public:
  explicit ConcatenatedSource(std::vector<std::unique_ptr<ByteSource>> sources)
      : sources_(std::move(sources)) {
    for (const auto& source : sources_) ends_.push_back(size_ += source->size());
  }

  const std::string& name() const override { return sources_.front()->name(); }
  uint64_t size() const override { return size_; }

  absl::Status Read(uint64_t offset, std::span<std::byte> out) const override {
    const auto end = (Checked<uint64_t>(offset) + uint64_t{out.size()}).value();
    if (!end || *end > size_) {
      return absl::DataLossError(absl::StrCat(name(), ": wanted ", out.size(), " bytes at byte ",
                                              offset, ", but its parts have ", size_));
    }
    while (!out.empty()) {
      const size_t i = std::upper_bound(ends_.begin(), ends_.end(), offset) - ends_.begin();
      const uint64_t begin = ends_[i] - sources_[i]->size();
      const size_t n = std::min<uint64_t>(out.size(), ends_[i] - offset);
      SHOAL_RETURN_IF_ERROR(sources_[i]->Read(offset - begin, out.first(n)));
      out = out.subspan(n);
      offset += n;
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<ByteSource>> sources_;
  std::vector<uint64_t> ends_;
  uint64_t size_ = 0;
};

}  // namespace

std::vector<std::string> GgufParts(const std::string& path) {
  constexpr std::string_view kPattern = "-00001-of-00003.gguf";
  if (path.size() <= kPattern.size()) return {path};
  const std::string_view stem = std::string_view(path).substr(0, path.size() - kPattern.size());
  const std::string_view tail = std::string_view(path).substr(stem.size());
  const int part = FiveDigits(tail.substr(1, 5));
  const int n_parts = FiveDigits(tail.substr(10, 5));
  const bool split = tail[0] == '-' && tail.substr(6, 4) == "-of-" && tail.ends_with(".gguf") &&
                     part >= 1 && part <= n_parts && n_parts <= kMaxGgufParts;
  if (!split) return {path};
  std::vector<std::string> paths;
  for (int i = 1; i <= n_parts; ++i) {
    paths.push_back(
        absl::StrCat(std::string(stem), absl::StrFormat("-%05d-of-%05d.gguf", i, n_parts)));
  }
  return paths;
}

std::unique_ptr<ByteSource> Concatenate(std::vector<std::unique_ptr<ByteSource>> sources) {
  SHOAL_CHECK(!sources.empty());
  return std::make_unique<ConcatenatedSource>(std::move(sources));
}

}  // namespace shoal
