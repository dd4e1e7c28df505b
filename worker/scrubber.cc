#include "worker/scrubber.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"

namespace shoal {
namespace {

constexpr double kMaxBytesPerS = 5e6;
constexpr absl::Duration kRound = absl::Hours(20);  // Leaves room to be late.
constexpr absl::Duration kEmptyRound = absl::Minutes(1);

}  // namespace

Scrubber::Scrubber(Options options, std::shared_ptr<const Manifest> manifest)
    : options_(std::move(options)), manifest_(std::move(manifest)), due_(options_.clock->Now()) {}

absl::Time Scrubber::RunOnce() {
  const absl::Time now = options_.clock->Now();
  if (now < due_) return due_;
  if (next_ == round_.size()) {
    BeginRound();
    // What has just been loaded was checked then: the first file too waits for its turn.
    due_ = now + (round_.empty()
                      ? kEmptyRound
                      : absl::Seconds(static_cast<double>(round_[0]->file_bytes) / bytes_per_s_));
    return due_;
  }
  const ShardInfo& shard = *round_[next_++];
  const absl::Status status = options_.files->Verify(shard);
  if (absl::IsDataLoss(status)) {
    Log(LogLevel::kError, "stored shard is corrupt", {{"why", std::string(status.message())}});
    options_.on_corrupt(shard);
  }
  bytes_checked_ += shard.file_bytes;
  const uint64_t next_bytes = next_ < round_.size() ? round_[next_]->file_bytes : shard.file_bytes;
  due_ = now + absl::Seconds(static_cast<double>(next_bytes) / bytes_per_s_);
  return due_;
}

void Scrubber::BeginRound() {
  round_.clear();
  next_ = 0;
  double n_bytes = 0;
  for (const ShardInfo& shard : manifest_->shards) {
    if (shard.kind != ShardKind::kExpert || !options_.files->Has(shard)) continue;
    round_.push_back(&shard);
    n_bytes += static_cast<double>(shard.file_bytes);
  }
  bytes_per_s_ = std::min(n_bytes / absl::ToDoubleSeconds(kRound), kMaxBytesPerS);
}

}  // namespace shoal
