// Any bytes, as a file of saved logits: what is accepted gives n_rows rows, or says why not.
// Seeds: tests/data/fuzz/reference_logits.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/file_system_testing.h"
#include "engine/quality/reference_logits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::MemoryFileSystem files;
  SHOAL_CHECK(files.CreateDirectories("/d").ok());
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  SHOAL_CHECK(shoal::ReplaceFile(&files, "/d/ref", bytes).ok());
  const auto reader = shoal::ReferenceReader::Open(&files, "/d/ref");
  if (!reader.ok()) return 0;
  const shoal::ReferenceHeader& header = (*reader)->header();
  for (int64_t i = 0; i < header.n_rows; ++i) {
    const auto row = (*reader)->Next();
    if (!row.ok()) return 0;
    SHOAL_CHECK_EQ(row->top.size(), static_cast<size_t>(header.n_top));
    for (const auto& entry : row->top) SHOAL_CHECK_LT(entry.id, header.vocab_size);
  }
  return 0;
}
