// What a frame of 4 KiB and its echo cost over loopback.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "proto/grpc_transport.h"
#include "tests/support/test_credentials.h"

namespace shoal {
namespace {

constexpr StreamKind kKind = StreamKind::kRunExperts;

absl::Time Soon() { return MonotonicNow() + absl::Seconds(20); }

void RunEcho(benchmark::State& state, GrpcOptions listening, GrpcOptions dialling) {
  const auto listener = *ListenGrpc("127.0.0.1:0", {.transport = std::move(listening)});
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    while (!stop.load()) {
      listener->Poll(kKind, Soon(), [&](LinkId from, const NodeIdentity&, FrameBuffer frame) {
        (void)listener->Send(kKind, from, std::move(frame));
      });
    }
  });
  const auto dialer = NewGrpcDialer(std::move(dialling));
  const LinkId link = *dialer->Connect({.address = listener->address()}, kKind, Soon());
  for (auto _ : state) {
    FrameBuffer frame(static_cast<size_t>(state.range(0)));
    std::memset(frame.data(), 1, frame.size());
    SHOAL_CHECK(dialer->Send(link, std::move(frame)).ok());
    SHOAL_CHECK(dialer->Next(Soon())->status.ok());
  }
  state.SetBytesProcessed(2 * state.iterations() * state.range(0));
  stop.store(true);
  listener->Wake(kKind);
  thread.join();
}

void BM_EchoTls(benchmark::State& state) {
  const TestCa ca;
  RunEcho(state, {.credentials = ca.Source(NodeRole::kWorker)},
          {.credentials = ca.Source(NodeRole::kRouter)});
}
BENCHMARK(BM_EchoTls)->Arg(4096)->Arg(65536)->Arg(1 << 20)->UseRealTime();

void BM_EchoPlain(benchmark::State& state) { RunEcho(state, {}, {}); }
BENCHMARK(BM_EchoPlain)->Arg(4096)->Arg(65536)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace shoal
