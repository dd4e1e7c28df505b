// Any bytes, as a request that a shard server gets, and as the replies that a fetcher gets: the
// server gives nobody what the snapshot does not give it, and the fetcher keeps nothing but the
// file itself. The first byte says which side and what is put right before: chance alone meets no
// checksum. Seeds: tests/data/fuzz/fetch.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "model/shard_testing.h"
#include "proto/cluster_testing.h"
#include "proto/shard_fetcher.h"
#include "proto/shard_service.h"

namespace shoal {
namespace {

constexpr uint8_t kAsFetcher = 1;
constexpr uint8_t kFixChecksum = 2;
constexpr uint8_t kFixId = 4;       // The reply is to what was asked.
constexpr uint8_t kFixPayload = 8;  // It holds the right bytes.
constexpr uint8_t kFixHash = 4;     // The request asks for a file that there is.

std::string MakeFolder() {
  std::string path = "/tmp/fetch_fuzz_XXXXXX";
  SHOAL_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

// A model in a data directory; gone with the process.
struct Origin {
  Origin() {
    data = *DataDirectory::Open(MachineFileSystem(), folder, DataDirectory::Access::kExclusive);
    for (size_t i = 0; i < model.files.size(); ++i) {
      SHOAL_CHECK(PutShard(&data->shards(), model.manifest.shards[i], model.files[i]).ok());
    }
    const std::string bytes = EncodeManifest(model.manifest);
    SHOAL_CHECK(data->WriteModel(SignManifest(bytes, import_key)).ok());
    Snapshot next = MakeTestSnapshot("c1", 1);
    next.model_id = ModelId(bytes);
    next.import_key = import_key.public_key();
    next.members[1].assigned = ExpertSet(2, 3);
    next.members[1].assigned.Insert(1, 2);
    snapshot = std::make_shared<const Snapshot>(std::move(next));
  }
  ~Origin() { std::filesystem::remove_all(folder); }

  const std::string folder = MakeFolder();
  const TestModel model = MakeTestModel(2, 3);
  const Ed25519Key import_key = Ed25519Key::Generate(SystemRandom());
  std::unique_ptr<DataDirectory> data;
  std::shared_ptr<const Snapshot> snapshot;
};

void AsServer(wire::FetchRequest request, uint8_t mode) {
  static Origin origin;
  static ShardService service(origin.data.get(), [] { return origin.snapshot; });
  const auto& shards = origin.model.manifest.shards;
  if ((mode & kFixHash) != 0) {
    const size_t i = request.id() % (shards.size() + 1);
    request.set_hash(DigestBytes(i == shards.size() ? *origin.snapshot->model_id : shards[i].hash));
  }
  const FrameBuffer buffer = service.Answer({NodeRole::kWorker, TestNodeId(2)}, request);
  const auto frame = DecodeFrame(buffer);
  SHOAL_CHECK(frame.ok());
  const wire::FetchReply& reply = frame->header.fetch_reply();
  SHOAL_CHECK_EQ(reply.id(), request.id());
  SHOAL_CHECK(reply.code() != wire::FETCH_CODE_UNSPECIFIED);
  SHOAL_CHECK((reply.code() == wire::FETCH_CODE_OK) == !frame->payload.empty());
  if (reply.code() != wire::FETCH_CODE_OK) return;
  SHOAL_CHECK_LE(frame->payload.size(), size_t{request.n_bytes()});
  const std::string& only =
      origin.model.files[&*std::find_if(shards.begin(), shards.end(), [](const ShardInfo& shard) {
        return shard.layer == 1 && shard.expert == 2;
      }) - shards.data()];
  const bool manifest = request.hash() == DigestBytes(*origin.snapshot->model_id);
  SHOAL_CHECK(manifest || std::memcmp(only.data() + request.offset(), frame->payload.data(),
                                      frame->payload.size()) == 0);
}

// A source that answers every request with the same frame, made to fit as `mode` says.
class FuzzedDialer final : public Dialer {
 public:
  FuzzedDialer(const FrameBuffer* reply, uint8_t mode, const std::string* file)
      : reply_(reply), mode_(mode), file_(file) {}

  LinkId Dial(const Endpoint&, StreamKind) override { return 1; }
  absl::StatusOr<LinkId> Connect(const Endpoint&, StreamKind, absl::Time) override { return 1; }
  absl::Status Send(LinkId, FrameBuffer frame) override {
    const auto asked = DecodeFrame(frame);
    SHOAL_CHECK(asked.ok());
    events_.push_back(Answer(asked->header.fetch_request()));
    return absl::OkStatus();
  }
  void Close(LinkId) override { events_.clear(); }
  // Once it has nothing more to say the link closes.
  std::optional<LinkEvent> Next(absl::Time) override {
    LinkEvent event{.link = 1, .status = absl::UnavailableError("closed"), .frame = {}};
    if (events_.empty()) return event;
    event.status = absl::OkStatus();
    event.frame = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  FrameBuffer Answer(const wire::FetchRequest& request) const {
    auto frame = DecodeFrame(*reply_);
    if (!frame.ok() || !frame->header.has_fetch_reply() || (mode_ & kFixId) == 0) {
      FrameBuffer copy(reply_->size());
      if (copy.size() > 0) std::memcpy(copy.data(), reply_->data(), copy.size());
      return copy;
    }
    frame->header.mutable_fetch_reply()->set_id(request.id());
    std::span<const std::byte> payload = frame->payload;
    if ((mode_ & kFixPayload) != 0) {
      frame->header.mutable_fetch_reply()->set_file_bytes(file_->size());
      payload = std::as_bytes(std::span(*file_)).subspan(request.offset(), request.n_bytes());
    }
    FrameWriter writer(frame->header, payload.size());
    std::copy(payload.begin(), payload.end(), writer.payload().begin());
    return std::move(writer).Finish();
  }

  const FrameBuffer* const reply_;
  const uint8_t mode_;
  const std::string* const file_;
  std::deque<FrameBuffer> events_;
};

void AsFetcher(const FrameBuffer& reply, uint8_t mode) {
  static const std::string folder = MakeFolder();
  static const auto store = *ShardStore::Open(MachineFileSystem(), folder);
  static const TestShard shard = MakeTestShard(300, 1);
  ShardFetcher fetcher(std::make_unique<FuzzedDialer>(&reply, mode, &shard.file));
  const Endpoint sources[] = {{"a"}, {"b"}};
  const absl::Status status = fetcher.Fetch(shard.info, sources, store.get(), nullptr);
  SHOAL_CHECK(status.ok() == store->Has(shard.info));
  if (!status.ok()) return;
  SHOAL_CHECK(store->Verify(shard.info).ok());
  SHOAL_CHECK(store->Remove(shard.info.hash).ok());
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using shoal::kFramePrefixBytes;
  if (size < 1 || size > shoal::kMaxMessageBytes) return 0;
  const uint8_t mode = data[0];
  shoal::FrameBuffer frame(size - 1);
  if (size > 1) std::memcpy(frame.data(), data + 1, size - 1);
  if ((mode & shoal::kFixChecksum) != 0 && frame.size() >= kFramePrefixBytes) {
    const uint32_t crc = shoal::Crc32c(0, frame.data() + 8, frame.size() - 8);
    std::memcpy(frame.data() + 4, &crc, 4);
  }
  if ((mode & shoal::kAsFetcher) != 0) {
    shoal::AsFetcher(frame, mode);
    return 0;
  }
  const auto request = shoal::DecodeFrame(frame);
  if (request.ok() && request->header.has_fetch_request()) {
    shoal::AsServer(request->header.fetch_request(), mode);
  }
  return 0;
}
