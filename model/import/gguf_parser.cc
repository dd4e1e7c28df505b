#include "model/import/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/gguf_layout.h"
#include "model/import/header_cursor.h"

namespace shoal {
namespace {

constexpr char kDamaged[] = "; the file is damaged: fetch or convert it again";

bool HasControlCharacter(std::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
}

class Parser {
 public:
  explicit Parser(const ByteSource& source) : source_(source), cursor_(source) {}

  absl::StatusOr<ParsedGguf> Parse() {
    SHOAL_RETURN_IF_ERROR(ReadPreamble());
    for (uint64_t i = 0; i < n_keys_; ++i) {
      if (absl::Status s = ReadEntry(); !s.ok()) {
        return Prefixed(absl::StrCat("key ", i, " of ", n_keys_), s);
      }
    }
    SHOAL_RETURN_IF_ERROR(ReadTensorInfos());
    SHOAL_RETURN_IF_ERROR(SkipPadding());
    parsed_.header = cursor_.Take();
    SHOAL_RETURN_IF_ERROR(SortEntries());
    SHOAL_RETURN_IF_ERROR(SortTensorNames(&parsed_));
    SHOAL_RETURN_IF_ERROR(PlaceTensors(parsed_.tensors, {.data_start = parsed_.header.size(),
                                                         .file_bytes = source_.size(),
                                                         .alignment = alignment_}));
    return std::move(parsed_);
  }

 private:
  absl::Status ReadPreamble() {
    SHOAL_RETURN_IF_ERROR(ReadMagicAndVersion());
    SHOAL_ASSIGN_OR_RETURN(n_tensors_, ReadCount("the tensor count", kMaxGgufTensors));
    SHOAL_ASSIGN_OR_RETURN(n_keys_, ReadCount("the key count", kMaxGgufKeys));
    SHOAL_RETURN_IF_ERROR(FitsInRest(n_keys_, kMinGgufKeyEntryBytes, "keys"));
    SHOAL_RETURN_IF_ERROR(FitsInRest(n_tensors_, kMinGgufTensorEntryBytes, "tensors"));
    parsed_.entries.reserve(n_keys_);
    return absl::OkStatus();
  }

  absl::Status ReadMagicAndVersion() {
    if (cursor_.left() == 0) {
      return absl::InvalidArgumentError("the file is empty; fetch it again");
    }
    SHOAL_ASSIGN_OR_RETURN(const std::string_view magic, cursor_.ReadBytes(4, "the magic"));
    if (magic != "GGUF") {
      return ErrorAt(0, absl::StrCat("begins with ", Quoted(magic),
                                     " and not 'GGUF'; name a GGUF model file"));
    }
    SHOAL_ASSIGN_OR_RETURN(const uint32_t version, cursor_.ReadU32("the version"));
    if (version == 2 || version == 3) return absl::OkStatus();
    if (version == __builtin_bswap32(2) || version == __builtin_bswap32(3)) {
      return ErrorAt(4, "is a big-endian GGUF, which is not read; convert it to little-endian");
    }
    return ErrorAt(4, absl::StrCat("GGUF version ", version,
                                   " is not read, 2 and 3 are; convert the model again"));
  }

  absl::StatusOr<uint64_t> ReadCount(std::string_view what, uint64_t limit) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t count, cursor_.ReadU64(what));
    if (count > limit) {
      return ErrorAt(at, absl::StrCat(std::string(what), " is ", count, ", above the limit of ",
                                      limit, kDamaged));
    }
    return count;
  }

  // Counts are held against the bytes that are left, so that none reserves more than the file has.
  absl::Status FitsInRest(uint64_t count, uint64_t bytes_each, std::string_view what) {
    const auto needed = (Checked<uint64_t>(count) * bytes_each).value();
    if (needed && *needed <= cursor_.left()) return absl::OkStatus();
    return ErrorAt(
        cursor_.pos(),
        absl::StrCat(count, " ", std::string(what), " need at least ", bytes_each, " bytes each, ",
                     cursor_.left(), " bytes are left; the file is cut short: fetch it again"));
  }

