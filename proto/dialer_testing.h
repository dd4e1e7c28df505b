#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/transport.h"

namespace shoal {

// Passes everything on: a test changes what it is about.
class ForwardingDialer : public Dialer {
 public:
  explicit ForwardingDialer(std::unique_ptr<Dialer> inner) : inner_(std::move(inner)) {}
  LinkId Dial(const Endpoint& to, StreamKind kind) override { return inner_->Dial(to, kind); }
  absl::StatusOr<LinkId> Connect(const Endpoint& to, StreamKind kind, absl::Time until) override {
    return inner_->Connect(to, kind, until);
  }
  absl::Status Send(LinkId link, FrameBuffer frame) override {
    return inner_->Send(link, std::move(frame));
  }
  void Close(LinkId link) override { inner_->Close(link); }
  std::optional<LinkEvent> Next(absl::Time deadline) override { return inner_->Next(deadline); }

 private:
  const std::unique_ptr<Dialer> inner_;
};

}  // namespace shoal
