#include "model/import/gguf_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"
#include "model/import/gguf_format.h"
#include "model/import/gguf_layout.h"
#include "model/import/gguf_parser.h"
#include "model/import/gguf_split.h"
#include "model/import/header_cursor.h"

namespace shoal {
namespace {

bool IsInteger(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kUint16:
    case GgufType::kInt16:
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kUint64:
    case GgufType::kInt64:
      return true;
    default:
      return false;
  }
}

// An integer of any of GGUF's types, as its sign and its size.
struct Integer {
  bool negative = false;
  uint64_t value = 0;  // Two's complement where negative.
};

template <typename T>
Integer MakeInteger(std::string_view bytes) {
  const T value = LittleEndian<T>(bytes);
  return {.negative = value < T{0}, .value = static_cast<uint64_t>(value)};
}

Integer DecodeInteger(GgufType type, std::string_view bytes) {
  switch (type) {
    case GgufType::kUint8:
      return MakeInteger<uint8_t>(bytes);
    case GgufType::kInt8:
      return MakeInteger<int8_t>(bytes);
    case GgufType::kUint16:
      return MakeInteger<uint16_t>(bytes);
    case GgufType::kInt16:
      return MakeInteger<int16_t>(bytes);
    case GgufType::kUint32:
      return MakeInteger<uint32_t>(bytes);
    case GgufType::kInt32:
      return MakeInteger<int32_t>(bytes);
    case GgufType::kInt64:
      return MakeInteger<int64_t>(bytes);
    default:
      return MakeInteger<uint64_t>(bytes);
  }
}

std::string TypeText(const GgufEntry& entry) {
  const std::string name(GgufTypeName(entry.type));
  if (entry.type != GgufType::kArray) return name;
  return absl::StrCat(name, " of ", std::string(GgufTypeName(entry.element)));
}

}  // namespace

struct GgufReader::Impl {
  std::unique_ptr<ByteSource> source;
  ParsedGguf parsed;

  std::string Where(std::string_view key) const {
    return absl::StrCat(source->name(), ": key ", Quoted(key));
  }

  const GgufEntry* FindEntry(std::string_view key) const {
    const auto& entries = parsed.entries;
    const auto found = std::lower_bound(
        entries.begin(), entries.end(), key,
        [this](const GgufEntry& e, std::string_view k) { return parsed.Key(e) < k; });
    return found != entries.end() && parsed.Key(*found) == key ? &*found : nullptr;
  }

  absl::StatusOr<const GgufEntry*> Require(std::string_view key) const {
    if (const GgufEntry* entry = FindEntry(key)) return entry;
    return absl::NotFoundError(absl::StrCat(Where(key), " is missing; convert the model again"));
  }

  absl::Status WrongType(std::string_view key, const GgufEntry& entry,
                         const std::string& wanted) const {
    return absl::InvalidArgumentError(absl::StrCat(Where(key), " has type ", TypeText(entry),
                                                   ", not ", wanted, "; convert the model again"));
  }

  // The entry, if it is one value of a type for which `fits`.
  template <typename Fits>
  absl::StatusOr<const GgufEntry*> RequireScalar(std::string_view key, Fits fits,
                                                 const std::string& wanted) const {
    SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, Require(key));
    if (!fits(entry->type)) return WrongType(key, *entry, wanted);
    return entry;
  }

  template <typename Fits>
  absl::StatusOr<const GgufEntry*> RequireArray(std::string_view key, Fits fits,
                                                const std::string& wanted) const {
    SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, Require(key));
    if (entry->type != GgufType::kArray || !fits(entry->element)) {
      return WrongType(key, *entry, "ARRAY of " + wanted);
    }
    return entry;
  }

  std::string_view Scalar(const GgufEntry& entry) const {
    return parsed.Text(entry.offset, FixedBytes(entry.type));
  }

  std::string_view Element(const GgufEntry& entry, uint64_t i) const {
    const uint64_t size = FixedBytes(entry.element);
    return parsed.Text(entry.offset + i * size, size);
  }

  absl::Status NotFinite(std::string_view key, const std::string& which) const {
    return absl::InvalidArgumentError(
        absl::StrCat(Where(key), which, " is not a finite number; convert the model again"));
  }
};

GgufReader::GgufReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufReader::~GgufReader() = default;

