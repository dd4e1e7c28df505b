// Shards and manifests from node to node: fetcher, service and server over the in-process network.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard.h"
#include "model/shard_testing.h"
#include "proto/cluster_testing.h"
#include "proto/dialer_testing.h"
#include "proto/frame_codec.h"
#include "proto/in_process_transport.h"
#include "proto/shard_fetcher.h"
#include "proto/shard_server.h"
#include "proto/shard_service.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

const NodeIdentity kCoordinator{NodeRole::kCoordinator, TestNodeId(0xC0)};
const NodeIdentity kRouter{NodeRole::kRouter, TestNodeId(1)};
const NodeIdentity kWorker{NodeRole::kWorker, TestNodeId(2)};  // Holds experts 0.
const NodeIdentity kPeer{NodeRole::kWorker, TestNodeId(3)};    // Holds all.

constexpr int kNLayers = 2;
constexpr int kNExperts = 3;

// A listener whose answers a test makes.
class ScriptedSource {
 public:
  // Nothing: no answer.
  using Answer = std::function<std::vector<FrameBuffer>(const wire::FetchRequest&)>;
  ScriptedSource(InProcessNetwork* network, const std::string& address, Answer answer)
      : listener_(*network->Listen(address, kPeer)), answer_(std::move(answer)) {
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        listener_->Poll(StreamKind::kFetchShard, MonotonicNow() + absl::Seconds(1),
                        [&](LinkId from, const NodeIdentity&, FrameBuffer buffer) {
                          const auto frame = DecodeFrame(buffer);
                          if (!frame.ok()) return;
                          ++n_requests;
                          for (FrameBuffer& reply : answer_(frame->header.fetch_request())) {
                            (void)listener_->Send(StreamKind::kFetchShard, from, std::move(reply));
                          }
                        });
      }
    });
  }
  ~ScriptedSource() {
    stop_.store(true);
    listener_->Wake(StreamKind::kFetchShard);
    thread_.join();
  }

  std::atomic<int> n_requests{0};

 private:
  const std::unique_ptr<Listener> listener_;
  const Answer answer_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

FrameBuffer Piece(const wire::FetchRequest& request, std::string_view file) {
  wire::FrameHeader header;
  wire::FetchReply& reply = *header.mutable_fetch_reply();
  reply.set_id(request.id());
  reply.set_code(wire::FETCH_CODE_OK);
  reply.set_file_bytes(file.size());
  const std::string_view bytes = file.substr(request.offset(), request.n_bytes());
  FrameWriter writer(header, bytes.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(writer.payload().data()));
  return std::move(writer).Finish();
}

std::vector<FrameBuffer> One(FrameBuffer frame) {
  std::vector<FrameBuffer> frames;
  frames.push_back(std::move(frame));
  return frames;
}

class ShardTransferTest : public testing::Test {
 protected:
  ShardTransferTest() {
    data_ = OpenData("origin");
    for (size_t i = 0; i < model_.files.size(); ++i) {
      EXPECT_TRUE(PutShard(&data_->shards(), model_.manifest.shards[i], model_.files[i]).ok());
    }
    EXPECT_TRUE(data_->WriteModel(signed_manifest_).ok());
    SetSnapshot();
    store_ = *ShardStore::Open(MachineFileSystem(), folder_ + "/store");
  }
  ~ShardTransferTest() override { std::filesystem::remove_all(folder_); }

  static std::string MakeFolder() {
    std::string path = testing::TempDir() + "/transfer_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  std::unique_ptr<DataDirectory> OpenData(const std::string& name) const {
    return *DataDirectory::Open(MachineFileSystem(), folder_ + "/" + name,
                                DataDirectory::Access::kExclusive);
  }
  void SetSnapshot() {
    Snapshot snapshot = MakeTestSnapshot("c1", 1);
    snapshot.model_id = model_id_;
    snapshot.import_key = import_key_.public_key();
    snapshot.members[1].assigned = ExpertSet(kNLayers, kNExperts);
    for (int layer = 0; layer < kNLayers; ++layer) snapshot.members[1].assigned.Insert(layer, 0);
    snapshot_ = std::make_shared<const Snapshot>(std::move(snapshot));
  }
  std::unique_ptr<ShardServer> Serve(Listener* listener) {
    return ShardServer::Start(
        {.listener = listener, .data = data_.get(), .snapshot = [this] { return snapshot_; }});
  }
  ShardFetcher NewFetcher(const NodeIdentity& self = kWorker) {
    return ShardFetcher(network_.NewDialer(self),
                        {.connect_timeout = absl::Seconds(3), .chunk_timeout = absl::Seconds(1)});
  }
  const ShardInfo& Expert(int layer, int expert) const {
    return *model_.manifest.Find(ShardKind::kExpert, layer, expert);
  }
  bool StoreServes(const ShardInfo& info, std::string_view file) {
    const auto loaded = store_->Load(info);
    return loaded.ok() &&
           std::string_view(reinterpret_cast<const char*>(loaded->data()), loaded->size()) == file;
  }

