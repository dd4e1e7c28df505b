#include "base/log.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace shoal {
namespace {

std::string Pair(std::string_view key, std::string_view value) {
  const std::string escaped = absl::CHexEscape(std::string(value));
  const bool quote = escaped.empty() || escaped.find_first_of(" =\\") != std::string::npos;
  return absl::StrCat(std::string(key), "=", quote ? "\"" : "", escaped, quote ? "\"" : "");
}

}  // namespace

LogField::LogField(std::string_view key, std::string_view value) : text(Pair(key, value)) {}
LogField::LogField(std::string_view key, long long value) : text(Pair(key, absl::StrCat(value))) {}
LogField::LogField(std::string_view key, double value) : text(Pair(key, absl::StrCat(value))) {}

void InitLog(std::string_view process) {
  auto logger = spdlog::stderr_logger_mt(std::string(process));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n %v", spdlog::pattern_time_type::utc);
  spdlog::set_default_logger(std::move(logger));
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line(event);
  for (const LogField& field : fields) absl::StrAppend(&line, " ", field.text);
  switch (level) {
    case LogLevel::kInfo:
      return spdlog::info("{}", line);
    case LogLevel::kWarning:
      return spdlog::warn("{}", line);
    case LogLevel::kError:
      return spdlog::error("{}", line);
  }
}

}  // namespace shoal
