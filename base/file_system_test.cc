#include "base/file_system.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MachineFileSystemTest : public testing::Test {
 protected:
  MachineFileSystemTest() {
    std::string path = testing::TempDir() + "/file_system_XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  ~MachineFileSystemTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(std::string_view name) const { return JoinPath(folder_, name); }
  void Write(std::string_view name, std::string_view bytes) {
    const auto file = files_->Create(Path(name));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(std::as_bytes(std::span(bytes))).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  std::string Contents(std::string_view name) {
    const auto bytes = ReadFile(files_, Path(name), 1 << 20);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *bytes : "";
  }
  unsigned Mode(std::string_view name) const {
    struct stat info = {};
    EXPECT_EQ(stat(Path(name).c_str(), &info), 0);
    return info.st_mode & 0777U;
  }

  FileSystem* const files_ = MachineFileSystem();
  std::string folder_;
};

TEST_F(MachineFileSystemTest, ReadsWhatWasWritten) {
  Write("a", "hello");
  EXPECT_EQ(Contents("a"), "hello");
  const auto file = files_->Open(Path("a"));
  ASSERT_TRUE(file.ok());
  std::string part(3, '\0');
  EXPECT_TRUE((*file)->Read(2, std::as_writable_bytes(std::span(part))).ok());
  EXPECT_EQ(part, "llo");
  EXPECT_EQ((*file)->Read(3, std::as_writable_bytes(std::span(part))).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*file)->Read(UINT64_MAX, std::as_writable_bytes(std::span(part))).code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(MachineFileSystemTest, AFileThatShrinksUnderAReaderIsDataLoss) {
  Write("a", "hello");
  const auto file = files_->Open(Path("a"));
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(Path("a"), 2);
  std::string part(5, '\0');
  EXPECT_EQ((*file)->Read(0, std::as_writable_bytes(std::span(part))).code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(MachineFileSystemTest, FilesAndFoldersAreTheirOwnersOnly) {
  Write("a", "x");
  std::filesystem::permissions(Path("a"), std::filesystem::perms::all);
  Write("a", "y");
  EXPECT_EQ(Mode("a"), 0600U);
  ASSERT_TRUE(files_->CreateDirectories(Path("b/c")).ok());
  EXPECT_EQ(Mode("b"), 0700U);
  EXPECT_EQ(Mode("b/c"), 0700U);
}

TEST_F(MachineFileSystemTest, CreateLeavesOtherNamesOfTheOldFileAlone) {
  Write("a", "old");
  ASSERT_TRUE(files_->Link(Path("a"), Path("b")).ok());
  Write("a", "new");
  EXPECT_EQ(Contents("a"), "new");
  EXPECT_EQ(Contents("b"), "old");
}

TEST_F(MachineFileSystemTest, AppendsAfterWhatIsThere) {
  for (const std::string_view text : {"one ", "two"}) {
    const auto file = files_->OpenToAppend(Path("log"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(std::as_bytes(std::span(text))).ok());
  }
  EXPECT_EQ(Contents("log"), "one two");
}

TEST_F(MachineFileSystemTest, RenamesLinksRemovesAndLists) {
  Write("b", "1");
  Write("a", "2");
  ASSERT_TRUE(files_->Rename(Path("a"), Path("b")).ok());
  EXPECT_EQ(Contents("b"), "2");
  ASSERT_TRUE(files_->Link(Path("b"), Path("c")).ok());
  ASSERT_TRUE(files_->CreateDirectories(Path("a")).ok());
  EXPECT_TRUE(files_->CreateDirectories(Path("a")).ok());
  EXPECT_THAT(*files_->List(folder_), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(files_->Remove(Path("a")).ok());
  EXPECT_TRUE(files_->Remove(Path("b")).ok());
  EXPECT_FALSE(files_->Exists(Path("b")));
  EXPECT_TRUE(files_->Exists(Path("c")));
  EXPECT_TRUE(files_->SyncDirectory(folder_).ok());
  EXPECT_TRUE(files_->SyncAll(folder_).ok());
  EXPECT_GT(*files_->FreeBytes(folder_), 0U);
}

TEST_F(MachineFileSystemTest, ErrorsNameThePathAndTheReason) {
  const auto missing = files_->Open(Path("none"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr(Path("none") + ": open: No such file"));
  EXPECT_EQ(files_->List(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files_->Open(folder_).status().code(), absl::StatusCode::kDataLoss);
  Write("file", "x");
  EXPECT_FALSE(files_->CreateDirectories(Path("file")).ok());
  EXPECT_FALSE(files_->CreateDirectories(Path("file/below")).ok());
}

TEST_F(MachineFileSystemTest, AFullDiskIsResourceExhausted) {
  const auto full = files_->OpenToAppend("/dev/full");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ((*full)->Append(std::as_bytes(std::span("x"))).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(MachineFileSystemTest, ALockIsHeldOnceUntilItGoes) {
  auto first = files_->Lock(Path("lock"));
  ASSERT_TRUE(first.ok());
  const auto second = files_->Lock(Path("lock"));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process holds"));
  first->reset();
  EXPECT_TRUE(files_->Lock(Path("lock")).ok());
}

TEST_F(MachineFileSystemTest, ReplaceFileLeavesNothingBeside) {
  ASSERT_TRUE(ReplaceFile(files_, Path("a"), "old").ok());
  ASSERT_TRUE(ReplaceFile(files_, Path("a"), "new").ok());
  EXPECT_EQ(Contents("a"), "new");
  EXPECT_THAT(*files_->List(folder_), ElementsAre("a"));
  EXPECT_EQ(ReplaceFile(files_, Path("none/a"), "x").code(), absl::StatusCode::kNotFound);
}

TEST_F(MachineFileSystemTest, ReadFileRefusesWhatIsTooLarge) {
  Write("a", "12345");
  EXPECT_EQ(*ReadFile(files_, Path("a"), 5), "12345");
  const auto refused = ReadFile(files_, Path("a"), 4);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("has 5 bytes, at most 4"));
}

TEST(JoinPathTest, PutsOneSlashBetween) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
}

}  // namespace
}  // namespace shoal