  const std::string folder_ = MakeFolder();
  const TestModel model_ = MakeTestModel(kNLayers, kNExperts);
  const std::string manifest_bytes_ = EncodeManifest(model_.manifest);
  const Sha256Digest model_id_ = ModelId(manifest_bytes_);
  const Ed25519Key import_key_ = Ed25519Key::Generate(SystemRandom());
  const std::string signed_manifest_ = SignManifest(manifest_bytes_, import_key_);
  const TestShard large_ = MakeTestShard(3 * kShardChunkBytes + 1000, 5);  // Four chunks.
  InProcessNetwork network_;
  std::unique_ptr<DataDirectory> data_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::unique_ptr<ShardStore> store_;
};

// --- Who gets what.

class ShardServiceTest : public ShardTransferTest {
 protected:
  wire::FetchCode Ask(const NodeIdentity& peer, const Sha256Digest& hash) {
    return AskPiece(peer, DigestBytes(hash), 0, 100);
  }
  wire::FetchCode AskPiece(const NodeIdentity& peer, const std::string& hash, uint64_t offset,
                           uint32_t n_bytes) {
    wire::FetchRequest request;
    request.set_id(7);
    request.set_hash(hash);
    request.set_offset(offset);
    request.set_n_bytes(n_bytes);
    const FrameBuffer reply = service_.Answer(peer, request);
    const auto frame = DecodeFrame(reply);
    EXPECT_TRUE(frame.ok());
    EXPECT_EQ(frame->header.fetch_reply().id(), 7U);
    n_payload_ = frame->payload.size();
    return frame->header.fetch_reply().code();
  }

  ShardService service_{data_.get(), [this] { return snapshot_; }};
  size_t n_payload_ = 0;
};

TEST_F(ShardServiceTest, S04_EachGetsWhatTheSnapshotGivesIt) {
  for (const ShardInfo& shard : model_.manifest.shards) {
    const bool expert = shard.kind == ShardKind::kExpert;
    const auto code = [](bool may) { return may ? wire::FETCH_CODE_OK : wire::FETCH_CODE_DENIED; };
    EXPECT_EQ(Ask(kCoordinator, shard.hash), wire::FETCH_CODE_OK);
    EXPECT_EQ(Ask(kRouter, shard.hash), code(!expert));
    EXPECT_EQ(Ask(kWorker, shard.hash), code(expert && shard.expert == 0));
    EXPECT_EQ(Ask(kPeer, shard.hash), code(expert));
  }
  for (const NodeIdentity& peer : {kCoordinator, kRouter, kWorker, kPeer}) {
    EXPECT_EQ(Ask(peer, model_id_), wire::FETCH_CODE_OK);
  }
}

TEST_F(ShardServiceTest, StrangersAndTheRevokedGetNothing) {
  const NodeIdentity strangers[] = {
      {NodeRole::kWorker, TestNodeId(77)},  // No member.
      {NodeRole::kRouter, TestNodeId(2)},   // A member of another role.
      {NodeRole::kWorker, TestNodeId(8)},   // Revoked.
      {},
  };
  for (const NodeIdentity& peer : strangers) {
    EXPECT_EQ(Ask(peer, model_id_), wire::FETCH_CODE_DENIED);
    EXPECT_EQ(Ask(peer, Expert(0, 0).hash), wire::FETCH_CODE_DENIED);
  }
  snapshot_ = nullptr;
  EXPECT_EQ(Ask(kCoordinator, model_id_), wire::FETCH_CODE_DENIED);
}

