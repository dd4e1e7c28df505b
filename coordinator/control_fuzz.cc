// Any bytes, as the header of a frame on a coordinator's control stream, from every role and from a
// node that belongs: each gets exactly one answer, nothing crashes, and what the state has become
// still survives its log. The first byte says who asks and whether a clock's second passes. Seeds,
// one of each request: tests/data/fuzz/control.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/crc32c.h"
#include "coordinator/cluster_testing.h"

namespace shoal {
namespace {

struct Target {
  Target() {
    auto started = TestCoordinator::Start(&disk, &clock);
    SHOAL_CHECK(started.ok());
    test = *std::move(started);
    worker = test->JoinNew(wire::ROLE_WORKER);
    router = test->JoinNew(wire::ROLE_ROUTER);
    test->SetModel(test->AddModel(2, 3));
    test->Report(worker, 1 << 20, 10);
    test->Run(&clock, absl::Seconds(1));
  }
  Caller Who(uint8_t choice) const {
    switch (choice % 5) {
      case 0:
        return {{}, 900};
      case 1:
        return worker;
      case 2:
        return router;
      case 3:
        return {test->authority().coordinator(), 901};
      default:
        return {test->authority().admin(), 902};
    }
  }
  MemoryFileSystem disk;
  ManualClock clock;
  std::unique_ptr<TestCoordinator> test;
  Caller worker;
  Caller router;
};

// A frame around a header of any bytes, its checksum right.
FrameBuffer FrameAround(const uint8_t* data, size_t size) {
  FrameBuffer frame(FrameBytes(size, 0));
  std::memset(frame.data(), 0, frame.size());
  const uint32_t words[] = {kFrameMagic, 0, static_cast<uint32_t>(size), 0};
  std::memcpy(frame.data(), words, sizeof(words));
  if (size > 0) std::memcpy(frame.data() + kFramePrefixBytes, data, size);
  const uint32_t crc = Crc32c(0, frame.data() + 8, frame.size() - 8);
  std::memcpy(frame.data() + 4, &crc, 4);
  return frame;
}

void CheckLog(Cluster& cluster) {
  const auto batch = DecodeBatch(EncodeBatch(cluster.state().Everything()));
  SHOAL_CHECK(batch.ok());
  ClusterState again;
  SHOAL_CHECK(again.Apply(*batch).ok());
  SHOAL_CHECK_EQ(EncodeBatch(again.Everything()), EncodeBatch(cluster.state().Everything()));
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal;  // NOLINT
  if (size < 1 || size > kMaxFrameHeaderBytes) return 0;
  static std::unique_ptr<Target> target;
  static int n_runs = 0;
  if (target == nullptr || ++n_runs % 1000 == 0) target = std::make_unique<Target>();
  const uint64_t epoch = target->test->epoch();
  target->test->AskRaw(target->Who(data[0]), FrameAround(data + 1, size - 1));
  if (data[0] >= 128) target->test->Run(&target->clock, absl::Seconds(1));
  SHOAL_CHECK_LE(epoch, target->test->epoch());
  if (n_runs % 16 == 0) CheckLog(target->test->cluster());
  return 0;
}
