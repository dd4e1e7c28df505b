// How the records of cluster_state.h stand in the log: one byte says which, its fields follow.
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "coordinator/cluster_state.h"

namespace shoal {
namespace {

enum class Tag : uint8_t {
  kNodeJoined = 1,
  kNodeRenewed,
  kAddressChanged,
  kDrainChanged,
  kNodeRevoked,
  kTokenCreated,
  kTokenUsed,
  kTokenForgotten,
  kModelSet,
  kReplicasSet,
  kExpertsPlaced,
  kEpochRaised,
};

constexpr size_t kMaxIdBytes = 64;
constexpr size_t kMaxTextBytes = 512;
constexpr size_t kMaxSetBytes = size_t{kMaxLayers} * kMaxExperts / 8;
constexpr uint32_t kMaxRecords = 1U << 20;

template <size_t N>
std::string_view Raw(const std::array<std::byte, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

template <size_t N>
absl::Status ReadRaw(ByteReader& in, std::array<std::byte, N>* out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view bytes, in.Bytes(N));
  std::memcpy(out->data(), bytes.data(), N);
  return absl::OkStatus();
}

absl::Status ReadText(ByteReader& in, size_t max_bytes, std::string* out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string_view text, in.String(max_bytes));
  out->assign(text);
  return absl::OkStatus();
}

void WriteTime(ByteWriter& out, absl::Time time) {
  out.U64(static_cast<uint64_t>(absl::ToUnixSeconds(time)));
}

absl::Status ReadTime(ByteReader& in, absl::Time* out) {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t seconds, in.U64());
  *out = absl::FromUnixSeconds(static_cast<int64_t>(seconds));
  return absl::OkStatus();
}

absl::Status ReadRole(ByteReader& in, NodeRole* out) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t role, in.U8());
  if (role != static_cast<uint8_t>(NodeRole::kRouter) &&
      role != static_cast<uint8_t>(NodeRole::kWorker)) {
    return absl::InvalidArgumentError(absl::StrCat("role ", role, " is no node's"));
  }
  *out = static_cast<NodeRole>(role);
  return absl::OkStatus();
}

absl::Status ReadFlag(ByteReader& in, bool* out) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t flag, in.U8());
  if (flag > 1) return absl::InvalidArgumentError(absl::StrCat("flag ", flag, " is not 0 or 1"));
  *out = flag == 1;
  return absl::OkStatus();
}

absl::Status ReadInt(ByteReader& in, int max, int* out) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t value, in.U32());
  if (value > static_cast<uint32_t>(max)) {
    return absl::InvalidArgumentError(absl::StrCat("number ", value, " is above ", max));
  }
  *out = static_cast<int>(value);
  return absl::OkStatus();
}

void WriteSet(ByteWriter& out, const ExpertSet& set) {
  out.U32(static_cast<uint32_t>(set.n_layers()));
  out.U32(static_cast<uint32_t>(set.n_experts()));
  out.String(set.Bytes());
}

absl::Status ReadSet(ByteReader& in, ExpertSet* out) {
  int n_layers = 0;
  int n_experts = 0;
  SHOAL_RETURN_IF_ERROR(ReadInt(in, kMaxLayers, &n_layers));
  SHOAL_RETURN_IF_ERROR(ReadInt(in, kMaxExperts, &n_experts));
  SHOAL_ASSIGN_OR_RETURN(const std::string_view bytes, in.String(kMaxSetBytes));
  SHOAL_ASSIGN_OR_RETURN(*out, ExpertSet::FromBytes(bytes, n_layers, n_experts));
  return absl::OkStatus();
}

struct Encoder {
  ByteWriter& out;

  void Begin(Tag tag) const { out.U8(static_cast<uint8_t>(tag)); }

