#include "proto/shard_service.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "model/shard.h"

namespace shoal {
namespace {

bool MayHave(const NodeIdentity& peer, const Snapshot& snapshot, const ShardInfo& shard) {
  if (peer.role == NodeRole::kCoordinator) return true;
  if (peer.role == NodeRole::kRouter) return shard.kind != ShardKind::kExpert;
  const Snapshot::Member* member = snapshot.Find(peer.node_id);
  return shard.kind == ShardKind::kExpert && member != nullptr &&
         member->assigned.Contains(shard.layer, shard.expert);
}

// Whether the node belongs at all. The coordinator is no member of its own snapshots.
bool Belongs(const NodeIdentity& peer, const Snapshot& snapshot) {
  if (snapshot.IsRevoked(peer.node_id)) return false;
  if (peer.role == NodeRole::kCoordinator) return true;
  const Snapshot::Member* member = snapshot.Find(peer.node_id);
  return member != nullptr && member->node == peer;
}

// The piece that was asked for, read by `read`, or why not.
FrameBuffer Piece(const wire::FetchRequest& request, uint64_t file_bytes,
                  absl::FunctionRef<absl::Status(std::span<std::byte> out)> read) {
  if (request.offset() >= file_bytes) {
    return ShardService::Refusal(
        request.id(), wire::FETCH_CODE_BAD_RANGE,
        absl::StrCat("offset ", request.offset(), " of a file of ", file_bytes, " bytes"));
  }
  const uint64_t n = std::min<uint64_t>(request.n_bytes(), file_bytes - request.offset());
  wire::FrameHeader header;
  wire::FetchReply& reply = *header.mutable_fetch_reply();
  reply.set_id(request.id());
  reply.set_code(wire::FETCH_CODE_OK);
  reply.set_file_bytes(file_bytes);
  FrameWriter writer(header, static_cast<size_t>(n));
  const absl::Status status = read(writer.payload());
  if (!status.ok()) {
    return ShardService::Refusal(request.id(), wire::FETCH_CODE_NOT_FOUND, "it is not here");
  }
  return std::move(writer).Finish();
}

}  // namespace

FrameBuffer ShardService::Refusal(uint64_t id, wire::FetchCode code, const std::string& why) {
  wire::FrameHeader header;
  wire::FetchReply& reply = *header.mutable_fetch_reply();
  reply.set_id(id);
  reply.set_code(code);
  reply.set_message(why);
  return EncodeFrame(header);
}

const ShardService::Served* ShardService::FindServed(const Sha256Digest& model_id) {
  if (served_ != nullptr && served_->id == model_id) return served_.get();
  absl::StatusOr<std::string> file = data_->ReadModelFile(model_id);
  if (!file.ok()) return nullptr;
  absl::StatusOr<SignedManifest> read = ReadSignedManifest(*file);
  if (!read.ok()) return nullptr;
  auto next = std::make_unique<Served>();
  next->id = model_id;
  next->file = *std::move(file);
  next->manifest = std::move(read->manifest);
  for (const ShardInfo& shard : next->manifest.shards) next->shards[shard.hash].push_back(&shard);
  served_ = std::move(next);
  return served_.get();
}

FrameBuffer ShardService::AnswerManifest(const wire::FetchRequest& request) const {
  const std::string& file = served_->file;
  return Piece(request, file.size(), [&](std::span<std::byte> out) {
    std::memcpy(out.data(), file.data() + request.offset(), out.size());
    return absl::OkStatus();
  });
}

FrameBuffer ShardService::AnswerShard(const wire::FetchRequest& request,
                                      const ShardInfo& shard) const {
  return Piece(request, shard.file_bytes, [&](std::span<std::byte> out) {
    return data_->shards().ReadChunk(shard.hash, request.offset(), out);
  });
}

FrameBuffer ShardService::Answer(const NodeIdentity& peer, const wire::FetchRequest& request) {
  const auto refuse = [&](wire::FetchCode code, const std::string& why) {
    return Refusal(request.id(), code, why);
  };
  // No path is built from anything but such a digest (S19).
  const std::optional<Sha256Digest> hash = DigestFromBytes(request.hash());
  if (!hash.has_value()) {
    return refuse(wire::FETCH_CODE_BAD_RANGE,
                  absl::StrCat("hash of ", request.hash().size(), " bytes, not 32"));
  }
  if (request.n_bytes() < 1 || request.n_bytes() > kShardChunkBytes) {
    return refuse(wire::FETCH_CODE_BAD_RANGE, absl::StrCat("n_bytes=", request.n_bytes(),
                                                           " not in [1, ", kShardChunkBytes, "]"));
  }
  const std::shared_ptr<const Snapshot> snapshot = snapshot_();
  if (snapshot == nullptr || !Belongs(peer, *snapshot)) {
    return refuse(wire::FETCH_CODE_DENIED, "no member of the snapshot in force here");
  }
  if (!snapshot->model_id.has_value()) {
    return refuse(wire::FETCH_CODE_NOT_FOUND, "no model is served");
  }
  const Served* served = FindServed(*snapshot->model_id);
  if (served == nullptr) {
    return refuse(wire::FETCH_CODE_NOT_FOUND, "the model's manifest is not here");
  }
  if (*hash == served->id) return AnswerManifest(request);
  const auto found = served->shards.find(*hash);
  if (found == served->shards.end()) {
    return refuse(wire::FETCH_CODE_NOT_FOUND, "no shard of the model that is served");
  }
  for (const ShardInfo* shard : found->second) {
    if (MayHave(peer, *snapshot, *shard)) return AnswerShard(request, *shard);
  }
  return refuse(wire::FETCH_CODE_DENIED, "the snapshot does not give this shard to you");
}

}  // namespace shoal
