#include "coordinator/file_store.h"

#include <string>
#include <vector>

#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPath[] = "/log/state.log";

void MakeFolder(MemoryFileSystem* disk) { ASSERT_TRUE(disk->CreateDirectories("/log").ok()); }

// What the file holds now, by a store that claims it.
std::vector<std::string> Contents(FileSystem* disk) {
  FileStore store(disk, kPath);
  const auto claim = store.Claim();
  EXPECT_TRUE(claim.ok()) << claim.status();
  return claim.ok() ? *store.ReadAll() : std::vector<std::string>{};
}

TEST(FileStoreTest, EntriesComeBackInOrder) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  FileStore store(&disk, kPath);
  const auto claim = store.Claim();
  ASSERT_TRUE(claim.ok()) << claim.status();
  ASSERT_TRUE(store.Append(*claim, "one").ok());
  ASSERT_TRUE(store.Append(*claim, std::string(70000, 'x')).ok());
  EXPECT_THAT(Contents(&disk), ElementsAre("one", std::string(70000, 'x')));
}

TEST(FileStoreTest, CompactionLeavesOneEntry) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  FileStore store(&disk, kPath);
  const uint64_t claim = *store.Claim();
  ASSERT_TRUE(store.Append(claim, "one").ok());
  ASSERT_TRUE(store.Append(claim, "two").ok());
  const uint64_t before = store.n_bytes();
  ASSERT_TRUE(store.Compact(claim, "both").ok());
  EXPECT_LT(store.n_bytes(), before);
  ASSERT_TRUE(store.Append(claim, "three").ok());
  EXPECT_THAT(Contents(&disk), ElementsAre("both", "three"));
}

TEST(FileStoreTest, WhoClaimedEarlierCannotWrite) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  FileStore old_store(&disk, kPath);
  const uint64_t old_claim = *old_store.Claim();
  ASSERT_TRUE(old_store.Append(old_claim, "old").ok());
  FileStore store(&disk, kPath);
  const uint64_t claim = *store.Claim();
  EXPECT_GT(claim, old_claim);
  EXPECT_EQ(old_store.Append(old_claim, "late").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(old_store.Compact(old_claim, "late").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store.Append(old_claim, "late").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(store.Append(claim, "young").ok());
  EXPECT_THAT(Contents(&disk), ElementsAre("old", "young"));
}

TEST(FileStoreTest, RefusesEntriesOutOfBounds) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  FileStore store(&disk, kPath);
  const uint64_t claim = *store.Claim();
  EXPECT_EQ(store.Append(claim, "").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store.Append(claim, std::string((8 << 20) + 1, 'x')).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(FileStoreTest, ATornTailIsDroppedAtEveryLength) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  FileStore store(&disk, kPath);
  const uint64_t claim = *store.Claim();
  ASSERT_TRUE(store.Append(claim, "acknowledged").ok());
  const uint64_t whole = store.n_bytes();
  ASSERT_TRUE(store.Append(claim, "torn by the power cut").ok());
  const std::string file = *ReadFile(&disk, kPath, 1 << 20);
  for (size_t n = whole; n < file.size(); ++n) {
    ASSERT_TRUE(ReplaceFile(&disk, kPath, file.substr(0, n)).ok());
    EXPECT_THAT(Contents(&disk), ElementsAre("acknowledged")) << n;
    ASSERT_TRUE(
        ReplaceFile(&disk, kPath, file.substr(0, n) + std::string(file.size() - n, '\0')).ok());
    EXPECT_THAT(Contents(&disk), ElementsAre("acknowledged")) << n;
  }
}

TEST(FileStoreTest, DamageBeforeAWholeEntryIsToldAndNeverDropped) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  uint64_t first_end = 0;
  {
    FileStore store(&disk, kPath);
    const uint64_t claim = *store.Claim();
    ASSERT_TRUE(store.Append(claim, "first").ok());
    first_end = store.n_bytes();
    ASSERT_TRUE(store.Append(claim, "second").ok());
  }
  const std::string file = *ReadFile(&disk, kPath, 1 << 20);
  for (uint64_t bit = 0; bit < first_end * 8; ++bit) {
    ASSERT_TRUE(ReplaceFile(&disk, kPath, file).ok());
    disk.FlipBit(kPath, bit);
    FileStore store(&disk, kPath);
    EXPECT_FALSE(store.Claim().ok()) << "bit " << bit;
  }
}