  absl::Status ReadEntry() {
    GgufEntry entry;
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const std::string_view key,
                           cursor_.ReadString(1, kMaxGgufKeyBytes, "the key"));
    if (HasControlCharacter(key)) {
      return ErrorAt(at,
                     absl::StrCat("the key ", Quoted(key), " has a control character", kDamaged));
    }
    entry.key_bytes = key.size();
    entry.key_offset = cursor_.pos() - key.size();
    if (absl::Status s = ReadValue(entry); !s.ok()) {
      return Prefixed(Quoted(cursor_.View(entry.key_offset, entry.key_bytes)), s);
    }
    parsed_.entries.push_back(entry);
    return absl::OkStatus();
  }

  absl::StatusOr<GgufType> ReadType(std::string_view what) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const uint32_t type, cursor_.ReadU32(what));
    if (type > kLastGgufType) {
      return ErrorAt(at, absl::StrCat(std::string(what), " is ", type, ", not in [0, ",
                                      kLastGgufType, "]", kDamaged));
    }
    return static_cast<GgufType>(type);
  }

  absl::Status ReadValue(GgufEntry& entry) {
    SHOAL_ASSIGN_OR_RETURN(entry.type, ReadType("the value's type"));
    if (entry.type == GgufType::kArray) return ReadArray(entry);
    if (entry.type == GgufType::kString) {
      SHOAL_ASSIGN_OR_RETURN(entry.count, ReadText());
      entry.offset = cursor_.pos() - entry.count;
      return absl::OkStatus();
    }
    entry.offset = cursor_.pos();
    return ReadScalars(entry.type, 1);
  }

  absl::Status ReadArray(GgufEntry& entry) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(entry.element, ReadType("the elements' type"));
    if (entry.element == GgufType::kArray) {
      return ErrorAt(at, "is an array of arrays, which is not read; convert the model again");
    }
    SHOAL_ASSIGN_OR_RETURN(entry.count, ReadCount("the number of elements", kMaxGgufElements));
    SHOAL_RETURN_IF_ERROR(FitsInRest(entry.count, FixedBytes(entry.element), "elements"));
    entry.offset = cursor_.pos();
    if (entry.element != GgufType::kString) return ReadScalars(entry.element, entry.count);
    for (uint64_t i = 0; i < entry.count; ++i) {
      if (auto text = ReadText(); !text.ok()) {
        return Prefixed(absl::StrCat("element ", i), text.status());
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> ReadText() {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view text,
                           cursor_.ReadString(0, kMaxGgufStringBytes, "the text"));
    return text.size();
  }

  absl::Status ReadScalars(GgufType type, uint64_t count) {
    const uint64_t at = cursor_.pos();
    // At most 16 Mi elements of 8 bytes: the product cannot overflow.
    SHOAL_ASSIGN_OR_RETURN(const std::string_view bytes,
                           cursor_.ReadBytes(count * FixedBytes(type), "the value"));
    if (type != GgufType::kBool) return absl::OkStatus();
    for (size_t i = 0; i < bytes.size(); ++i) {
      const auto value = static_cast<unsigned char>(bytes[i]);
      if (value > 1) {
        return ErrorAt(
            at + i, absl::StrCat("a BOOL is ", static_cast<int>(value), ", not 0 or 1", kDamaged));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensorInfos() {
    SHOAL_RETURN_IF_ERROR(FitsInRest(n_tensors_, kMinGgufTensorEntryBytes, "tensors"));
    parsed_.tensors.reserve(n_tensors_);
    for (uint64_t i = 0; i < n_tensors_; ++i) {
      TensorInfo tensor;
      const absl::Status status = ReadTensorInfo(tensor);
      if (!status.ok()) {
        const std::string name = tensor.name.empty() ? "" : absl::StrCat(" ", Quoted(tensor.name));
        return Prefixed(absl::StrCat("tensor ", i, " of ", n_tensors_, name), status);
      }
      parsed_.tensors.push_back(std::move(tensor));
    }
    return absl::OkStatus();
  }

  // Leaves the offset relative to the data, as the file has it; PlaceTensors makes it absolute.
  absl::Status ReadTensorInfo(TensorInfo& tensor) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const std::string_view name,
                           cursor_.ReadString(1, kMaxGgufNameBytes, "the tensor's name"));
    if (HasControlCharacter(name)) {
      return ErrorAt(at, absl::StrCat("the tensor's name ", Quoted(name),
                                      " has a control character", kDamaged));
    }
    tensor.name = std::string(name);
    SHOAL_RETURN_IF_ERROR(ReadShape(tensor));
    SHOAL_RETURN_IF_ERROR(ReadTensorType(tensor));
    SHOAL_ASSIGN_OR_RETURN(tensor.n_bytes, TensorBytes(tensor.shape, tensor.dtype));
    SHOAL_ASSIGN_OR_RETURN(tensor.file_offset, cursor_.ReadU64("the tensor's offset"));
    return absl::OkStatus();
  }

  absl::Status ReadShape(TensorInfo& tensor) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n_dims, cursor_.ReadU32("the number of dimensions"));
    if (n_dims < 1 || n_dims > kMaxGgufDims) {
      return ErrorAt(
          at, absl::StrCat("has ", n_dims, " dimensions, not 1 to ", kMaxGgufDims, kDamaged));
    }
    tensor.shape.resize(n_dims);
    for (uint32_t d = 0; d < n_dims; ++d) {
      const uint64_t dim_at = cursor_.pos();
      SHOAL_ASSIGN_OR_RETURN(const uint64_t dim, cursor_.ReadU64("a dimension"));
      if (dim < 1 || dim > kMaxGgufDim) {
        return ErrorAt(dim_at, absl::StrCat("dimension ", d, " is ", dim, ", not in [1, ",
                                            kMaxGgufDim, "]", kDamaged));
      }
      tensor.shape[n_dims - 1 - d] = static_cast<int64_t>(dim);  // The file has innermost first.
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensorType(TensorInfo& tensor) {
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const uint32_t type, cursor_.ReadU32("the tensor's type"));
    if (const auto dtype = DTypeOfGgml(type)) {
      tensor.dtype = *dtype;
      return absl::OkStatus();
    }
    const std::string known(GgmlTypeName(type));
    return ErrorAt(at, absl::StrCat("type ", known.empty() ? absl::StrCat(type) : known,
                                    known.empty() ? " is unknown" : " is not supported",
                                    "; quantize the model to one of ", SupportedGgmlTypes()));
  }

  // The data begins at the next multiple of the alignment. A file without tensors may end before.
  absl::Status SkipPadding() {
    SHOAL_RETURN_IF_ERROR(ReadAlignment());
    uint64_t padding = (alignment_ - cursor_.pos() % alignment_) % alignment_;
    if (parsed_.tensors.empty()) padding = std::min(padding, cursor_.left());
    const uint64_t at = cursor_.pos();
    SHOAL_ASSIGN_OR_RETURN(const std::string_view bytes,
                           cursor_.ReadBytes(padding, "the padding before the data"));
    if (bytes.find_first_not_of('\0') != std::string_view::npos) {
      return ErrorAt(at, absl::StrCat("the padding before the data is not zero", kDamaged));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAlignment() {
    for (const GgufEntry& entry : parsed_.entries) {
      if (cursor_.View(entry.key_offset, entry.key_bytes) != "general.alignment") continue;
      if (entry.type != GgufType::kUint32) {
        return ErrorAt(entry.offset, absl::StrCat("key 'general.alignment' has type ",
                                                  std::string(GgufTypeName(entry.type)),
                                                  ", not UINT32", kDamaged));
      }
      alignment_ = LittleEndian<uint32_t>(cursor_.View(entry.offset, 4));
      if (!std::has_single_bit(alignment_) || alignment_ < kMinGgufAlignment ||
          alignment_ > kMaxGgufAlignment) {
        return ErrorAt(entry.offset, absl::StrCat("key 'general.alignment' is ", alignment_,
                                                  ", not a power of two in [", kMinGgufAlignment,
                                                  ", ", kMaxGgufAlignment, "]", kDamaged));
      }
    }
    return absl::OkStatus();
  }

  // Sorted rather than hashed: a crafted set of keys cannot make it slow.
  absl::Status SortEntries() {
    auto& entries = parsed_.entries;
    std::sort(entries.begin(), entries.end(), [this](const GgufEntry& a, const GgufEntry& b) {
      const std::string_view x = parsed_.Key(a), y = parsed_.Key(b);
      return x != y ? x < y : a.key_offset < b.key_offset;
    });
    for (size_t i = 1; i < entries.size(); ++i) {
      if (parsed_.Key(entries[i]) != parsed_.Key(entries[i - 1])) continue;
      return ErrorAt(entries[i].key_offset, absl::StrCat("key ", Quoted(parsed_.Key(entries[i])),
                                                         " stands here again, first at byte ",
                                                         entries[i - 1].key_offset, kDamaged));
    }
    return absl::OkStatus();
  }

  const ByteSource& source_;
  HeaderCursor cursor_;
  ParsedGguf parsed_;
  uint64_t n_tensors_ = 0;
  uint64_t n_keys_ = 0;
  uint64_t alignment_ = kDefaultGgufAlignment;
};

}  // namespace

absl::Status SortTensorNames(ParsedGguf* parsed) {
  const auto& tensors = parsed->tensors;
  auto& order = parsed->by_name;
  order.resize(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&tensors](uint32_t a, uint32_t b) {
    return tensors[a].name != tensors[b].name ? tensors[a].name < tensors[b].name : a < b;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (tensors[order[i]].name != tensors[order[i - 1]].name) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor ", order[i], " of ", tensors.size(), " has the name ",
        Quoted(tensors[order[i]].name), " that tensor ", order[i - 1], " has", kDamaged));
  }
  return absl::OkStatus();
}

std::string_view ParsedGguf::Text(uint64_t offset, uint64_t n_bytes) const {
  const auto piece = std::span(header).subspan(offset, n_bytes);
  return {reinterpret_cast<const char*>(piece.data()), piece.size()};
}

absl::StatusOr<ParsedGguf> ParseGguf(const ByteSource& source) {
  auto parsed = Parser(source).Parse();
  if (!parsed.ok()) return Prefixed(source.name(), parsed.status());
  return parsed;
}

}  // namespace shoal
