#include "engine/quality/reference_logits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALREF";
constexpr uint32_t kVersion = 1;
constexpr size_t kFixedBytes = 8 + 5 * 4 + 8 + 32 + 4;  // A header's, up to the name's length.
constexpr int64_t kMaxRows = int64_t{1} << 32;
constexpr float kRoundingAbove = 1e-5F;  // By which a sum of rounded exponentials may pass 1.

uint64_t RowBytes(const ReferenceHeader& header) {
  return 4 + 4 + 8 * static_cast<uint64_t>(header.n_top) + 4;
}

std::string TemporaryPath(const std::string& path) { return path + ".tmp"; }

void WriteF32(ByteWriter* out, float value) { out->U32(std::bit_cast<uint32_t>(value)); }

absl::StatusOr<float> ReadF32(ByteReader* in) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t bits, in->U32());
  return std::bit_cast<float>(bits);
}

// The bytes, and their checksum behind them.
std::string Sealed(ByteWriter* out) {
  out->U32(Crc32c(0, out->bytes().data(), out->bytes().size()));
  return out->Take();
}

std::string EncodeHeader(const ReferenceHeader& header) {
  ByteWriter out;
  out.Bytes(kMagic);
  out.U32(kVersion);
  out.U32(static_cast<uint32_t>(header.vocab_size));
  out.U32(static_cast<uint32_t>(header.n_top));
  out.U32(static_cast<uint32_t>(header.ctx_size));
  out.U32(static_cast<uint32_t>(header.stride));
  out.U64(static_cast<uint64_t>(header.n_rows));
  out.Bytes(DigestBytes(header.text));
  out.String(header.model);
  return Sealed(&out);
}

absl::StatusOr<std::string> ReadBytes(const ReadableFile& file, uint64_t offset, uint64_t n) {
  std::string bytes(n, '\0');
  SHOAL_RETURN_IF_ERROR(file.Read(offset, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

// Whether the last four bytes are the checksum of those before them.
bool SealHolds(std::string_view bytes) {
  ByteReader seal(bytes.substr(bytes.size() - 4));
  return *seal.U32() == Crc32c(0, bytes.data(), bytes.size() - 4);
}

absl::Status Append(WritableFile* file, const std::string& bytes) {
  return file->Append(std::as_bytes(std::span(bytes)));
}

}  // namespace

Sha256Digest TextDigest(std::span<const int32_t> ids) {
  ByteWriter out;
  for (const int32_t id : ids) out.U32(static_cast<uint32_t>(id));
  return Sha256(std::as_bytes(std::span(out.bytes())));
}

ReferenceWriter::ReferenceWriter(FileSystem* files, std::string path, ReferenceHeader header)
    : files_(files), path_(std::move(path)), header_(std::move(header)) {}

ReferenceWriter::~ReferenceWriter() {
  if (file_ == nullptr) return;
  file_.reset();
  files_->Remove(TemporaryPath(path_)).IgnoreError();
}

absl::StatusOr<std::unique_ptr<ReferenceWriter>> ReferenceWriter::Create(
    FileSystem* files, std::string path, const ReferenceHeader& header) {
  SHOAL_CHECK_LE(header.n_top, header.vocab_size);
  ReferenceHeader kept = header;
  if (kept.model.size() > kMaxReferenceName) kept.model.resize(kMaxReferenceName);
  auto writer = std::unique_ptr<ReferenceWriter>(
      new ReferenceWriter(files, std::move(path), std::move(kept)));
  SHOAL_ASSIGN_OR_RETURN(writer->file_, files->Create(TemporaryPath(writer->path_)));
  SHOAL_RETURN_IF_ERROR(shoal::Append(writer->file_.get(), EncodeHeader(writer->header_)));
  return writer;
}

absl::Status ReferenceWriter::Append(const ReferenceRow& row) {
  SHOAL_CHECK_EQ(row.top.size(), static_cast<size_t>(header_.n_top));
  SHOAL_CHECK_LT(n_written_, header_.n_rows);
  ++n_written_;
  ByteWriter out;
  WriteF32(&out, row.target_log_prob);
  WriteF32(&out, row.rest);
  for (const ReferenceRow::Entry& entry : row.top) {
    out.U32(static_cast<uint32_t>(entry.id));
    WriteF32(&out, entry.log_prob);
  }
  return shoal::Append(file_.get(), Sealed(&out));
}

absl::Status ReferenceWriter::Finish() {
  SHOAL_CHECK_EQ(n_written_, header_.n_rows);
  SHOAL_RETURN_IF_ERROR(file_->Sync());
  SHOAL_RETURN_IF_ERROR(files_->Rename(TemporaryPath(path_), path_));
  file_.reset();
  return absl::OkStatus();
}

absl::Status ReferenceReader::Refuse(const std::string& what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(path_, ": ", what, "; make it again with `shoal eval --save`"));
}

absl::StatusOr<std::unique_ptr<ReferenceReader>> ReferenceReader::Open(FileSystem* files,
                                                                       const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, files->Open(path));
  auto reader = std::unique_ptr<ReferenceReader>(new ReferenceReader(path, std::move(file)));
  SHOAL_RETURN_IF_ERROR(reader->ReadHeader());
  reader->last_row_.assign(static_cast<size_t>(reader->header_.vocab_size), -1);
  return reader;
}

