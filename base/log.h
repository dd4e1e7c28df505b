#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace shoal {

// One structured line per event on standard error: time, level, process, event, then key=value
// pairs. Values are numbers, names and reasons of ours; prompts, tokens and keys have no way in:
// nothing that holds them converts to LogField.
struct LogField {
  LogField(std::string_view key, std::string_view value);
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, long long value);
  LogField(std::string_view key, int value) : LogField(key, static_cast<long long>(value)) {}
  LogField(std::string_view key, long value) : LogField(key, static_cast<long long>(value)) {}
  LogField(std::string_view key, unsigned value) : LogField(key, static_cast<long long>(value)) {}
  LogField(std::string_view key, unsigned long value)
      : LogField(key, static_cast<long long>(value)) {}
  LogField(std::string_view key, double value);

  std::string text;
};

enum class LogLevel { kInfo, kWarning, kError };

// `process` names this process in every line ("router", "worker-1"); call once at start.
void InitLog(std::string_view process);
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

}  // namespace shoal
