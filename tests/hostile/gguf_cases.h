#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "model/import/gguf_reader.h"
#include "tests/support/gguf_builder.h"

namespace shoal {

// One damage done to a sound file, and what the refusal must say.
struct GgufCase {
  std::string name;
  std::function<void(GgufBuilder&)> damage;
  std::string says;
};

inline void PrintTo(const GgufCase& one, std::ostream* out) { *out << one.name; }

inline std::string CaseName(const ::testing::TestParamInfo<GgufCase>& info) {
  return info.param.name;
}

inline absl::StatusOr<std::unique_ptr<GgufReader>> ParseText(const std::string& bytes) {
  return GgufReader::Parse("bad.gguf", std::as_bytes(std::span(bytes)));
}

inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

}  // namespace shoal