TEST_F(ShardServiceTest, S19_OnlyTheModelsOwnFilesAreFound) {
  EXPECT_EQ(Ask(kCoordinator, large_.info.hash), wire::FETCH_CODE_NOT_FOUND);
  for (const std::string& hash : {std::string(), std::string("../VERSION"), std::string(31, 'a'),
                                  std::string(33, 'a'), ToHex(model_id_)}) {
    EXPECT_EQ(AskPiece(kCoordinator, hash, 0, 1), wire::FETCH_CODE_BAD_RANGE);
  }
}

TEST_F(ShardServiceTest, RangesAreChecked) {
  const ShardInfo& shard = Expert(0, 0);
  const std::string hash = DigestBytes(shard.hash);
  EXPECT_EQ(AskPiece(kWorker, hash, shard.file_bytes - 1, 100), wire::FETCH_CODE_OK);
  EXPECT_EQ(n_payload_, 1U);
  EXPECT_EQ(AskPiece(kWorker, hash, shard.file_bytes, 1), wire::FETCH_CODE_BAD_RANGE);
  EXPECT_EQ(AskPiece(kWorker, hash, ~uint64_t{0}, 1), wire::FETCH_CODE_BAD_RANGE);
  EXPECT_EQ(AskPiece(kWorker, hash, 0, 0), wire::FETCH_CODE_BAD_RANGE);
  EXPECT_EQ(AskPiece(kWorker, hash, 0, kShardChunkBytes + 1), wire::FETCH_CODE_BAD_RANGE);
}

// --- Fetching.

TEST_F(ShardTransferTest, AWorkerGetsItsShardsAndTheManifest) {
  const auto listener = *network_.Listen("origin", kCoordinator);
  const auto server = Serve(listener.get());
  const Endpoint sources[] = {{"origin", NodeRole::kCoordinator, {}}};
  ShardFetcher fetcher = NewFetcher();
  uint64_t n_bytes = 0;
  for (int layer = 0; layer < kNLayers; ++layer) {
    const ShardInfo& shard = Expert(layer, 0);
    ASSERT_TRUE(fetcher.Fetch(shard, sources, store_.get(), nullptr).ok());
    EXPECT_TRUE(store_->Verify(shard).ok());
    n_bytes += shard.file_bytes;
  }
  const auto manifest =
      fetcher.FetchManifest(model_id_, import_key_.public_key(), sources, nullptr);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(*manifest, signed_manifest_);
  EXPECT_EQ(fetcher.counters().bytes, n_bytes + signed_manifest_.size());
  EXPECT_EQ(fetcher.counters().bad_chunks, 0U);
}

TEST_F(ShardTransferTest, WhatIsHereIsNotFetched) {
  ASSERT_TRUE(PutShard(store_.get(), large_.info, large_.file).ok());
  ShardFetcher fetcher = NewFetcher();
  EXPECT_TRUE(fetcher.Fetch(large_.info, {}, store_.get(), nullptr).ok());
  EXPECT_EQ(fetcher.counters().bytes, 0U);
}

TEST_F(ShardTransferTest, AFailureSaysWhatEachSourceSaid) {
  const auto listener = *network_.Listen("origin", kCoordinator);
  const auto server = Serve(listener.get());
  ShardFetcher fetcher = NewFetcher();
  const Endpoint sources[] = {{"gone", NodeRole::kWorker, {}},
                              {"origin", NodeRole::kCoordinator, {}}};
  const absl::Status denied = fetcher.Fetch(Expert(0, 1), sources, store_.get(), nullptr);
  EXPECT_TRUE(absl::IsUnavailable(denied));
  EXPECT_THAT(std::string(denied.message()), HasSubstr(ToHex(Expert(0, 1).hash)));
  EXPECT_THAT(std::string(denied.message()), HasSubstr("gone: nobody"));
  EXPECT_THAT(std::string(denied.message()), HasSubstr("origin: denied"));
  EXPECT_FALSE(store_->Has(Expert(0, 1)));
  EXPECT_TRUE(absl::IsUnavailable(fetcher.Fetch(Expert(0, 0), {}, store_.get(), nullptr)));
}