absl::Status ReferenceReader::ReadHeader() {
  if (file_->size() < kFixedBytes + 4) return Refuse("is too short to be saved logits");
  SHOAL_ASSIGN_OR_RETURN(const std::string fixed, ReadBytes(*file_, 0, kFixedBytes));
  ByteReader in(fixed);
  if (*in.Bytes(kMagic.size()) != kMagic) return Refuse("is no file of saved logits");
  const uint32_t version = *in.U32();
  if (version != kVersion) {
    return Refuse(absl::StrCat("has version ", version, ", this program reads ", kVersion));
  }
  const uint32_t vocab_size = *in.U32();
  const uint32_t n_top = *in.U32();
  const uint32_t ctx_size = *in.U32();
  const uint32_t stride = *in.U32();
  const uint64_t n_rows = *in.U64();
  header_.text = *DigestFromBytes(*in.Bytes(32));
  const uint32_t name_bytes = *in.U32();
  const auto out_of = [this](const char* field, uint64_t value, uint64_t low, uint64_t high) {
    return Refuse(absl::StrCat(field, "=", value, " is not in [", low, ", ", high, "]"));
  };
  if (vocab_size < 1 || vocab_size > kMaxVocab) {
    return out_of("vocab_size", vocab_size, 1, kMaxVocab);
  }
  if (n_top < 1 || n_top > vocab_size) return out_of("n_top", n_top, 1, vocab_size);
  if (ctx_size < 1 || ctx_size > kMaxContext) return out_of("ctx_size", ctx_size, 1, kMaxContext);
  if (stride > ctx_size) return out_of("stride", stride, 0, ctx_size);
  if (n_rows < 1 || n_rows > kMaxRows) return out_of("n_rows", n_rows, 1, kMaxRows);
  if (name_bytes > kMaxReferenceName) {
    return out_of("the name's length", name_bytes, 0, kMaxReferenceName);
  }
  header_.vocab_size = static_cast<int>(vocab_size);
  header_.n_top = static_cast<int>(n_top);
  header_.ctx_size = static_cast<int>(ctx_size);
  header_.stride = static_cast<int>(stride);
  header_.n_rows = static_cast<int64_t>(n_rows);
  offset_ = kFixedBytes + name_bytes + 4;
  const uint64_t expected = offset_ + n_rows * RowBytes(header_);
  if (file_->size() != expected) {
    return Refuse(absl::StrCat("has ", file_->size(), " bytes, its header says ", expected));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string header, ReadBytes(*file_, 0, offset_));
  if (!SealHolds(header)) return Refuse("the header's checksum is wrong");
  header_.model = header.substr(kFixedBytes, name_bytes);
  return absl::OkStatus();
}

absl::StatusOr<ReferenceRow> ReferenceReader::Next() {
  SHOAL_CHECK_LT(n_read_, header_.n_rows);
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes, ReadBytes(*file_, offset_, RowBytes(header_)));
  if (!SealHolds(bytes)) {
    return absl::DataLossError(absl::StrCat(path_, ": row ", n_read_, ": its checksum is wrong"));
  }
  ByteReader in(bytes);
  ReferenceRow row;
  SHOAL_ASSIGN_OR_RETURN(row.target_log_prob, ReadF32(&in));
  SHOAL_ASSIGN_OR_RETURN(row.rest, ReadF32(&in));
  row.top.resize(static_cast<size_t>(header_.n_top));
  for (ReferenceRow::Entry& entry : row.top) {
    SHOAL_ASSIGN_OR_RETURN(const uint32_t id, in.U32());
    if (id >= static_cast<uint32_t>(header_.vocab_size)) {
      return Refuse(
          absl::StrCat("row ", n_read_, ": id ", id, " is not in [0, ", header_.vocab_size, ")"));
    }
    entry.id = static_cast<int32_t>(id);
    SHOAL_ASSIGN_OR_RETURN(entry.log_prob, ReadF32(&in));
  }
  SHOAL_RETURN_IF_ERROR(Check(row));
  ++n_read_;
  offset_ += RowBytes(header_);
  return row;
}

absl::Status ReferenceReader::Check(const ReferenceRow& row) {
  const auto is_log_prob = [](float x) { return std::isfinite(x) && x <= kRoundingAbove; };
  const auto refuse = [this](const std::string& what) {
    return Refuse(absl::StrCat("row ", n_read_, ": ", what));
  };
  if (!is_log_prob(row.target_log_prob)) {
    return refuse(absl::StrCat(row.target_log_prob, " is no log-probability"));
  }
  if (!(row.rest >= 0.0F && row.rest <= 1.0F)) {
    return refuse(absl::StrCat("the rest's probability ", row.rest, " is not in [0, 1]"));
  }
  double sum = row.rest;
  float previous = kRoundingAbove;
  for (const auto& [id, log_prob] : row.top) {
    if (!is_log_prob(log_prob)) return refuse(absl::StrCat(log_prob, " is no log-probability"));
    if (log_prob > previous) return refuse("log-probabilities rise");
    if (std::exchange(last_row_[static_cast<size_t>(id)], n_read_) == n_read_) {
      return refuse(absl::StrCat("id ", id, " stands there twice"));
    }
    previous = log_prob;
    sum += std::exp(static_cast<double>(log_prob));
  }
  if (std::fabs(sum - 1.0) > 1e-3) {
    return refuse(absl::StrCat("probabilities add up to ", sum, ", not to 1"));
  }
  return absl::OkStatus();
}

}  // namespace shoal
