#include "tests/support/safetensors.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace shoal {

TestTensors ReadTestTensors(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path);
  const std::string file{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes)) throw std::runtime_error(path + " is too short");
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  const std::string data = file.substr(sizeof(header_bytes) + header_bytes);

  TestTensors tensors;
  const auto header = nlohmann::json::parse(file.substr(sizeof(header_bytes), header_bytes));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    TestTensor& tensor = tensors[name];
    tensor.dtype = entry.at("dtype");
    tensor.shape = entry.at("shape").get<std::vector<int64_t>>();
    const auto offsets = entry.at("data_offsets").get<std::vector<size_t>>();
    const std::string bytes = data.substr(offsets.at(0), offsets.at(1) - offsets.at(0));
    tensor.bytes.resize(bytes.size());
    if (!bytes.empty()) std::memcpy(tensor.bytes.data(), bytes.data(), bytes.size());
  }
  return tensors;
}

}  // namespace shoal
