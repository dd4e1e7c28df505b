#include "worker/expert_store.h"

#include <algorithm>
#include <set>
#include <span>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/thread_priority.h"

namespace shoal {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(10);  // Routers hear of a change within 100 ms.
constexpr absl::Duration kBatchTime = absl::Milliseconds(250);
constexpr absl::Duration kShortestRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(10);
constexpr int kMaxDoublings = 7;

absl::Duration RetryAfter(int n_failures) {
  return std::min(kShortestRetry * (1 << std::min(n_failures - 1, kMaxDoublings)), kLongestRetry);
}

bool IsCancelled(const std::atomic<bool>* cancelled) {
  return cancelled != nullptr && cancelled->load();
}

}  // namespace

ExpertStore::ExpertStore(Options options, std::shared_ptr<const Manifest> manifest,
                         std::shared_ptr<Served> served)
    : options_(std::move(options)), manifest_(std::move(manifest)), served_(std::move(served)) {
  const ModelConfig& config = manifest_->config;
  MutexLock lock(&mu_);
  slots_.resize(static_cast<size_t>(config.n_layers) * config.MaxExperts());
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.shard = manifest_->Find(ShardKind::kExpert, LayerOf(i), ExpertOf(i));
    if (slot.shard == nullptr) continue;
    slot.packed_bytes = PackedExpertBytes(*slot.shard, served_->experts().kernels());
  }
}

int ExpertStore::LayerOf(size_t i) const {
  return static_cast<int>(i) / manifest_->config.MaxExperts();
}
int ExpertStore::ExpertOf(size_t i) const {
  return static_cast<int>(i) % manifest_->config.MaxExperts();
}

void ExpertStore::Assign(const ExpertSet& assigned, const ExpertSet& first) {
  const absl::Time now = options_.clock->Now();
  MutexLock lock(&mu_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const bool wanted = slot.shard != nullptr && assigned.Contains(LayerOf(i), ExpertOf(i));
    slot.first = wanted && first.Contains(LayerOf(i), ExpertOf(i));
    if (wanted == slot.assigned) continue;
    slot.assigned = wanted;
    slot.n_failures = 0;
    slot.retry_at = absl::InfinitePast();
    if (wanted) {
      slot.unload_at = absl::InfiniteFuture();
      if (slot.loaded) served_->Advertise(LayerOf(i), ExpertOf(i));
      continue;
    }
    served_->Withdraw(LayerOf(i), ExpertOf(i));
    slot.left_at = now;
    if (slot.loaded) slot.unload_at = now + kGrace;
    trim_files_ = true;
  }
}

absl::Time ExpertStore::RunOnce(const std::atomic<bool>* cancelled) {
  UnloadDue();
  if (options_.n_threads > 1 && !options_.is_busy()) LoadBatch(cancelled);
  if (!LoadNext(/*may_fetch=*/true, cancelled)) TrimFiles();
  return NextTime();
}

void ExpertStore::UnloadDue() {
  const absl::Time now = options_.clock->Now();
  MutexLock lock(&mu_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.unload_at > now) continue;
    served_->experts().Remove(LayerOf(i), ExpertOf(i));
    memory_bytes_ -= slot.packed_bytes;
    slot.loaded = false;
    slot.unload_at = absl::InfiniteFuture();
    trim_files_ = true;
  }
}

// The next expert to work on, marked as taken: those whose file is here before those that must be
// fetched, those that nobody else holds before others, then in the order of layers.
std::optional<size_t> ExpertStore::TakeNext(bool may_fetch) {
  const absl::Time now = options_.clock->Now();
  MutexLock lock(&mu_);
  std::optional<size_t> best;
  const auto rank = [&](size_t i) SHOAL_NO_THREAD_SAFETY_ANALYSIS {
    return std::tuple(slots_[i].file_missing, !slots_[i].first);
  };
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!Wanted(slot) || slot.loading || slot.retry_at > now) continue;
    if (slot.file_missing && !may_fetch) continue;
    if (!best || rank(i) < rank(*best)) best = i;
  }
  if (best) slots_[*best].loading = true;
  return best;
}

