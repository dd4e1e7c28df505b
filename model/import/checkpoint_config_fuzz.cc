// Any bytes, read as a config.json: what is accepted is a configuration in range. Seeds:
// tests/data/fuzz/checkpoint_config.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/import/checkpoint_config.h"
#include "model/import/json_values.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto values = shoal::JsonValues::Parse("config.json", text, shoal::kMaxConfigValues);
  if (!values.ok()) return 0;
  (void)values->Names();
  (void)values->GetTexts("weight_map");
  const auto config = shoal::ReadCheckpointConfig(*values);
  if (config.ok()) SHOAL_CHECK(shoal::ValidateConfig(config->config).ok());
  return 0;
}
