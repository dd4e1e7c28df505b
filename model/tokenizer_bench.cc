// Bytes of text a second that one thread turns into ids, for each vocabulary of the tests, and how
// long runs of one letter take. From the repository's root, with test_vocabularies built:
//   build/model/tokenizer_bench
// bench/hf_tokenizers.py does the same with Hugging Face's tokenizers.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "model/import/gguf_model.h"
#include "model/tokenizer.h"

namespace shoal {
namespace {

constexpr size_t kTextBytes = 1000000;

// The files of some folders that end so, by name, one behind the other and again from the first.
std::string TextOf(const std::vector<std::string>& folders, const std::string& ending) {
  std::vector<std::string> paths;
  for (const std::string& folder : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ending) paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::string text;
  for (const std::string& path : paths) {
    std::ifstream file(path);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  while (!text.empty() && text.size() < kTextBytes) text += text;
  text.resize(std::min(text.size(), kTextBytes));
  while (!text.empty() && static_cast<signed char>(text.back()) < 0) text.pop_back();
  return text;
}

std::unique_ptr<Tokenizer> Load(const std::string& name) {
  const auto file = GgufReader::Open(SHOAL_TEST_VOCABULARIES "/" + name + ".gguf");
  if (!file.ok()) return nullptr;
  auto vocabulary = ReadVocabulary(**file);
  if (!vocabulary.ok()) return nullptr;
  auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

void BM_Encode(benchmark::State& state, const std::string& name, const std::string& text) {
  const auto tokenizer = Load(name);
  if (tokenizer == nullptr) return state.SkipWithError("no such vocabulary");
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer->Encode(text, true));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void RegisterAll() {
  const std::pair<const char*, std::string> texts[] = {
      {"english", TextOf({"docs"}, ".md")},
      {"code", TextOf({"base", "engine", "model", "router"}, ".cc")},
      {"letters_1e5", std::string(100000, 'a')},
      {"letters_1e6", std::string(1000000, 'a')}};
  for (const char* name :
       {"deepseek_v3", "gptoss", "llama3", "mistral", "phi3", "qwen3", "smollm2"}) {
    for (const auto& [kind, text] : texts) {
      benchmark::RegisterBenchmark((std::string(name) + "/" + kind).c_str(), BM_Encode, name, text)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

[[maybe_unused]] const bool kRegistered = (RegisterAll(), true);

}  // namespace
}  // namespace shoal
