#include "model/import/safetensors_reader.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/checked.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"
#include "model/import/header_cursor.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr char kDamaged[] = "; the file is damaged: fetch it again";

struct TypeTraits {
  std::string_view name;
  uint64_t n_bytes;
};
// In the order of SafetensorsType.
constexpr TypeTraits kTypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
    {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
    {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},
};

std::optional<SafetensorsType> TypeOf(std::string_view name) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i].name == name) return static_cast<SafetensorsType>(i);
  }
  return std::nullopt;
}

// The header's events, one tensor after the other; no tree of it is ever in memory.
//   {"name": {"dtype": text, "shape": [n...], "data_offsets": [begin, end]}, "__metadata__": {...}}
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(std::vector<SafetensorsTensor>* tensors) : tensors_(*tensors) {}

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("true or false"); }
  bool number_integer(number_integer_t value) override {
    return Unexpected(absl::StrCat("the number ", value));
  }
  bool number_float(number_float_t, const string_t&) override { return Unexpected("a fraction"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) return AddDim(value);
    if (place_ != Place::kOffsets) return Unexpected(absl::StrCat("the number ", value));
    if (n_offsets_ == 2) return Refuse("has more than two data_offsets");
    offsets_[n_offsets_++] = value;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kTensor || field_ != Field::kType) return Unexpected("a text");
    const auto type = TypeOf(value);
    if (!type) {
      return Refuse(absl::StrCat("dtype ", Quoted(value), " is unknown; known are ", KnownTypes()));
    }
    tensor_.type = *type;
    return true;
  }

  bool start_object(size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        place_ = in_metadata_ ? Place::kMetadata : Place::kTensor;
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool end_object() override {
    switch (place_) {
      case Place::kTensor:
        place_ = Place::kTop;
        return FinishTensor();
      case Place::kMetadata:
        place_ = Place::kTop;
        return true;
      default:
        place_ = Place::kOutside;
        return true;
    }
  }

  bool start_array(size_t) override {
    if (place_ == Place::kTensor && field_ == Field::kShape) {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && field_ == Field::kOffsets) {
      place_ = Place::kOffsets;
    } else {
      return Unexpected("a list");
    }
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool key(string_t& name) override {
    if (place_ == Place::kTensor) return StartField(name);
    if (place_ == Place::kTop) return StartTensor(name);
    if (++n_metadata_ > kMaxSafetensorsMetadata) {
      return Refuse(absl::StrCat("has more than ", kMaxSafetensorsMetadata, " keys"));
    }
    if (metadata_keys_.insert(name).second) return true;
    return Refuse(absl::StrCat("the key ", Quoted(name), " stands twice"));
  }

  // The library's own text quotes the file, so only the place is passed on.
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("the header is not JSON in UTF-8: error at its byte ", position, kDamaged));
    }
    return false;
  }

  const absl::Status& status() const { return status_; }

 private:
  enum class Place : uint8_t { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };
  enum class Field : uint8_t { kType, kShape, kOffsets, kNone };
  static constexpr std::string_view kFields[] = {"dtype", "shape", "data_offsets"};

  static std::string KnownTypes() {
    return absl::StrJoin(kTypes, ", ",
                         [](std::string* out, const TypeTraits& type) { out->append(type.name); });
  }

  bool Refuse(const std::string& message) {
    if (!status_.ok()) return false;
    const std::string where = in_metadata_ ? "'__metadata__'" : Quoted(tensor_.name);
    status_ = absl::InvalidArgumentError(
        absl::StrCat(in_metadata_ ? "" : "tensor ", where, ": ", message, kDamaged));
    return false;
  }

  bool Unexpected(const std::string& what) {
    if (place_ == Place::kOutside) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("the header is ", what, ", not an object", kDamaged));
      return false;
    }
    const bool named = place_ != Place::kTop && field_ != Field::kNone && !in_metadata_;
    const std::string field =
        named ? absl::StrCat(std::string(kFields[static_cast<size_t>(field_)]), " ") : "";
    return Refuse(absl::StrCat(field, "holds ", what, " where the format has none"));
  }

  bool StartTensor(string_t& name) {
    in_metadata_ = name == "__metadata__";
    field_ = Field::kNone;
    if (in_metadata_) {
      if (!std::exchange(seen_metadata_, true)) return true;
      return Refuse("stands twice");
    }
    tensor_ = {};
    tensor_.name = std::move(name);
    fields_ = 0;
    n_offsets_ = 0;
    if (tensor_.name.empty() || tensor_.name.size() > kMaxSafetensorsNameBytes) {
      return Refuse(absl::StrCat("the name is ", tensor_.name.size(), " bytes long, not in [1, ",
                                 kMaxSafetensorsNameBytes, "]"));
    }
    const bool control = std::any_of(tensor_.name.begin(), tensor_.name.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (control) return Refuse("the name has a control character");
    if (tensors_.size() < kMaxSafetensorsTensors) return true;
    return Refuse(absl::StrCat("the file has more than ", kMaxSafetensorsTensors, " tensors"));
  }

  bool StartField(const string_t& name) {
    const auto found = std::find(std::begin(kFields), std::end(kFields), name);
    if (found == std::end(kFields)) {
      field_ = Field::kNone;
      return Refuse(absl::StrCat("the field ", Quoted(name), " is unknown"));
    }
    field_ = static_cast<Field>(found - std::begin(kFields));
    const unsigned bit = 1U << static_cast<unsigned>(field_);
    if ((fields_ & bit) != 0) {
      return Refuse(absl::StrCat("the field ", Quoted(name), " stands twice"));
    }
    fields_ |= bit;
    return true;
  }

  bool AddDim(uint64_t dim) {
    if (tensor_.shape.size() == kMaxSafetensorsDims) {
      return Refuse(absl::StrCat("has more than ", kMaxSafetensorsDims, " dimensions"));
    }
    if (dim < 1 || dim > kMaxSafetensorsDim) {
      return Refuse(absl::StrCat("dimension ", tensor_.shape.size(), " is ", dim, ", not in [1, ",
                                 kMaxSafetensorsDim, "]"));
    }
    tensor_.shape.push_back(static_cast<int64_t>(dim));
    return true;
  }

  bool FinishTensor() {
    for (size_t f = 0; f < std::size(kFields); ++f) {
      if ((fields_ & (1U << f)) == 0) {
        return Refuse(absl::StrCat("the field ", Quoted(kFields[f]), " is missing"));
      }
    }
    if (n_offsets_ != 2) return Refuse(absl::StrCat("has ", n_offsets_, " data_offsets, not two"));
    Checked<uint64_t> n_bytes = SafetensorsTypeBytes(tensor_.type);
    for (const int64_t dim : tensor_.shape) n_bytes = n_bytes * static_cast<uint64_t>(dim);
    const auto wanted = n_bytes.value();
    if (!wanted) {
      return Refuse(absl::StrCat("shape [", absl::StrJoin(tensor_.shape, ", "),
                                 "] has more bytes than 64 bits count"));
    }
    const auto given = (Checked<uint64_t>(offsets_[1]) - offsets_[0]).value();
    if (!given || *given != *wanted) {
      return Refuse(absl::StrCat("data_offsets [", offsets_[0], ", ", offsets_[1],
                                 "] do not span the ", *wanted, " bytes of ",
                                 std::string(SafetensorsTypeName(tensor_.type)), " [",
                                 absl::StrJoin(tensor_.shape, ", "), "]"));
    }
    tensor_.file_offset = offsets_[0];
    tensor_.n_bytes = *wanted;
    tensors_.push_back(std::move(tensor_));
    tensor_ = {};
    return true;
  }

  std::vector<SafetensorsTensor>& tensors_;
  Place place_ = Place::kOutside;
  Field field_ = Field::kNone;
  bool in_metadata_ = false;
  bool seen_metadata_ = false;
  SafetensorsTensor tensor_;
  unsigned fields_ = 0;  // Bit f: field f has been there.
  uint64_t offsets_[2] = {};
  int n_offsets_ = 0;
  size_t n_metadata_ = 0;
  std::unordered_set<std::string> metadata_keys_;
  absl::Status status_;
};

}  // namespace

