#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/file_system.h"

namespace shoal {

// Who was let in or refused and what an operator did: one JSON object a line, in a file that is
// replaced by a new one at 4 MiB, the one before kept as PATH.1. A disk that fails costs lines,
// said in the process's own log, and stops nothing (F12). Holds no secrets: values are ids, roles
// and reasons of ours. Thread-compatible.
class AuditLog {
 public:
  AuditLog(FileSystem* files, std::string path, Clock* clock)
      : files_(files), path_(std::move(path)), clock_(clock) {}

  using Field = std::pair<std::string_view, std::string>;
  void Write(std::string_view event, std::initializer_list<Field> fields);
  // The same, but of a flood only the first ten of a second.
  void WriteDenial(std::initializer_list<Field> fields);

 private:
  absl::Status Append(const std::string& line);

  FileSystem* const files_;
  const std::string path_;
  Clock* const clock_;
  std::unique_ptr<WritableFile> file_;
  uint64_t n_bytes_ = 0;
  absl::Time denials_since_ = absl::InfinitePast();
  int n_denials_ = 0;
};

}  // namespace shoal