TEST(FileStoreTest, SaysWhichVersionItReads) {
  MemoryFileSystem disk;
  MakeFolder(&disk);
  { ASSERT_TRUE(FileStore(&disk, kPath).Claim().ok()); }
  disk.FlipBit(kPath, 8 * 8 + 1);  // Version 1 becomes 3.
  const auto claim = FileStore(&disk, kPath).Claim();
  EXPECT_EQ(claim.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(claim.status().message()), HasSubstr("version 3"));
}

// One life of a store: appends entries 0, 1, ... and compacts in between, each attempt repeated
// once. Returns the acknowledged ones; what a compaction made of them is one entry.
std::vector<std::string> Work(FileSystem* disk, int* claims_failed) {
  FileStore store(disk, kPath);
  absl::StatusOr<uint64_t> claim = store.Claim();
  if (!claim.ok()) claim = store.Claim();
  if (!claim.ok()) {
    ++*claims_failed;
    return {};
  }
  std::vector<std::string> kept = *store.ReadAll();
  for (int i = 0; i < 6; ++i) {
    const std::string entry = "entry " + std::to_string(i) + std::string(100, '.');
    if (store.Append(*claim, entry).ok() || store.Append(*claim, entry).ok()) kept.push_back(entry);
    if (i != 3) continue;
    std::string all;
    for (const std::string& e : kept) all += e;
    if (store.Compact(*claim, all).ok()) kept = {all};
  }
  return kept;
}

// Goal: every n-th operation may fail, and after it the power: what was acknowledged is there.
TEST(FileStoreTest, F12_WhateverFailsAcknowledgedEntriesStay) {
  int64_t n = 0;
  for (bool failed = true; failed; ++n) {
    ASSERT_LT(n, 1000);
    for (const bool cut : {false, true}) {
      MemoryFileSystem disk(static_cast<uint64_t>(n) * 2 + 17);
      MakeFolder(&disk);
      int claims_failed = 0;
      disk.FailOperation(n);
      const std::vector<std::string> kept = Work(&disk, &claims_failed);
      failed = disk.failed();
      disk.FailOperation(-1);
      if (cut) disk.PowerCut();
      EXPECT_EQ(claims_failed, 0);
      EXPECT_EQ(Contents(&disk), kept) << "operation " << n << (cut ? ", power cut" : "");
    }
  }
  EXPECT_GT(n, 30);
}

// Goal: the power goes at every operation. What was acknowledged is there, in order, and at most
// the entry that was under way follows.
TEST(FileStoreTest, F13_APowerCutAnywhereLosesNothingAcknowledged) {
  for (int64_t n = 0;; ++n) {
    ASSERT_LT(n, 1000);
    MemoryFileSystem disk(static_cast<uint64_t>(n) + 5);
    MakeFolder(&disk);
    std::vector<std::string> kept;
    bool died = false;
    {
      FileStore store(&disk, kPath);
      disk.FailOperation(n);
      const auto claim = store.Claim();
      died = !claim.ok();
      for (int i = 0; i < 5 && !died; ++i) {
        const std::string entry = "entry " + std::to_string(i) + std::string(100, '.');
        died = !store.Append(*claim, entry).ok();
        if (!died) kept.push_back(entry);
      }
      disk.TurnOff();
    }
    disk.PowerCut();
    std::vector<std::string> found = Contents(&disk);
    ASSERT_GE(found.size(), kept.size()) << n;
    ASSERT_LE(found.size(), kept.size() + 1) << n;
    found.resize(kept.size());
    EXPECT_EQ(found, kept) << n;
    if (!died) break;
  }
}

}  // namespace
}  // namespace shoal
