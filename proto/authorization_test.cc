#include "proto/authorization.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

constexpr NodeRole kRoles[] = {NodeRole::kNone, NodeRole::kCoordinator, NodeRole::kRouter,
                               NodeRole::kWorker, NodeRole::kAdmin};
constexpr StreamKind kKinds[] = {StreamKind::kRunExperts, StreamKind::kHealth, StreamKind::kControl,
                                 StreamKind::kFetchShard};

NodeIdentity Caller(NodeRole role) { return {role, "0123456789abcdef"}; }

wire::FrameHeader Join() {
  wire::FrameHeader header;
  header.mutable_control_request()->mutable_join();
  return header;
}

TEST(AuthorizationTest, EveryMethodHasOneRule) {
  ASSERT_EQ(MethodRules().size(), 13U);
  for (size_t i = 0; i < MethodRules().size(); ++i) {
    EXPECT_EQ(MethodRules()[i].method, static_cast<Method>(i));
    EXPECT_NE(MethodRules()[i].callers, 0);
  }
}

TEST(AuthorizationTest, S04_OnlyTheRolesOfTheTableMayCall) {
  wire::FrameHeader run;
  run.mutable_run_experts_request();
  wire::FrameHeader drain;
  drain.mutable_control_request()->mutable_drain();
  wire::FrameHeader fetch;
  fetch.mutable_fetch_request();
  for (const NodeRole role : kRoles) {
    const NodeIdentity caller = Caller(role);
    EXPECT_EQ(CheckCall(run, StreamKind::kRunExperts, caller).ok(), role == NodeRole::kRouter);
    EXPECT_EQ(CheckCall(drain, StreamKind::kControl, caller).ok(), role == NodeRole::kAdmin);
    EXPECT_EQ(CheckCall(Join(), StreamKind::kControl, caller).ok(), role == NodeRole::kNone);
    EXPECT_EQ(CheckCall(fetch, StreamKind::kFetchShard, caller).ok(),
              role != NodeRole::kNone && role != NodeRole::kAdmin);
  }
  EXPECT_EQ(CheckCall(run, StreamKind::kRunExperts, Caller(NodeRole::kWorker)),
            absl::PermissionDeniedError("RunExperts: not for a worker"));
  EXPECT_EQ(CheckCall(drain, StreamKind::kControl, Caller(NodeRole::kNone)),
            absl::PermissionDeniedError("Drain needs a certificate"));
}

TEST(AuthorizationTest, RequestsTravelOnTheirOwnStreamOnly) {
  for (const StreamKind kind : kKinds) {
    const absl::Status status = CheckCall(Join(), kind, Caller(NodeRole::kNone));
    EXPECT_EQ(status.code(), kind == StreamKind::kControl ? absl::StatusCode::kOk
                                                          : absl::StatusCode::kInvalidArgument);
  }
}

TEST(AuthorizationTest, RepliesAndEmptyFramesAreNoRequests) {
  wire::FrameHeader reply;
  reply.mutable_control_reply()->mutable_join();
  wire::FrameHeader empty_request;
  empty_request.mutable_control_request()->set_id(7);
  for (const wire::FrameHeader& header : {wire::FrameHeader{}, reply, empty_request}) {
    EXPECT_EQ(CheckCall(header, StreamKind::kControl, Caller(NodeRole::kAdmin)).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace shoal