TEST_F(ShardTransferTest, TwoChunksAreUnderWayAtATime) {
  std::vector<wire::FetchRequest> held;
  int most = 0;
  ScriptedSource source(&network_, "a", [&](const wire::FetchRequest& request) {
    held.push_back(request);
    most = std::max(most, static_cast<int>(held.size()));
    std::vector<FrameBuffer> replies;
    // Answers only once the second request is there, and the last one at the end.
    const bool last = request.offset() + kShardChunkBytes >= large_.file.size();
    while (held.size() > (last ? 0 : 1)) {
      replies.push_back(Piece(held.front(), large_.file));
      held.erase(held.begin());
    }
    return replies;
  });
  const Endpoint sources[] = {{"a"}};
  ShardFetcher fetcher = NewFetcher();
  ASSERT_TRUE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
  EXPECT_EQ(most, 2);
}

TEST_F(ShardTransferTest, RepliesOutOfOrderAreKeptInOrder) {
  std::vector<wire::FetchRequest> held;
  ScriptedSource source(&network_, "a", [&](const wire::FetchRequest& request) {
    std::vector<FrameBuffer> replies;
    held.push_back(request);
    if (held.size() < 2) return replies;
    replies.push_back(Piece(held[1], large_.file));
    replies.push_back(Piece(held[0], large_.file));
    held.clear();
    return replies;
  });
  const Endpoint sources[] = {{"a"}};
  ShardFetcher fetcher = NewFetcher();
  const absl::Status status = fetcher.Fetch(large_.info, sources, store_.get(), nullptr);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
}

// Goal: a bad chunk costs its sender, not the node: what had arrived before stays.
TEST_F(ShardTransferTest, S21_ACorruptSourceIsLeftForTheNext) {
  std::string corrupt = large_.file;
  corrupt[kShardChunkBytes + 12345] ^= 1;
  ScriptedSource bad(&network_, "bad",
                     [&](const wire::FetchRequest& r) { return One(Piece(r, corrupt)); });
  ScriptedSource good(&network_, "good",
                      [&](const wire::FetchRequest& r) { return One(Piece(r, large_.file)); });
  const Endpoint sources[] = {{"bad"}, {"good"}};
  ShardFetcher fetcher = NewFetcher();
  ASSERT_TRUE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
  EXPECT_EQ(fetcher.counters().bad_chunks, 1U);
  EXPECT_EQ(good.n_requests.load(), 3);  // The first chunk came from the bad one.
  EXPECT_EQ(fetcher.counters().bytes, large_.file.size());
}

TEST_F(ShardTransferTest, AllSourcesBadLeavesNothingThatCountsAsAShard) {
  std::string corrupt = large_.file;
  corrupt[5] ^= 1;
  ScriptedSource a(&network_, "a",
                   [&](const wire::FetchRequest& r) { return One(Piece(r, corrupt)); });
  ScriptedSource b(&network_, "b", [&](const wire::FetchRequest& r) {
    return One(Piece(r, large_.file.substr(0, 2 * kShardChunkBytes)));  // Another size.
  });
  const Endpoint sources[] = {{"a"}, {"b"}};
  ShardFetcher fetcher = NewFetcher();
  EXPECT_TRUE(absl::IsUnavailable(fetcher.Fetch(large_.info, sources, store_.get(), nullptr)));
  EXPECT_EQ(fetcher.counters().bad_chunks, 2U);
  EXPECT_FALSE(store_->Has(large_.info));
}

TEST_F(ShardTransferTest, AHungSourceIsLeftAfterTheChunksDeadline) {
  ScriptedSource hung(&network_, "hung",
                      [](const wire::FetchRequest&) { return std::vector<FrameBuffer>(); });
  ScriptedSource good(&network_, "good",
                      [&](const wire::FetchRequest& r) { return One(Piece(r, large_.file)); });
  const Endpoint sources[] = {{"hung"}, {"good"}};
  ShardFetcher fetcher = NewFetcher();
  const absl::Time start = MonotonicNow();
  ASSERT_TRUE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  EXPECT_GE(MonotonicNow() - start, absl::Seconds(1));
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
}

