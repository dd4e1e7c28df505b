// Writes the seeds of the snapshot and fetch fuzzers, each behind the byte that says what the
// fuzzer puts right.
// Usage: make_cluster_seeds FOLDER, which gets snapshot/ and fetch/
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/check.h"
#include "proto/cluster.pb.h"
#include "proto/cluster_testing.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

void Write(const std::string& path, char mode, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.put(mode).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  SHOAL_CHECK(file.good());
}

void WriteFrame(const std::string& path, char mode, const wire::FrameHeader& header,
                size_t payload_bytes = 0) {
  FrameWriter writer(header, payload_bytes);
  std::fill(writer.payload().begin(), writer.payload().end(), std::byte{0x41});
  const FrameBuffer frame = std::move(writer).Finish();
  Write(path, mode, {reinterpret_cast<const char*>(frame.data()), frame.size()});
}

void MakeSnapshots(const std::string& folder) {
  const TestAuthority ca;
  Snapshot empty;
  empty.cluster_id = "c1";
  empty.epoch = 1;
  empty.issued = absl::UnixEpoch();
  int n = 0;
  for (const Snapshot& snapshot : {MakeTestSnapshot("c1", 7), MakeTestSnapshot("c2", 7), empty}) {
    const std::string bytes = SignSnapshot(snapshot, ca.key());
    wire::SignedSnapshot outer;
    SHOAL_CHECK(outer.ParseFromString(bytes));
    Write(folder + "/snapshot-" + std::to_string(n), 1, outer.snapshot());
    Write(folder + "/signed-" + std::to_string(n), 0, bytes);
    ++n;
  }
}

void MakeFetches(const std::string& folder) {
  for (int i = 0; i < 4; ++i) {
    wire::FrameHeader header;
    wire::FetchRequest& request = *header.mutable_fetch_request();
    request.set_id(i * 5);
    request.set_hash(std::string(32, 'h'));
    request.set_offset(i * 100);
    request.set_n_bytes(i == 3 ? 1 << 22 : 200);
    WriteFrame(folder + "/request-" + std::to_string(i), 2 + 4, header);
  }
  int n = 0;
  for (const wire::FetchCode code : {wire::FETCH_CODE_OK, wire::FETCH_CODE_NOT_FOUND,
                                     wire::FETCH_CODE_DENIED, wire::FETCH_CODE_OVERLOADED}) {
    wire::FrameHeader header;
    wire::FetchReply& reply = *header.mutable_fetch_reply();
    reply.set_id(1);
    reply.set_code(code);
    reply.set_file_bytes(364);
    WriteFrame(folder + "/reply-" + std::to_string(n), 1 + 2 + 4 + (n % 2 == 0 ? 8 : 0), header,
               code == wire::FETCH_CODE_OK ? 364 : 0);
    ++n;
  }
  wire::FrameHeader header;
  header.mutable_fetch_reply()->set_id(1);
  header.mutable_fetch_reply()->set_code(wire::FETCH_CODE_OK);
  WriteFrame(folder + "/reply-good", 1 + 2 + 4 + 8, header);
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  for (const char* const name : {"/snapshot", "/fetch"}) {
    std::filesystem::create_directories(folder + name);
  }
  shoal::MakeSnapshots(folder + "/snapshot");
  shoal::MakeFetches(folder + "/fetch");
  return 0;
}
