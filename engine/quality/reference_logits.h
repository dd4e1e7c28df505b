#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/sha256.h"

namespace shoal {

// What a model foretold for one token of a text: the most likely ids, and what all others have
// together.
struct ReferenceRow {
  struct Entry {
    int32_t id = 0;
    float log_prob = 0;
  };
  float target_log_prob = 0;    // Of the token that the text has.
  float rest = 0;               // Probability of all ids that `top` does not have, in [0, 1].
  std::vector<Entry> top = {};  // Most likely first, ties by ascending id.
};

// Which text, cut how, by which model.
struct ReferenceHeader {
  int vocab_size = 0;
  int n_top = 0;  // Entries of each row, in [1, vocab_size].
  int ctx_size = 0;
  int stride = 0;
  int64_t n_rows = 0;
  Sha256Digest text = {};  // TextDigest of the text's ids.
  std::string model = {};  // For people; at most kMaxReferenceName bytes.
};

inline constexpr size_t kMaxReferenceName = 256;

// The hash of a text's ids, each as four bytes, the lowest first.
Sha256Digest TextDigest(std::span<const int32_t> ids);

// Writes a file of docs/reference_logits.md, row by row, beside its place; Finish moves it there.
// Thread-compatible.
class ReferenceWriter {
 public:
  // `files` outlives this. Errors are the file system's.
  static absl::StatusOr<std::unique_ptr<ReferenceWriter>> Create(FileSystem* files,
                                                                 std::string path,
                                                                 const ReferenceHeader& header);
  ~ReferenceWriter();  // Without Finish nothing stays.

  const ReferenceHeader& header() const { return header_; }
  absl::Status Append(const ReferenceRow& row);  // n_rows of them, each with n_top entries.
  absl::Status Finish();

 private:
  ReferenceWriter(FileSystem* files, std::string path, ReferenceHeader header);

  FileSystem* const files_;
  const std::string path_;
  const ReferenceHeader header_;
  std::unique_ptr<WritableFile> file_;
  int64_t n_written_ = 0;
};

// Reads such a file, which may be anything: every number is checked before it is used.
// Thread-compatible.
class ReferenceReader {
 public:
  // InvalidArgument, naming the file and what is wrong, for a file that is not one, is of another
  // version, or whose length is not what its header says.
  static absl::StatusOr<std::unique_ptr<ReferenceReader>> Open(FileSystem* files,
                                                               const std::string& path);

  const ReferenceHeader& header() const { return header_; }
  // The next row; n_rows of them. DataLoss when its checksum is wrong, InvalidArgument when it
  // holds what no model says: ids out of range or twice, log-probabilities above 0 or rising.
  absl::StatusOr<ReferenceRow> Next();

 private:
  ReferenceReader(std::string path, std::unique_ptr<ReadableFile> file)
      : path_(std::move(path)), file_(std::move(file)) {}
  absl::Status ReadHeader();
  absl::Status Check(const ReferenceRow& row);
  absl::Status Refuse(const std::string& what) const;

  const std::string path_;
  const std::unique_ptr<ReadableFile> file_;
  ReferenceHeader header_;
  uint64_t offset_ = 0;  // Of the next row.
  int64_t n_read_ = 0;
  std::vector<int64_t> last_row_;  // [vocab_size], the last row that had each id; -1: none.
};

}  // namespace shoal