  void operator()(const NodeJoined& record) const {
    const ClusterNode& node = record.node;
    Begin(Tag::kNodeJoined);
    out.U8(static_cast<uint8_t>(node.identity.role));
    out.String(node.identity.node_id);
    out.Bytes(Raw(node.key));
    out.String(node.token_id);
    WriteTime(out, node.certificate_expiry);
    out.String(node.peer_address);
    out.U8(node.draining ? 1 : 0);
    out.U8(node.revoked ? 1 : 0);
  }
  void operator()(const NodeRenewed& record) const {
    Begin(Tag::kNodeRenewed);
    out.String(record.node_id);
    WriteTime(out, record.certificate_expiry);
  }
  void operator()(const AddressChanged& record) const {
    Begin(Tag::kAddressChanged);
    out.String(record.node_id);
    out.String(record.peer_address);
  }
  void operator()(const DrainChanged& record) const {
    Begin(Tag::kDrainChanged);
    out.String(record.node_id);
    out.U8(record.draining ? 1 : 0);
  }
  void operator()(const NodeRevoked& record) const {
    Begin(Tag::kNodeRevoked);
    out.String(record.node_id);
  }
  void operator()(const TokenCreated& record) const {
    Begin(Tag::kTokenCreated);
    out.String(record.token.id);
    out.U8(static_cast<uint8_t>(record.token.role));
    out.Bytes(Raw(record.token.secret_hash));
    out.U32(record.token.uses_left);
    WriteTime(out, record.token.expiry);
  }
  void operator()(const TokenUsed& record) const {
    Begin(Tag::kTokenUsed);
    out.String(record.token_id);
  }
  void operator()(const TokenForgotten& record) const {
    Begin(Tag::kTokenForgotten);
    out.String(record.token_id);
  }
  void operator()(const ModelSet& record) const {
    Begin(Tag::kModelSet);
    out.Bytes(Raw(record.model.id));
    out.String(record.model.name);
    out.U32(static_cast<uint32_t>(record.model.n_layers));
    out.U32(static_cast<uint32_t>(record.model.n_experts));
    out.Bytes(Raw(record.model.import_key));
  }
  void operator()(const ReplicasSet& record) const {
    Begin(Tag::kReplicasSet);
    out.U32(static_cast<uint32_t>(record.replicas));
  }
  void operator()(const ExpertsPlaced& record) const {
    Begin(Tag::kExpertsPlaced);
    out.String(record.node_id);
    WriteSet(out, record.planned);
    WriteSet(out, record.assigned);
  }
  void operator()(const EpochRaised& record) const {
    Begin(Tag::kEpochRaised);
    out.U64(record.at_least);
  }
};

absl::StatusOr<ClusterRecord> ReadNodeJoined(ByteReader& in) {
  ClusterNode node;
  SHOAL_RETURN_IF_ERROR(ReadRole(in, &node.identity.role));
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &node.identity.node_id));
  SHOAL_RETURN_IF_ERROR(ReadRaw(in, &node.key));
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &node.token_id));
  SHOAL_RETURN_IF_ERROR(ReadTime(in, &node.certificate_expiry));
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxTextBytes, &node.peer_address));
  SHOAL_RETURN_IF_ERROR(ReadFlag(in, &node.draining));
  SHOAL_RETURN_IF_ERROR(ReadFlag(in, &node.revoked));
  return NodeJoined{std::move(node)};
}

absl::StatusOr<ClusterRecord> ReadTokenCreated(ByteReader& in) {
  ClusterToken token;
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &token.id));
  SHOAL_RETURN_IF_ERROR(ReadRole(in, &token.role));
  SHOAL_RETURN_IF_ERROR(ReadRaw(in, &token.secret_hash));
  SHOAL_ASSIGN_OR_RETURN(token.uses_left, in.U32());
  SHOAL_RETURN_IF_ERROR(ReadTime(in, &token.expiry));
  return TokenCreated{std::move(token)};
}