TEST_F(ShardTransferTest, AnInterruptedFetchGoesOnWhereItWas) {
  const Endpoint sources[] = {{"a"}};
  {
    ScriptedSource source(&network_, "a", [&](const wire::FetchRequest& r) {
      if (r.offset() >= 2 * kShardChunkBytes) return std::vector<FrameBuffer>();
      return One(Piece(r, large_.file));
    });
    ShardFetcher fetcher = NewFetcher();
    EXPECT_FALSE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  }
  store_ = *ShardStore::Open(MachineFileSystem(), folder_ + "/store");  // As after a restart.
  ScriptedSource source(&network_, "a",
                        [&](const wire::FetchRequest& r) { return One(Piece(r, large_.file)); });
  ShardFetcher fetcher = NewFetcher();
  ASSERT_TRUE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  EXPECT_EQ(fetcher.counters().bytes, large_.file.size() - 2 * kShardChunkBytes);
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
}

// Goal: duplicate, late, unknown and damaged replies are dropped and counted, and change nothing.
TEST_F(ShardTransferTest, F23_UnexpectedRepliesAreDroppedAndCounted) {
  ScriptedSource source(&network_, "a", [&](const wire::FetchRequest& request) {
    std::vector<FrameBuffer> replies;
    wire::FetchRequest unknown = request;
    unknown.set_id(request.id() + 1000);
    unknown.set_offset(0);
    replies.push_back(Piece(unknown, large_.file));
    FrameBuffer damaged = Piece(request, large_.file);
    damaged.data()[damaged.size() - 1] ^= std::byte{1};
    replies.push_back(std::move(damaged));
    wire::FrameHeader other;
    other.mutable_status_reply();
    replies.push_back(EncodeFrame(other));
    replies.push_back(Piece(request, large_.file));
    replies.push_back(Piece(request, large_.file));  // Twice.
    return replies;
  });
  const Endpoint sources[] = {{"a"}};
  ShardFetcher fetcher = NewFetcher();
  ASSERT_TRUE(fetcher.Fetch(large_.info, sources, store_.get(), nullptr).ok());
  EXPECT_TRUE(StoreServes(large_.info, large_.file));
  // Three before each of the four chunks, and the doubles but for the last one's.
  EXPECT_GE(fetcher.counters().unexpected_frames, 15U);
  EXPECT_EQ(fetcher.counters().bytes, large_.file.size());
  EXPECT_EQ(fetcher.counters().bad_chunks, 0U);
}

TEST_F(ShardTransferTest, CancelEndsAFetch) {
  std::atomic<bool> cancelled{false};
  ScriptedSource source(&network_, "a", [&](const wire::FetchRequest&) {
    cancelled.store(true);
    return std::vector<FrameBuffer>();
  });
  const Endpoint sources[] = {{"a"}};
  ShardFetcher fetcher(network_.NewDialer(kWorker));  // A chunk may take 10 s.
  const absl::Time start = MonotonicNow();
  EXPECT_TRUE(absl::IsCancelled(fetcher.Fetch(large_.info, sources, store_.get(), &cancelled)));
  EXPECT_LT(MonotonicNow() - start, absl::Seconds(5));
}

TEST_F(ShardTransferTest, S20_AManifestOfAnotherKeyOrModelIsLeft) {
  const Ed25519Key other_key = Ed25519Key::Generate(SystemRandom());
  const std::string files[] = {
      SignManifest(manifest_bytes_, other_key),
      SignManifest(EncodeManifest(MakeTestModel(2, 3, 9).manifest), import_key_),
      signed_manifest_.substr(0, signed_manifest_.size() - 1),
  };
  ShardFetcher fetcher = NewFetcher();
  const Endpoint sources[] = {{"bad"}};
  for (const std::string& file : files) {
    ScriptedSource bad(&network_, "bad",
                       [&](const wire::FetchRequest& r) { return One(Piece(r, file)); });
    EXPECT_TRUE(absl::IsUnavailable(
        fetcher.FetchManifest(model_id_, import_key_.public_key(), sources, nullptr).status()));
  }
  EXPECT_EQ(fetcher.counters().bad_chunks, 3U);
}

// --- The server's thread.

