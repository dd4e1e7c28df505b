// Writes the frame fuzzer's seeds: frames as a router and its workers really exchange them, each
// behind the bytes that tell the fuzzer to put checksum and length right and to move nothing.
// Usage: make_frame_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "tests/support/random_experts.h"
#include "tests/support/test_cluster.h"

namespace shoal {
namespace {

class RecordingDialer final : public Dialer {
 public:
  RecordingDialer(std::unique_ptr<Dialer> inner, std::string folder)
      : inner_(std::move(inner)), folder_(std::move(folder)) {}
  LinkId Dial(const Endpoint& to, StreamKind kind) override { return inner_->Dial(to, kind); }
  void Close(LinkId link) override { inner_->Close(link); }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind,
                                 absl::Time deadline) override {
    return inner_->Connect(to, kind, deadline);
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    Write("request", frame);
    return inner_->Send(link, std::move(frame));
  }
  std::optional<LinkEvent> Next(absl::Time deadline) override {
    std::optional<LinkEvent> event = inner_->Next(deadline);
    if (event.has_value() && event->status.ok()) Write("reply", event->frame);
    return event;
  }

 private:
  void Write(const std::string& kind, const FrameBuffer& frame) {
    std::ofstream file(folder_ + "/" + kind + "-" + std::to_string(n_++), std::ios::binary);
    file.put(3).put(0).put(0);
    file.write(reinterpret_cast<const char*>(frame.data()),
               static_cast<std::streamsize>(frame.size()));
  }

  std::unique_ptr<Dialer> inner_;
  const std::string folder_;
  int n_ = 0;
};

void MakeSeeds(const std::string& folder) {
  const ModelConfig config = TinyExpertsConfig();
  const auto weights = RandomExpertWeights(config, DType::kQ8_0, 11);
  InProcessNetwork network;
  const auto cluster = TestCluster::Start(config, *weights, 2, network);
  auto remote = TestCluster::Connect(cluster->options(), cluster->members(),
                                     std::make_unique<RecordingDialer>(network.NewDialer(), folder),
                                     network.NewDialer());
  SHOAL_CHECK(remote.ok());
  for (const int n_tokens : {1, 2, 16}) {
    const RandomRows rows(config, n_tokens, 70 + n_tokens);
    Mat<float> out(n_tokens, config.hidden_dim);
    ExpertCall call = (*remote)->Start(n_tokens % 2, rows.x.view(), rows.routing, {});
    SHOAL_CHECK((*remote)->Finish(std::move(call), out.view()).ok());
  }
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_frame_seeds FOLDER\n");
    return 2;
  }
  shoal::MakeSeeds(argv[1]);
  return 0;
}
