#include "proto/shard_fetcher.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/shard.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

constexpr size_t kRequestsUnderWay = 2;
constexpr std::chrono::milliseconds kRest{3};
constexpr absl::Duration kCancelPeriod = absl::Milliseconds(50);
// Canonical bytes, key and signature.
constexpr uint64_t kMaxManifestFileBytes = kMaxManifestBytes + 32 + 64;

bool IsSet(const std::atomic<bool>* cancelled) { return cancelled != nullptr && cancelled->load(); }

absl::Status AsStatus(const wire::FetchReply& reply) {
  const std::string why = Quoted(reply.message());
  switch (reply.code()) {
    case wire::FETCH_CODE_OK:
      return absl::OkStatus();
    case wire::FETCH_CODE_NOT_FOUND:
      return absl::NotFoundError(absl::StrCat("has it not: ", why));
    case wire::FETCH_CODE_DENIED:
      return absl::PermissionDeniedError(absl::StrCat("denied: ", why));
    case wire::FETCH_CODE_OVERLOADED:
      return absl::UnavailableError(absl::StrCat("overloaded: ", why));
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("code ", static_cast<int>(reply.code()), ": ", why));
  }
}

bool IsGoodChunk(const ShardInfo& shard, uint64_t offset, std::span<const std::byte> chunk) {
  const size_t i = static_cast<size_t>(offset / kShardChunkBytes);
  const Sha256Digest& expected = shard.chunks.empty() ? shard.hash : shard.chunks[i];
  return Sha256(chunk) == expected;
}

// One line of what each source said.
class Reasons {
 public:
  void Add(const Endpoint& source, const absl::Status& status) {
    absl::StrAppend(&text_, text_.empty() ? "" : "; ", source.address, ": ",
                    std::string(status.message()));
  }
  absl::Status Unavailable(const std::string& what) const {
    return absl::UnavailableError(
        absl::StrCat(what, ": ", text_.empty() ? "no source is known" : text_));
  }

 private:
  std::string text_;
};

}  // namespace

// One file from one source: the requests under way, the oldest first. Replies that come before
// their turn wait for it.
class ShardFetcher::Download {
 public:
  Download(ShardFetcher* fetcher, LinkId link, const Wanted& wanted, Keep keep)
      : fetcher_(*fetcher),
        link_(link),
        wanted_(wanted),
        keep_(keep),
        next_request_(wanted.begin),
        file_bytes_(wanted.file_bytes) {}

  absl::Status Run(const std::atomic<bool>* cancelled) {
    SHOAL_RETURN_IF_ERROR(Ask());
    absl::Time deadline = MonotonicNow() + fetcher_.options_.chunk_timeout;
    while (!under_way_.empty()) {
      if (IsSet(cancelled)) return absl::CancelledError("fetch cancelled");
      const absl::Time now = MonotonicNow();
      if (now >= deadline) {
        return absl::UnavailableError(absl::StrCat(
            "no chunk within ", absl::FormatDuration(fetcher_.options_.chunk_timeout)));
      }
      std::optional<LinkEvent> event = fetcher_.NextEvent(std::min(deadline, now + kCancelPeriod));
      if (!event.has_value()) continue;
      SHOAL_RETURN_IF_ERROR(OnEvent(*std::move(event)));
      const size_t n_kept = n_kept_;
      SHOAL_RETURN_IF_ERROR(KeepInTurn());
      if (n_kept_ == n_kept) continue;
      deadline = MonotonicNow() + fetcher_.options_.chunk_timeout;
      SHOAL_RETURN_IF_ERROR(Ask());
    }
    return absl::OkStatus();
  }

 private:
  struct Request {
    uint64_t id = 0;
    uint64_t offset = 0;
    FrameBuffer buffer;          // Of the reply.
    std::optional<Frame> reply;  // Views `buffer`.
  };