TEST_F(ShardTransferTest, I6_BeyondItsQueueTheServerIsOverloaded) {
  const auto listener = *network_.Listen("origin", kCoordinator);
  const auto dialer = network_.NewDialer(kWorker);
  const LinkId link = *dialer->Connect({"origin", NodeRole::kCoordinator, {}},
                                       StreamKind::kFetchShard, MonotonicNow() + absl::Seconds(5));
  constexpr int kSent = kMaxFetchesPerLink + 3;
  for (int i = 0; i < kSent; ++i) {
    wire::FrameHeader header;
    header.mutable_fetch_request()->set_id(i);
    header.mutable_fetch_request()->set_hash(DigestBytes(Expert(0, 0).hash));
    header.mutable_fetch_request()->set_n_bytes(100);
    ASSERT_TRUE(dialer->Send(link, EncodeFrame(header)).ok());
  }
  ASSERT_TRUE(dialer->Send(link, FrameBuffer(10)).ok());  // No frame: no answer.
  const auto server = Serve(listener.get());              // All of them are there already.
  int n_ok = 0;
  int n_overloaded = 0;
  for (int i = 0; i < kSent; ++i) {
    const auto event = dialer->Next(MonotonicNow() + absl::Seconds(20));
    ASSERT_TRUE(event.has_value());
    const auto frame = DecodeFrame(event->frame);
    ASSERT_TRUE(frame.ok());
    n_ok += frame->header.fetch_reply().code() == wire::FETCH_CODE_OK ? 1 : 0;
    n_overloaded += frame->header.fetch_reply().code() == wire::FETCH_CODE_OVERLOADED ? 1 : 0;
  }
  EXPECT_EQ(n_ok, kMaxFetchesPerLink);
  EXPECT_EQ(n_overloaded, 3);
  EXPECT_EQ(server->counters().unexpected_frames, 1U);
}

// Counts waits inside the transport.
class WatchedDialer final : public ForwardingDialer {
 public:
  WatchedDialer(std::unique_ptr<Dialer> inner, std::atomic<int>* n_waits)
      : ForwardingDialer(std::move(inner)), n_waits_(n_waits) {}
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    if (deadline > MonotonicNow()) ++*n_waits_;
    return ForwardingDialer::Next(deadline);
  }

 private:
  std::atomic<int>* const n_waits_;
};

class WatchedListener final : public Listener {
 public:
  WatchedListener(Listener* inner, std::atomic<int>* n_waits) : inner_(inner), n_waits_(n_waits) {}
  const std::string& address() const override { return inner_->address(); }
  bool Poll(StreamKind kind, absl::Time deadline, FrameHandler handler) override {
    if (deadline > MonotonicNow()) ++*n_waits_;
    return inner_->Poll(kind, deadline, handler);
  }
  absl::Status Send(StreamKind kind, LinkId link, FrameBuffer frame) override {
    return inner_->Send(kind, link, std::move(frame));
  }
  bool IsOpen(StreamKind kind, LinkId link) override { return inner_->IsOpen(kind, link); }
  void Wake(StreamKind kind) override { inner_->Wake(kind); }

 private:
  Listener* const inner_;
  std::atomic<int>* const n_waits_;
};

// Goal: nodes that compute give and take shards, and never wait for them inside the transport.
TEST_F(ShardTransferTest, BusyNodesGiveAndTake) {
  std::atomic<int> n_waits{0};
  const auto inner = *network_.Listen("origin", kCoordinator);
  WatchedListener listener(inner.get(), &n_waits);
  const auto busy = [] { return true; };
  const auto server = ShardServer::Start({.listener = &listener,
                                          .data = data_.get(),
                                          .snapshot = [this] { return snapshot_; },
                                          .is_busy = busy});
  const Endpoint sources[] = {{"origin", NodeRole::kCoordinator, {}}};
  ShardFetcher fetcher(std::make_unique<WatchedDialer>(network_.NewDialer(kWorker), &n_waits),
                       {.is_busy = busy});
  ASSERT_TRUE(fetcher.FetchManifest(model_id_, import_key_.public_key(), sources, nullptr).ok());
  for (int layer = 0; layer < kNLayers; ++layer) {
    ASSERT_TRUE(fetcher.Fetch(Expert(layer, 0), sources, store_.get(), nullptr).ok());
    EXPECT_TRUE(store_->Verify(Expert(layer, 0)).ok());
  }
  EXPECT_EQ(n_waits.load(), 0);
}

}  // namespace
}  // namespace shoal
