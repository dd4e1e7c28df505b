#include "coordinator/audit_log.h"

#include <cstdio>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 20;
constexpr int kMaxDenialsPerSecond = 10;

std::string Json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned char>(c));
      out += escaped;
    }
  }
  return out + '"';
}

}  // namespace

void AuditLog::Write(std::string_view event, std::initializer_list<Field> fields) {
  std::string line = absl::StrCat(
      "{\"time\":",
      Json(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", clock_->WallNow(), absl::UTCTimeZone())),
      ",\"event\":", Json(event));
  for (const auto& [key, value] : fields) absl::StrAppend(&line, ",", Json(key), ":", Json(value));
  line += "}\n";
  if (const absl::Status status = Append(line); !status.ok()) {
    file_.reset();
    Log(LogLevel::kError, "audit line lost",
        {{"audited", event}, {"why", std::string(status.message())}});
  }
}

void AuditLog::WriteDenial(std::initializer_list<Field> fields) {
  const absl::Time now = clock_->Now();
  if (now - denials_since_ >= absl::Seconds(1)) {
    denials_since_ = now;
    n_denials_ = 0;
  }
  if (++n_denials_ <= kMaxDenialsPerSecond) Write("denied", fields);
}

absl::Status AuditLog::Append(const std::string& line) {
  if (file_ != nullptr && n_bytes_ + line.size() > kMaxFileBytes) {
    file_.reset();
    SHOAL_RETURN_IF_ERROR(files_->Rename(path_, path_ + ".1"));
  }
  if (file_ == nullptr) {
    n_bytes_ = 0;
    if (const auto before = files_->Open(path_); before.ok()) n_bytes_ = (*before)->size();
    SHOAL_ASSIGN_OR_RETURN(file_, files_->OpenToAppend(path_));
  }
  SHOAL_RETURN_IF_ERROR(
      file_->Append(std::as_bytes(std::span<const char>(line.data(), line.size()))));
  n_bytes_ += line.size();
  return file_->Sync();
}

}  // namespace shoal
