// FAILURE-MODEL 6.6: parsing takes at most three headers and 64 MiB, and 2 s per 100 MB of header.
// A program of its own, because it counts every allocation.
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "model/import/gguf_reader.h"
#include "tests/support/gguf_builder.h"

namespace {

std::atomic<size_t> live_bytes{0};
std::atomic<size_t> peak_bytes{0};

void* Allocate(size_t size) {
  void* block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) throw std::bad_alloc();
  const size_t live = live_bytes += malloc_usable_size(block);
  size_t peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return block;
}

void Release(void* block) {
  if (block != nullptr) live_bytes -= malloc_usable_size(block);
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* block) noexcept { Release(block); }
void operator delete[](void* block) noexcept { Release(block); }
void operator delete(void* block, size_t) noexcept { Release(block); }
void operator delete[](void* block, size_t) noexcept { Release(block); }

namespace shoal {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Instrumented code is several times slower; the bound on time is for the code that ships.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

// Writes the file, opens it and reads its vocabulary if it has one; the peak is of that alone.
void ExpectModestMemory(const GgufBuilder& file, bool with_vocabulary) {
  const auto path =
      std::filesystem::temp_directory_path() / absl::StrCat("shoal_memory_", getpid(), ".gguf");
  const size_t header_bytes = file.BuildHeader().size();
  std::ofstream(path, std::ios::binary) << file.Build();
  const size_t before = live_bytes;
  peak_bytes = before;
  const std::clock_t start = std::clock();
  const auto reader = GgufReader::Open(path.string());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  if (with_vocabulary) {
    const auto vocabulary = ReadVocabulary(**reader);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status().message();
  }
  std::filesystem::remove(path);
  EXPECT_LE(peak_bytes - before, 3 * header_bytes + 64 * kMiB) << header_bytes;
  if (!kSanitized) {
    EXPECT_LE(seconds, 0.2 + 2.0 * static_cast<double>(header_bytes) / 1e8) << header_bytes;
  }
}

// Long common prefixes make names slow to compare.
TEST(GgufMemoryTest, TheMostTensorsAndKeys) {
  GgufBuilder file;
  const std::string long_prefix(200, 'k');
  for (uint32_t i = 0; i < 65536; ++i) file.AddUint32(absl::StrCat(long_prefix, i), i);
  for (uint32_t i = 0; i < 131072; ++i) {
    file.tensors.push_back(
        {absl::StrCat(std::string(50, 't'), i), {1, 1, 1, 8}, 0, std::string(32, 'x'), {}});
  }
  ExpectModestMemory(file, /*with_vocabulary=*/false);
}

TEST(GgufMemoryTest, TheMostElements) {
  GgufBuilder file;
  file.keys.push_back({"x", 9, Le32(8) + Le64(16777216) + std::string(size_t{8} << 24, '\0')});
  ExpectModestMemory(file, /*with_vocabulary=*/false);
}

TEST(GgufMemoryTest, LongTexts) {
  GgufBuilder file;
  for (int i = 0; i < 4; ++i) file.AddString(absl::StrCat("x", i), std::string(16 * kMiB, 'y'));
  ExpectModestMemory(file, /*with_vocabulary=*/false);
}

TEST(GgufMemoryTest, TheLargestVocabularyOfEmptyTokens) {
  GgufBuilder file;
  file.AddString("tokenizer.ggml.model", "gpt2");
  file.AddStrings("tokenizer.ggml.tokens", std::vector<std::string>(1 << 20));
  file.AddStrings("tokenizer.ggml.merges", std::vector<std::string>(2 << 20, "a b"));
  ExpectModestMemory(file, /*with_vocabulary=*/true);
}

}  // namespace
}  // namespace shoal