namespace {

// `part` says that it is part `no` of `count`.
absl::Status CheckPart(const GgufReader& part, uint64_t no, uint64_t count) {
  for (const auto& [key, wanted] : {std::pair("split.no", no), std::pair("split.count", count)}) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, part.GetUint(key));
    if (value == wanted) continue;
    return absl::InvalidArgumentError(absl::StrCat(part.path(), ": key '", key, "' is ", value,
                                                   ", but the file's name says ", wanted,
                                                   "; give it back its own name"));
  }
  return absl::OkStatus();
}

// Headers stand behind the first one, whose offsets stay right: they all name the model.
absl::Status Append(const ParsedGguf& part, const std::string& path, ParsedGguf* whole) {
  if (part.tensors.size() > kMaxGgufTensors - whole->tensors.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": with its tensors the model has more than the limit of ",
                     kMaxGgufTensors, "; use another model"));
  }
  whole->header.insert(whole->header.end(), part.header.begin(), part.header.end());
  whole->tensors.insert(whole->tensors.end(), part.tensors.begin(), part.tensors.end());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::Open(const std::string& path) {
  const std::vector<std::string> paths = GgufParts(path);
  if (paths.size() > 1) return OpenParts(paths);
  auto impl = std::make_unique<Impl>();
  SHOAL_ASSIGN_OR_RETURN(impl->source, OpenFileSource(path));
  SHOAL_ASSIGN_OR_RETURN(impl->parsed, ParseGguf(*impl->source));
  std::unique_ptr<GgufReader> reader(new GgufReader(std::move(impl)));
  if (!reader->Has("split.count")) return reader;
  SHOAL_ASSIGN_OR_RETURN(const uint64_t count, reader->GetUint("split.count"));
  if (count <= 1) return reader;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": is one part of ", count, ", but its name is not NAME-00001-of-0000",
                   count, ".gguf, by which the others would be found; give them back their names"));
}

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::OpenParts(
    const std::vector<std::string>& paths) {
  std::unique_ptr<GgufReader> whole;
  std::vector<std::unique_ptr<ByteSource>> sources;
  uint64_t begin = 0;
  for (size_t i = 0; i < paths.size(); ++i) {
    auto impl = std::make_unique<Impl>();
    SHOAL_ASSIGN_OR_RETURN(impl->source, OpenFileSource(paths[i]));
    SHOAL_ASSIGN_OR_RETURN(impl->parsed, ParseGguf(*impl->source));
    std::unique_ptr<GgufReader> part(new GgufReader(std::move(impl)));
    SHOAL_RETURN_IF_ERROR(CheckPart(*part, i, paths.size()));
    for (TensorInfo& tensor : part->impl_->parsed.tensors) tensor.file_offset += begin;
    begin += part->file_bytes();
    sources.push_back(std::move(part->impl_->source));
    if (i == 0) {
      whole = std::move(part);
    } else {
      SHOAL_RETURN_IF_ERROR(Append(part->impl_->parsed, paths[i], &whole->impl_->parsed));
    }
  }
  whole->impl_->source = Concatenate(std::move(sources));
  if (absl::Status s = SortTensorNames(&whole->impl_->parsed); !s.ok()) {
    return Prefixed(whole->path(), s);
  }
  SHOAL_ASSIGN_OR_RETURN(const uint64_t n_tensors, whole->GetUint("split.tensors.count"));
  if (n_tensors == whole->tensors().size()) return whole;
  return absl::InvalidArgumentError(absl::StrCat(
      whole->path(), ": key 'split.tensors.count' is ", n_tensors, ", but the ", paths.size(),
      " parts have ", whole->tensors().size(), " tensors; fetch them again"));
}

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::Parse(std::string name,
                                                              std::span<const std::byte> bytes) {
  auto impl = std::make_unique<Impl>();
  impl->source = MakeMemorySource(std::move(name), bytes);
  SHOAL_ASSIGN_OR_RETURN(impl->parsed, ParseGguf(*impl->source));
  return std::unique_ptr<GgufReader>(new GgufReader(std::move(impl)));
}

bool GgufReader::Has(std::string_view key) const { return impl_->FindEntry(key) != nullptr; }

absl::StatusOr<uint64_t> GgufReader::ArrayLength(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry,
                         impl_->RequireArray(
                             key, [](GgufType) { return true; }, "any type"));
  return entry->count;
}

absl::StatusOr<uint64_t> GgufReader::GetUint(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry,
                         impl_->RequireScalar(key, IsInteger, "an integer"));
  const Integer number = DecodeInteger(entry->type, impl_->Scalar(*entry));
  if (!number.negative) return number.value;
  return absl::InvalidArgumentError(absl::StrCat(impl_->Where(key), " is ",
                                                 static_cast<int64_t>(number.value),
                                                 ", below 0; convert the model again"));
}