  // Fills the link with requests; of a file of unknown size the first one alone.
  absl::Status Ask() {
    while (under_way_.size() < kRequestsUnderWay &&
           (file_bytes_ == 0 ? under_way_.empty() : next_request_ < file_bytes_)) {
      wire::FrameHeader header;
      wire::FetchRequest& request = *header.mutable_fetch_request();
      request.set_id(fetcher_.next_id_++);
      request.set_hash(wanted_.hash);
      request.set_offset(next_request_);
      request.set_n_bytes(static_cast<uint32_t>(ChunkBytes(next_request_)));
      SHOAL_RETURN_IF_ERROR(fetcher_.dialer_->Send(link_, EncodeFrame(header)));
      under_way_.push_back(
          {.id = request.id(), .offset = next_request_, .buffer = {}, .reply = {}});
      next_request_ += kShardChunkBytes;
    }
    return absl::OkStatus();
  }

  uint64_t ChunkBytes(uint64_t offset) const {
    if (file_bytes_ == 0) return kShardChunkBytes;
    return std::min<uint64_t>(kShardChunkBytes, file_bytes_ - offset);
  }

  absl::Status OnEvent(LinkEvent event) {
    if (event.link != link_) {  // Another source's link, kept for later.
      if (!event.status.ok()) {
        std::erase_if(fetcher_.links_, [&](const auto& of) { return of.second == event.link; });
      } else {
        ++fetcher_.unexpected_frames_;
      }
      return absl::OkStatus();
    }
    if (!event.status.ok()) return event.status;
    FrameBuffer buffer = std::move(event.frame);
    absl::StatusOr<Frame> frame = DecodeFrame(buffer);
    if (!frame.ok() || !frame->header.has_fetch_reply()) {
      ++fetcher_.unexpected_frames_;
      return absl::OkStatus();
    }
    const auto request =
        std::find_if(under_way_.begin(), under_way_.end(), [&](const Request& asked) {
          return asked.id == frame->header.fetch_reply().id() && !asked.reply.has_value();
        });
    if (request == under_way_.end()) {
      ++fetcher_.unexpected_frames_;
      return absl::OkStatus();
    }
    request->buffer = std::move(buffer);  // Its bytes stay where they are.
    request->reply = *std::move(frame);
    return absl::OkStatus();
  }

  absl::Status KeepInTurn() {
    while (!under_way_.empty() && under_way_.front().reply.has_value()) {
      const Request& first = under_way_.front();
      const wire::FetchReply& reply = first.reply->header.fetch_reply();
      SHOAL_RETURN_IF_ERROR(AsStatus(reply));
      SHOAL_RETURN_IF_ERROR(CheckSize(reply));
      if (first.reply->payload.size() != ChunkBytes(first.offset)) {
        ++fetcher_.bad_chunks_;
        return absl::InvalidArgumentError(absl::StrCat("sent ", first.reply->payload.size(),
                                                       " bytes for offset ", first.offset, ", not ",
                                                       ChunkBytes(first.offset)));
      }
      SHOAL_RETURN_IF_ERROR(keep_(first.offset, first.reply->payload));
      fetcher_.bytes_ += first.reply->payload.size();
      ++n_kept_;
      under_way_.pop_front();
    }
    return absl::OkStatus();
  }

  absl::Status CheckSize(const wire::FetchReply& reply) {
    if (file_bytes_ == 0 && reply.file_bytes() > 0 && reply.file_bytes() <= kMaxManifestFileBytes) {
      file_bytes_ = reply.file_bytes();
    }
    if (file_bytes_ != 0 && reply.file_bytes() == file_bytes_) return absl::OkStatus();
    ++fetcher_.bad_chunks_;
    return absl::InvalidArgumentError(
        absl::StrCat("has a file of ", reply.file_bytes(), " bytes, not of ", file_bytes_));
  }

  ShardFetcher& fetcher_;
  const LinkId link_;
  const Wanted& wanted_;
  const Keep keep_;
  std::deque<Request> under_way_;
  uint64_t next_request_;
  uint64_t file_bytes_;
  size_t n_kept_ = 0;
};

// Beside calls, events are looked for now and then, not waited for inside the transport: gRPC would
// let this thread watch the sockets of calls too (worker/worker.cc). Connecting, once a source,
// does wait there.
std::optional<LinkEvent> ShardFetcher::NextEvent(absl::Time until) {
  if (!options_.is_busy()) return dialer_->Next(until);
  std::optional<LinkEvent> event = dialer_->Next(MonotonicNow());
  if (event.has_value()) return event;
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  never.WaitUntil(&mu, std::chrono::steady_clock::now() + kRest);
  return std::nullopt;
}

bool ShardFetcher::IsOwn(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDataLoss(status) ||
         absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status);
}