absl::StatusOr<ClusterRecord> ReadModelSet(ByteReader& in) {
  ClusterModel model;
  SHOAL_RETURN_IF_ERROR(ReadRaw(in, &model.id));
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxTextBytes, &model.name));
  SHOAL_RETURN_IF_ERROR(ReadInt(in, kMaxLayers, &model.n_layers));
  SHOAL_RETURN_IF_ERROR(ReadInt(in, kMaxExperts, &model.n_experts));
  SHOAL_RETURN_IF_ERROR(ReadRaw(in, &model.import_key));
  return ModelSet{std::move(model)};
}

absl::StatusOr<ClusterRecord> ReadExpertsPlaced(ByteReader& in) {
  ExpertsPlaced placed;
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &placed.node_id));
  SHOAL_RETURN_IF_ERROR(ReadSet(in, &placed.planned));
  SHOAL_RETURN_IF_ERROR(ReadSet(in, &placed.assigned));
  return placed;
}

absl::StatusOr<ClusterRecord> ReadNodeChange(ByteReader& in, Tag tag) {
  std::string node_id;
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &node_id));
  if (tag == Tag::kNodeRevoked) return NodeRevoked{std::move(node_id)};
  if (tag == Tag::kDrainChanged) {
    bool draining = false;
    SHOAL_RETURN_IF_ERROR(ReadFlag(in, &draining));
    return DrainChanged{std::move(node_id), draining};
  }
  if (tag == Tag::kAddressChanged) {
    std::string address;
    SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxTextBytes, &address));
    return AddressChanged{std::move(node_id), std::move(address)};
  }
  absl::Time expiry;
  SHOAL_RETURN_IF_ERROR(ReadTime(in, &expiry));
  return NodeRenewed{std::move(node_id), expiry};
}

absl::StatusOr<ClusterRecord> ReadTokenChange(ByteReader& in, Tag tag) {
  std::string token_id;
  SHOAL_RETURN_IF_ERROR(ReadText(in, kMaxIdBytes, &token_id));
  if (tag == Tag::kTokenUsed) return TokenUsed{std::move(token_id)};
  return TokenForgotten{std::move(token_id)};
}

absl::StatusOr<ClusterRecord> ReadRecord(ByteReader& in) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t number, in.U8());
  const auto tag = static_cast<Tag>(number);
  switch (tag) {
    case Tag::kNodeJoined:
      return ReadNodeJoined(in);
    case Tag::kNodeRenewed:
    case Tag::kAddressChanged:
    case Tag::kDrainChanged:
    case Tag::kNodeRevoked:
      return ReadNodeChange(in, tag);
    case Tag::kTokenCreated:
      return ReadTokenCreated(in);
    case Tag::kTokenUsed:
    case Tag::kTokenForgotten:
      return ReadTokenChange(in, tag);
    case Tag::kModelSet:
      return ReadModelSet(in);
    case Tag::kReplicasSet: {
      ReplicasSet record;
      SHOAL_RETURN_IF_ERROR(ReadInt(in, kMaxMembers, &record.replicas));
      return record;
    }
    case Tag::kExpertsPlaced:
      return ReadExpertsPlaced(in);
    case Tag::kEpochRaised: {
      SHOAL_ASSIGN_OR_RETURN(const uint64_t at_least, in.U64());
      return EpochRaised{at_least};
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("record of kind ", number, " is unknown"));
}

}  // namespace

std::string EncodeBatch(const ClusterBatch& batch) {
  ByteWriter out;
  out.U32(static_cast<uint32_t>(batch.size()));
  for (const ClusterRecord& record : batch) std::visit(Encoder{out}, record);
  return out.Take();
}

absl::StatusOr<ClusterBatch> DecodeBatch(std::string_view bytes) {
  ByteReader in(bytes);
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_records, in.Count(kMaxRecords, /*min_bytes_each=*/1));
  ClusterBatch batch;
  batch.reserve(n_records);
  for (uint32_t i = 0; i < n_records; ++i) {
    SHOAL_ASSIGN_OR_RETURN(ClusterRecord record, ReadRecord(in));
    batch.push_back(std::move(record));
  }
  SHOAL_RETURN_IF_ERROR(in.ExpectEnd());
  return batch;
}

}  // namespace shoal