absl::StatusOr<double> GgufReader::GetFloat(std::string_view key) const {
  const auto fits = [](GgufType t) { return t == GgufType::kFloat32 || t == GgufType::kFloat64; };
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry,
                         impl_->RequireScalar(key, fits, "FLOAT32 or FLOAT64"));
  const std::string_view bytes = impl_->Scalar(*entry);
  const double value =
      entry->type == GgufType::kFloat32 ? LittleEndian<float>(bytes) : LittleEndian<double>(bytes);
  if (!std::isfinite(value)) return impl_->NotFinite(key, "");
  return value;
}

absl::StatusOr<bool> GgufReader::GetBool(std::string_view key) const {
  const auto fits = [](GgufType t) { return t == GgufType::kBool; };
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, impl_->RequireScalar(key, fits, "BOOL"));
  return LittleEndian<uint8_t>(impl_->Scalar(*entry)) != 0;
}

absl::StatusOr<std::string> GgufReader::GetString(std::string_view key) const {
  const auto fits = [](GgufType t) { return t == GgufType::kString; };
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, impl_->RequireScalar(key, fits, "STRING"));
  return std::string(impl_->parsed.Text(entry->offset, entry->count));
}

absl::StatusOr<std::vector<std::string>> GgufReader::GetStrings(std::string_view key) const {
  const auto fits = [](GgufType t) { return t == GgufType::kString; };
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, impl_->RequireArray(key, fits, "STRING"));
  std::vector<std::string> strings;
  strings.reserve(entry->count);
  uint64_t at = entry->offset;  // Lengths were checked when the header was read.
  for (uint64_t i = 0; i < entry->count; ++i) {
    const uint64_t length = LittleEndian<uint64_t>(impl_->parsed.Text(at, 8));
    strings.emplace_back(impl_->parsed.Text(at + 8, length));
    at += 8 + length;
  }
  return strings;
}

absl::StatusOr<std::vector<int64_t>> GgufReader::GetInts(std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, impl_->RequireArray(key, IsInteger, "integers"));
  std::vector<int64_t> values;
  values.reserve(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i) {
    const Integer number = DecodeInteger(entry->element, impl_->Element(*entry, i));
    if (!number.negative && number.value > std::numeric_limits<int64_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(
          impl_->Where(key), ": element ", i, " is ", number.value, ", above the limit of ",
          std::numeric_limits<int64_t>::max(), "; convert the model again"));
    }
    values.push_back(static_cast<int64_t>(number.value));
  }
  return values;
}

absl::StatusOr<std::vector<float>> GgufReader::GetFloats(std::string_view key) const {
  const auto fits = [](GgufType t) { return t == GgufType::kFloat32; };
  SHOAL_ASSIGN_OR_RETURN(const GgufEntry* entry, impl_->RequireArray(key, fits, "FLOAT32"));
  std::vector<float> values;
  values.reserve(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i) {
    values.push_back(LittleEndian<float>(impl_->Element(*entry, i)));
    if (!std::isfinite(values.back())) {
      return impl_->NotFinite(key, absl::StrCat(": element ", i));
    }
  }
  return values;
}

const TensorInfo* GgufReader::Find(std::string_view name) const {
  const auto& tensors = impl_->parsed.tensors;
  const auto& order = impl_->parsed.by_name;
  const auto found =
      std::lower_bound(order.begin(), order.end(), name,
                       [&tensors](uint32_t i, std::string_view n) { return tensors[i].name < n; });
  return found != order.end() && tensors[*found].name == name ? &tensors[*found] : nullptr;
}

absl::Status GgufReader::Read(const TensorInfo& tensor, uint64_t offset,
                              std::span<std::byte> out) const {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t at, PositionIn(path(), tensor.name, tensor.file_offset,
                                                       tensor.n_bytes, offset, out.size()));
  return impl_->source->Read(at, out);
}

const std::vector<TensorInfo>& GgufReader::tensors() const { return impl_->parsed.tensors; }
const std::string& GgufReader::path() const { return impl_->source->name(); }
uint64_t GgufReader::file_bytes() const { return impl_->source->size(); }

std::string GgufReader::HeaderHash() const { return Sha256Hex(impl_->parsed.header); }

}  // namespace shoal