absl::StatusOr<LinkId> ShardFetcher::LinkTo(const Endpoint& source) {
  const auto key = std::make_pair(source.address, source.node_id);
  const auto found = links_.find(key);
  if (found != links_.end()) return found->second;
  SHOAL_ASSIGN_OR_RETURN(
      const LinkId link,
      dialer_->Connect(source, StreamKind::kFetchShard, MonotonicNow() + options_.connect_timeout));
  links_[key] = link;
  return link;
}

absl::Status ShardFetcher::DownloadFrom(const Endpoint& source, const Wanted& wanted, Keep keep,
                                        const std::atomic<bool>* cancelled) {
  const bool kept_link = links_.contains({source.address, source.node_id});
  SHOAL_ASSIGN_OR_RETURN(const LinkId link, LinkTo(source));
  bool kept_any = false;
  const auto counted = [&](uint64_t offset, std::span<const std::byte> chunk) {
    kept_any = true;
    return keep(offset, chunk);
  };
  const absl::Status status = Download(this, link, wanted, counted).Run(cancelled);
  if (status.ok()) return status;
  // Replies to what was still under way are not waited for.
  dialer_->Close(link);
  links_.erase({source.address, source.node_id});
  // A link that closed since the last file says nothing about the source.
  if (kept_link && !kept_any && absl::IsUnavailable(status) && !IsSet(cancelled)) {
    return DownloadFrom(source, wanted, keep, cancelled);
  }
  return status;
}

absl::Status ShardFetcher::Fetch(const ShardInfo& shard, std::span<const Endpoint> sources,
                                 ShardStore* store, const std::atomic<bool>* cancelled) {
  if (store->Has(shard)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<ShardStore::Incoming> incoming,
                         store->Receive(shard));
  const auto keep = [&](uint64_t offset, std::span<const std::byte> chunk) {
    const absl::Status appended = incoming->Append(chunk);
    if (appended.ok() || IsGoodChunk(shard, offset, chunk)) return appended;
    ++bad_chunks_;
    return absl::InvalidArgumentError(
        absl::StrCat("sent a chunk at offset ", offset, " whose hash differs"));
  };
  Reasons reasons;
  for (const Endpoint& source : sources) {
    if (incoming->next_offset() == shard.file_bytes) break;
    if (IsSet(cancelled)) return absl::CancelledError("fetch cancelled");
    const absl::Status status = DownloadFrom(source,
                                             {.hash = DigestBytes(shard.hash),
                                              .begin = incoming->next_offset(),
                                              .file_bytes = shard.file_bytes},
                                             keep, cancelled);
    if (IsOwn(status)) return status;
    if (!status.ok()) reasons.Add(source, status);
  }
  if (incoming->next_offset() != shard.file_bytes) {
    return reasons.Unavailable(absl::StrCat("shard ", ToHex(shard.hash)));
  }
  return incoming->Commit();
}

absl::StatusOr<std::string> ShardFetcher::FetchManifest(const Sha256Digest& model_id,
                                                        const Ed25519PublicKey& import_key,
                                                        std::span<const Endpoint> sources,
                                                        const std::atomic<bool>* cancelled) {
  Reasons reasons;
  for (const Endpoint& source : sources) {
    if (IsSet(cancelled)) return absl::CancelledError("fetch cancelled");
    std::string file;
    const auto keep = [&](uint64_t /*offset*/, std::span<const std::byte> chunk) {
      file.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
      return absl::OkStatus();
    };
    absl::Status status = DownloadFrom(
        source, {.hash = DigestBytes(model_id), .begin = 0, .file_bytes = 0}, keep, cancelled);
    if (absl::IsCancelled(status)) return status;
    if (status.ok()) {
      const absl::StatusOr<SignedManifest> manifest = ReadSignedManifest(file);
      if (manifest.ok() && manifest->id == model_id && manifest->signer == import_key) return file;
      ++bad_chunks_;
      status = manifest.ok() ? absl::PermissionDeniedError(
                                   "sent another manifest, or one that the "
                                   "cluster's import key did not sign")
                             : manifest.status();
    }
    reasons.Add(source, status);
  }
  return reasons.Unavailable(absl::StrCat("manifest of model ", ToHex(model_id)));
}

}  // namespace shoal