// Works on one expert. False when there is none.
bool ExpertStore::LoadNext(bool may_fetch, const std::atomic<bool>* cancelled) {
  if (IsCancelled(cancelled)) return false;
  const std::optional<size_t> i = TakeNext(may_fetch);
  if (!i) return false;
  absl::Status status = FetchFile(*i, cancelled);
  if (status.ok()) status = LoadFile(*i);
  if (!status.ok()) OnFailure(*i, status);
  MutexLock lock(&mu_);
  slots_[*i].loading = false;
  return true;
}

// Loads what lies on this disk, with all threads, as long as no call comes.
void ExpertStore::LoadBatch(const std::atomic<bool>* cancelled) {
  const absl::Time until = options_.clock->Now() + kBatchTime;
  const auto load = [&] {
    while (options_.clock->Now() < until && !options_.is_busy() &&
           LoadNext(/*may_fetch=*/false, cancelled)) {
    }
  };
  if (!LoadNext(/*may_fetch=*/false, cancelled)) return;  // No thread is started for nothing.
  std::vector<std::thread> threads;
  for (int t = 1; t < options_.n_threads; ++t) {
    threads.emplace_back([&] {
      LowerThreadPriority();
      load();
    });
  }
  load();
  for (std::thread& thread : threads) thread.join();
}

absl::Status ExpertStore::FetchFile(size_t i, const std::atomic<bool>* cancelled) {
  const ShardInfo* shard = nullptr;
  {
    MutexLock lock(&mu_);
    if (!slots_[i].file_missing) return absl::OkStatus();
    shard = slots_[i].shard;
  }
  SHOAL_RETURN_IF_ERROR(options_.fetch(*shard, cancelled));
  MutexLock lock(&mu_);
  slots_[i].file_missing = false;
  return absl::OkStatus();
}

absl::Status ExpertStore::LoadFile(size_t i) {
  const ShardInfo* shard = nullptr;
  {
    MutexLock lock(&mu_);
    if (slots_[i].loaded) return absl::OkStatus();
    shard = slots_[i].shard;
  }
  SHOAL_RETURN_IF_ERROR(Reserve(i));
  absl::StatusOr<std::shared_ptr<const ExpertWeights>> weights = ReadAndPack(*shard);
  if (weights.ok()) {
    Publish(i, *std::move(weights));
    return absl::OkStatus();
  }
  MutexLock lock(&mu_);
  memory_bytes_ -= slots_[i].packed_bytes;
  return weights.status();
}

absl::StatusOr<std::shared_ptr<const ExpertWeights>> ExpertStore::ReadAndPack(
    const ShardInfo& shard) const {
  SHOAL_ASSIGN_OR_RETURN(ShardStore::Reader file, options_.files->StartReading(shard));
  SHOAL_ASSIGN_OR_RETURN(
      std::shared_ptr<const ExpertWeights> weights,
      PackExpertShard(
          manifest_->config, shard, [&](std::span<std::byte> piece) { return file.Read(piece); },
          served_->experts().kernels()));
  SHOAL_RETURN_IF_ERROR(file.Finish());
  return weights;
}

// Takes the room for an expert.
absl::Status ExpertStore::Reserve(size_t i) {
  MutexLock lock(&mu_);
  const uint64_t n_bytes = slots_[i].packed_bytes;
  if (memory_bytes_ + n_bytes > options_.memory_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("needs ", n_bytes, " bytes of memory, ", memory_bytes_, " of ",
                     options_.memory_bytes, " are taken; give this worker more (--memory-bytes)"));
  }
  memory_bytes_ += n_bytes;
  return absl::OkStatus();
}

void ExpertStore::Publish(size_t i, std::shared_ptr<const ExpertWeights> weights) {
  served_->experts().Insert(LayerOf(i), ExpertOf(i), std::move(weights));
  const absl::Time now = options_.clock->Now();
  MutexLock lock(&mu_);
  Slot& slot = slots_[i];
  slot.loaded = true;
  slot.n_failures = 0;
  ++counted_.n_loaded;
  if (slot.assigned) {
    served_->Advertise(LayerOf(i), ExpertOf(i));
  } else {
    slot.unload_at = now;  // Given up while it came; nobody has heard of it.
  }
}

