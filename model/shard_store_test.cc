#include "model/shard_store.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/shard.h"
#include "model/shard_testing.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> BytesOf(std::string_view text) { return std::as_bytes(std::span(text)); }

class ShardStoreTest : public testing::Test {
 protected:
  ShardStoreTest() {
    std::string path = testing::TempDir() + "/shard_store_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    store_ = OpenStore("shards");
  }
  ~ShardStoreTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ShardStore> OpenStore(std::string_view name) {
    auto store = ShardStore::Open(MachineFileSystem(), JoinPath(folder_, name));
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  std::string PathOf(const ShardInfo& info) const {
    return JoinPath(store_->directory(), ShardPath(info.hash));
  }
  void Overwrite(const std::string& path, std::string_view bytes) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static bool Serves(ShardStore& store, const TestShard& shard) {
    const auto loaded = store.Load(shard.info);
    return loaded.ok() && loaded->size() == shard.file.size() &&
           std::equal(shard.file.begin(), shard.file.end(),
                      reinterpret_cast<const char*>(loaded->data()));
  }

  std::string folder_;
  std::unique_ptr<ShardStore> store_;
};

TEST_F(ShardStoreTest, ServesWhatItReceived) {
  for (const size_t n : {size_t{0}, size_t{100}, kShardChunkBytes - kShardHeaderBytes,
                         kShardChunkBytes, 2 * kShardChunkBytes + 5}) {
    const TestShard shard = MakeTestShard(n, n + 1);
    EXPECT_FALSE(store_->Has(shard.info));
    EXPECT_EQ(store_->Load(shard.info).status().code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE(PutShard(store_.get(), shard.info, shard.file).ok());
    EXPECT_TRUE(store_->Has(shard.info));
    EXPECT_TRUE(store_->Verify(shard.info).ok());
    EXPECT_TRUE(Serves(*store_, shard)) << n;
  }
  EXPECT_EQ(store_->n_corrupt(), 0U);
}

TEST_F(ShardStoreTest, S21_ABadChunkIsRefusedBeforeItIsWritten) {
  const TestShard shard = MakeTestShard(kShardChunkBytes + 1000, 1);
  const auto incoming = store_->Receive(shard.info);
  ASSERT_TRUE(incoming.ok());
  std::string first = shard.file.substr(0, kShardChunkBytes);
  first[77] ^= 1;
  EXPECT_EQ((*incoming)->Append(BytesOf(first)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*incoming)->Append({}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*incoming)->Append(BytesOf(shard.file)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*incoming)->next_offset(), 0U);
  EXPECT_EQ(std::filesystem::file_size(PathOf(shard.info) + ".part"), 0U);
  EXPECT_EQ((*incoming)->Commit().code(), absl::StatusCode::kFailedPrecondition);

  first[77] ^= 1;
  EXPECT_TRUE((*incoming)->Append(BytesOf(first)).ok());
  EXPECT_EQ((*incoming)->next_bytes(), 1000 + kShardHeaderBytes);
  EXPECT_TRUE((*incoming)->Append(BytesOf(shard.file.substr(kShardChunkBytes))).ok());
  EXPECT_FALSE(store_->Has(shard.info));
  EXPECT_TRUE((*incoming)->Commit().ok());
  EXPECT_TRUE(Serves(*store_, shard));
  EXPECT_EQ((*incoming)->Commit().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ShardStoreTest, S21_GoodChunksOfAWrongWholeAreRefused) {
  TestShard shard = MakeTestShard(kShardChunkBytes, 1);
  shard.info.hash = Sha256({});
  const absl::Status refused = PutShard(store_.get(), shard.info, shard.file);
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the manifest contradicts itself"));
  EXPECT_FALSE(std::filesystem::exists(PathOf(shard.info) + ".part"));
}

TEST_F(ShardStoreTest, ContinuesAtTheLastGoodChunk) {
  const TestShard shard = MakeTestShard(2 * kShardChunkBytes + 5, 1);
  const auto next_offset = [&](std::string_view part) {
    Overwrite(PathOf(shard.info) + ".part", part);
    const auto incoming = store_->Receive(shard.info);
    EXPECT_TRUE(incoming.ok()) << incoming.status();
    return (*incoming)->next_offset();
  };
  EXPECT_EQ(next_offset(""), 0U);
  EXPECT_EQ(next_offset(shard.file.substr(0, kShardChunkBytes)), kShardChunkBytes);
  EXPECT_EQ(next_offset(shard.file.substr(0, kShardChunkBytes + 9)), kShardChunkBytes);
  EXPECT_EQ(next_offset(shard.file + "more"), shard.file.size());
  EXPECT_EQ(next_offset(shard.file), shard.file.size());
  std::string torn = shard.file;
  torn[kShardChunkBytes + 3] ^= 1;
  EXPECT_EQ(next_offset(torn), kShardChunkBytes);
  torn[3] ^= 1;
  EXPECT_EQ(next_offset(torn), 0U);

  Overwrite(PathOf(shard.info) + ".part", shard.file.substr(0, kShardChunkBytes + 9));
  ASSERT_TRUE(PutShard(store_.get(), shard.info, shard.file).ok());
  EXPECT_TRUE(Serves(*store_, shard));
}

TEST_F(ShardStoreTest, ReadsChunksAsTheyAre) {
  const TestShard shard = MakeTestShard(1000, 1);
  ASSERT_TRUE(PutShard(store_.get(), shard.info, shard.file).ok());
  std::string chunk(100, '\0');
  ASSERT_TRUE(
      store_->ReadChunk(shard.info.hash, 64, std::as_writable_bytes(std::span(chunk))).ok());
  EXPECT_EQ(chunk, shard.file.substr(64, 100));
  EXPECT_EQ(
      store_->ReadChunk(shard.info.hash, 1000, std::as_writable_bytes(std::span(chunk))).code(),
      absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->ReadChunk(Sha256({}), 0, {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ShardStoreTest, TakesALinkFromAnotherStore) {
  const auto other = OpenStore("other");
  const TestShard shard = MakeTestShard(1000, 1);
  EXPECT_EQ(store_->TakeFrom(*other, shard.info).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(PutShard(other.get(), shard.info, shard.file).ok());
  EXPECT_TRUE(store_->TakeFrom(*other, shard.info).ok());
  EXPECT_TRUE(store_->TakeFrom(*other, shard.info).ok());  // Once more is fine.
  EXPECT_TRUE(Serves(*store_, shard));
  EXPECT_EQ(std::filesystem::hard_link_count(PathOf(shard.info)), 2U);
  ASSERT_TRUE(other->Remove(shard.info.hash).ok());
  EXPECT_TRUE(Serves(*store_, shard));
}

TEST_F(ShardStoreTest, TakesNothingBadFromAnotherStore) {
  const auto other = OpenStore("other");
  TestShard shard = MakeTestShard(1000, 1);
  shard.file[500] ^= 1;
  Overwrite(JoinPath(other->directory(), ShardPath(shard.info.hash)), shard.file);
  EXPECT_EQ(store_->TakeFrom(*other, shard.info).code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(store_->Has(shard.info));
  EXPECT_FALSE(std::filesystem::exists(PathOf(shard.info) + ".tmp"));
}

TEST_F(ShardStoreTest, S19_OnlyNamesOfSixtyFourHexDigitsAreShards) {
  const TestShard a = MakeTestShard(10, 1);
  ASSERT_TRUE(PutShard(store_.get(), a.info, a.file).ok());
  const std::string hex = ToHex(a.info.hash);
  const std::string folder = JoinPath(store_->directory(), hex.substr(0, 2));
  std::string upper = hex;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  ASSERT_NE(upper, hex);
  for (const std::string& name : {upper, hex.substr(1), hex + "0", std::string("notes")}) {
    Overwrite(JoinPath(folder, name), "x");
  }
  Overwrite(JoinPath(store_->directory(), "zz/" + hex), "x");
  EXPECT_THAT(*store_->List(), ElementsAre(a.info.hash));
  EXPECT_EQ(*store_->Sweep({a.info.hash}), 0U);
  EXPECT_TRUE(std::filesystem::exists(JoinPath(folder, "notes")));
}

TEST_F(ShardStoreTest, SweepsWhatIsNotKept) {
  const TestShard a = MakeTestShard(10, 1);
  const TestShard b = MakeTestShard(20, 2);
  for (const TestShard* shard : {&a, &b}) {
    ASSERT_TRUE(PutShard(store_.get(), shard->info, shard->file).ok());
    Overwrite(PathOf(shard->info) + ".part", "half");
  }
  EXPECT_EQ(*store_->Sweep({a.info.hash}), b.file.size() + 4);
  EXPECT_TRUE(Serves(*store_, a));
  EXPECT_TRUE(std::filesystem::exists(PathOf(a.info) + ".part"));
  EXPECT_FALSE(std::filesystem::exists(PathOf(b.info) + ".part"));
  EXPECT_THAT(*store_->List(), ElementsAre(a.info.hash));
}

TEST_F(ShardStoreTest, AHashThatHoldsDoesNotMakeAShard) {
  TestShard shard = MakeTestShard(100, 1);
  shard.file[0] = 'X';
  shard.info.hash = Sha256(BytesOf(shard.file));
  ASSERT_TRUE(PutShard(store_.get(), shard.info, shard.file).ok());
  const auto refused = store_->Load(shard.info);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("bears its hash but is no shard"));
}

constexpr size_t kPage = 4096;

void SwapPages(std::string& a, size_t page_a, std::string& b, size_t page_b) {
  std::swap_ranges(a.begin() + page_a * kPage, a.begin() + (page_a + 1) * kPage,
                   b.begin() + page_b * kPage);
}

// Goal: no damage to a file is ever served; all of it is noticed and repaired (I5, F11).
// Method: one of eight kinds of damage at a random place of a small or a large shard, 2,000 times.
// Load and Verify take turns; so do the two ways of repair.
TEST_F(ShardStoreTest, F11_TwoThousandMutationsAreFoundAndRepaired) {
  constexpr int kMutations = 2000;
  const auto good = OpenStore("good");
  std::vector<TestShard> shards;
  for (const size_t n : {3 * kPage, 5 * kPage + 17, 9 * kPage})
    shards.push_back(MakeTestShard(n, n));
  shards.push_back(MakeTestShard(kShardChunkBytes + 3 * kPage, 99));
  for (const TestShard& shard : shards) {
    ASSERT_TRUE(PutShard(good.get(), shard.info, shard.file).ok());
  }
  std::mt19937_64 random(41);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int i = 0; i < kMutations; ++i) {
    // One in a hundred is the large one: it costs as much as the others together.
    const size_t at = i % 100 == 99 ? 3 : below(3);
    const TestShard& shard = shards[at];
    std::string bytes = shard.file;
    std::string other = shards[(at + 1) % 3].file;
    const size_t n_pages = bytes.size() / kPage;
    switch (i % 8) {
      case 0:  // One bit.
        bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:  // Cut short, also to nothing.
        bytes.resize(below(bytes.size()));
        break;
      case 2:  // Too long.
        bytes.append(1 + below(2 * kPage), static_cast<char>(random()));
        break;
      case 3:  // A page of zeros.
        bytes.replace(below(n_pages) * kPage, kPage, kPage, '\0');
        break;
      case 4:  // A page of another file.
        SwapPages(bytes, below(n_pages), other, below(other.size() / kPage));
        break;
      case 5:  // Two pages of its own.
        SwapPages(bytes, 0, bytes, 1 + below(n_pages - 1));
        break;
      case 6:  // Another file under this name.
        bytes = other;
        break;
      case 7:  // A stale version of the same length.
        bytes = MakeTestShard(bytes.size() - kShardHeaderBytes, random()).file;
        break;
    }
    ASSERT_NE(bytes, shard.file);
    Overwrite(PathOf(shard.info), bytes);
    const absl::Status found =
        i % 3 == 0 ? store_->Verify(shard.info) : store_->Load(shard.info).status();
    ASSERT_EQ(found.code(), absl::StatusCode::kDataLoss) << i << " " << found;
    ASSERT_EQ(store_->n_corrupt(), static_cast<uint64_t>(i + 1));
    ASSERT_FALSE(std::filesystem::exists(PathOf(shard.info)));
    const absl::Status repaired = i % 2 == 0 ? store_->TakeFrom(*good, shard.info)
                                             : PutShard(store_.get(), shard.info, shard.file);
    ASSERT_TRUE(repaired.ok()) << repaired;
    ASSERT_TRUE(Serves(*store_, shard)) << i;
  }
  for (const TestShard& shard : shards) EXPECT_TRUE(good->Verify(shard.info).ok());
}

// Goal: after a failed sync nothing is believed of what it was to save; an earlier one holds.
TEST(ShardStoreSyncTest, F12_WhatCouldNotBeSyncedIsGone) {
  MemoryFileSystem disk;
  auto opened = ShardStore::Open(&disk, "/shards");
  ASSERT_TRUE(opened.ok()) << opened.status();
  ShardStore& store = **opened;
  const TestShard early = MakeTestShard(1000, 1);
  const TestShard late = MakeTestShard(1000, 2);
  ASSERT_TRUE(PutShard(&store, early.info, early.file).ok());
  EXPECT_TRUE(store.Sync().ok());
  ASSERT_TRUE(PutShard(&store, late.info, late.file).ok());
  disk.FailOperation(0);
  EXPECT_FALSE(store.Sync().ok());
  EXPECT_TRUE(store.Has(early.info));
  EXPECT_FALSE(store.Has(late.info));
  disk.FailOperation(0);
  EXPECT_TRUE(store.Sync().ok());  // Nothing is left to do.
  EXPECT_FALSE(disk.failed());
  disk.FailOperation(-1);
  disk.PowerCut();
  EXPECT_TRUE(store.Verify(early.info).ok());
}

}  // namespace
}  // namespace shoal