std::string_view SafetensorsTypeName(SafetensorsType type) {
  return kTypes[static_cast<size_t>(type)].name;
}

uint64_t SafetensorsTypeBytes(SafetensorsType type) {
  return kTypes[static_cast<size_t>(type)].n_bytes;
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto source, OpenFileSource(path));
  return Read(std::move(source));
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Parse(
    std::string name, std::span<const std::byte> bytes) {
  return Read(MakeMemorySource(std::move(name), bytes));
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Read(
    std::unique_ptr<ByteSource> source) {
  std::unique_ptr<SafetensorsReader> reader(new SafetensorsReader(std::move(source)));
  if (absl::Status s = reader->ReadHeader(); !s.ok()) return Prefixed(reader->path(), s);
  return reader;
}

absl::Status SafetensorsReader::ReadHeader() {
  HeaderCursor cursor(*source_);
  if (cursor.left() == 0) return absl::InvalidArgumentError("the file is empty; fetch it again");
  SHOAL_ASSIGN_OR_RETURN(const uint64_t n_bytes, cursor.ReadU64("the header's length"));
  if (n_bytes < 2 || n_bytes > kMaxSafetensorsHeaderBytes) {
    return ErrorAt(0, absl::StrCat("the header's length is ", n_bytes, ", not in [2, ",
                                   kMaxSafetensorsHeaderBytes,
                                   "]; name a safetensors file, or fetch this one again"));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string_view header, cursor.ReadBytes(n_bytes, "the header"));
  if (header.front() != '{') {
    return ErrorAt(8, absl::StrCat("the header begins with ", Quoted(header.substr(0, 1)),
                                   " and not '{'; name a safetensors file"));
  }
  HeaderHandler handler(&tensors_);
  nlohmann::json::sax_parse(header, &handler);
  if (!handler.status().ok()) return handler.status();
  SHOAL_RETURN_IF_ERROR(PlaceTensors(8 + n_bytes));
  header_hash_ = Sha256Hex(cursor.Take());
  return absl::OkStatus();
}

// Sorted rather than hashed: a crafted set of names cannot make it slow.
absl::Status SafetensorsReader::PlaceTensors(uint64_t data_start) {
  const auto refuse = [](const SafetensorsTensor& tensor, const std::string& message) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(tensor.name), ": ", message, kDamaged));
  };
  std::sort(tensors_.begin(), tensors_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].name == tensors_[i - 1].name) return refuse(tensors_[i], "stands twice");
  }
  std::vector<uint32_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) {
    return tensors_[a].file_offset < tensors_[b].file_offset;
  });
  const uint64_t data_bytes = source_->size() - data_start;
  uint64_t end = 0;
  for (const uint32_t i : order) {
    SafetensorsTensor& tensor = tensors_[i];
    if (tensor.file_offset != end) {
      return refuse(tensor, absl::StrCat("its data begin at byte ", tensor.file_offset,
                                         ", but those before it end at ", end));
    }
    const auto next = (Checked<uint64_t>(end) + tensor.n_bytes).value();
    if (!next || *next > data_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(tensor.name), ": ", tensor.n_bytes,
                       " bytes at data offset ", end, " end after the data, which have ",
                       data_bytes, " bytes; the file is cut short: fetch it again"));
    }
    tensor.file_offset += data_start;
    end = *next;
  }
  if (end == data_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the last tensor ends at data byte ", end,
                                                 ", the data have ", data_bytes,
                                                 "; nothing accounts for the rest", kDamaged));
}

const SafetensorsTensor* SafetensorsReader::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const SafetensorsTensor& t, std::string_view n) { return t.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

absl::Status SafetensorsReader::Read(const SafetensorsTensor& tensor, uint64_t offset,
                                     std::span<std::byte> out) const {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t at, PositionIn(path(), tensor.name, tensor.file_offset,
                                                       tensor.n_bytes, offset, out.size()));
  return source_->Read(at, out);
}

}  // namespace shoal