// A file that is not here, or was not what its name says, is fetched; at once, if that is new.
// Other failures wait, twice as long after each. What is loaded goes on serving whatever fails here
// (F12).
void ExpertStore::OnFailure(size_t i, const absl::Status& why) {
  if (absl::IsCancelled(why)) return;
  const absl::Time now = options_.clock->Now();
  bool is_news = false;
  {
    MutexLock lock(&mu_);
    Slot& slot = slots_[i];
    if (absl::IsDataLoss(why)) ++counted_.n_corrupt;
    const bool fetch_now = !slot.file_missing && (absl::IsNotFound(why) ||
                                                  (absl::IsDataLoss(why) && slot.n_failures == 0));
    if (absl::IsNotFound(why) || absl::IsDataLoss(why)) slot.file_missing = true;
    if (!(fetch_now && absl::IsNotFound(why))) ++slot.n_failures;
    slot.retry_at = fetch_now ? now : now + RetryAfter(slot.n_failures);
    if (fetch_now && absl::IsNotFound(why)) return;
    ++counted_.n_failed;
    is_news = counted_.last_error != why.message() || slot.n_failures == 1;
    counted_.last_error = std::string(why.message());
  }
  if (!is_news) return;
  Log(absl::IsDataLoss(why) ? LogLevel::kError : LogLevel::kWarning, "expert not loaded",
      {{"layer", LayerOf(i)}, {"expert", ExpertOf(i)}, {"why", std::string(why.message())}});
}

void ExpertStore::OnFileLost(const ShardInfo& shard) {
  MutexLock lock(&mu_);
  ++counted_.n_corrupt;
  const size_t i = static_cast<size_t>(shard.layer) * manifest_->config.MaxExperts() + shard.expert;
  slots_[i].file_missing = true;
}

// Removes files of experts that were given up, those longest ago first, until the rest fits.
void ExpertStore::TrimFiles() {
  std::vector<std::pair<absl::Time, const ShardInfo*>> kept;
  {
    MutexLock lock(&mu_);
    if (!std::exchange(trim_files_, false)) return;
    std::set<Sha256Digest> needed;  // Experts of the same bytes share a file.
    for (const Slot& slot : slots_) {
      if (slot.shard != nullptr && (slot.assigned || slot.loaded || slot.loading)) {
        needed.insert(slot.shard->hash);
      }
    }
    for (const Slot& slot : slots_) {
      if (slot.assigned || slot.loaded || slot.loading || slot.shard == nullptr) continue;
      if (needed.insert(slot.shard->hash).second) kept.emplace_back(slot.left_at, slot.shard);
    }
  }
  std::erase_if(kept, [&](const auto& file) { return !options_.files->Has(*file.second); });
  std::stable_sort(kept.begin(), kept.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  uint64_t n_bytes = 0;
  for (const auto& [left_at, shard] : kept) n_bytes += shard->file_bytes;
  for (const auto& [left_at, shard] : kept) {
    if (n_bytes <= options_.disk_bytes) return;
    // One that is assigned again meanwhile is found missing and fetched.
    const absl::Status removed = options_.files->Remove(shard->hash);
    if (!removed.ok()) {
      Log(LogLevel::kWarning, "shard not removed", {{"why", std::string(removed.message())}});
    }
    n_bytes -= shard->file_bytes;
  }
}

absl::Time ExpertStore::NextTime() const {
  const absl::Time now = options_.clock->Now();
  MutexLock lock(&mu_);
  absl::Time next = absl::InfiniteFuture();
  for (const Slot& slot : slots_) {
    if (Wanted(slot)) next = std::min(next, std::max(slot.retry_at, now));
    next = std::min(next, std::max(slot.unload_at, now));
  }
  return next;
}

ExpertStore::Progress ExpertStore::progress() const {
  MutexLock lock(&mu_);
  Progress progress = counted_;
  progress.memory_bytes = memory_bytes_;
  for (const Slot& slot : slots_) {
    progress.n_assigned += slot.assigned ? 1 : 0;
    progress.n_advertised += slot.assigned && slot.loaded ? 1 : 0;
  }
  return progress;
}

}  // namespace shoal
