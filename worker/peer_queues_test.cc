#include "worker/peer_queues.h"

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(PeerQueuesTest, PeersTakeTurnsAndEachKeepsItsOrder) {
  PeerQueues<int> queues;
  for (const int item : {1, 2, 3}) ASSERT_TRUE(queues.Push("a", 10, int{item}).ok());
  for (const int item : {11, 12}) ASSERT_TRUE(queues.Push("b", 10, int{item}).ok());
  for (const int expected : {1, 11, 2, 12, 3}) {
    const auto popped = queues.TryPop();
    ASSERT_TRUE(popped.has_value());
    EXPECT_EQ(popped->item, expected);
    EXPECT_EQ(popped->peer, expected < 10 ? "a" : "b");
    queues.Done(popped->peer, popped->n_bytes);
  }
  EXPECT_FALSE(queues.TryPop().has_value());
}

TEST(PeerQueuesTest, S15_CallsOfOnePeerAreBoundedAndDoNotShutOutAnother) {
  PeerQueues<int> queues;
  for (int i = 0; i < kMaxCallsPerPeer; ++i) ASSERT_TRUE(queues.Push("a", 1, int{i}).ok());
  EXPECT_EQ(queues.Push("a", 1, 0).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(queues.Push("b", 1, 0).ok());
  // One that is being computed still counts.
  const auto popped = queues.TryPop();
  EXPECT_EQ(queues.Push("a", 1, 0).code(), absl::StatusCode::kResourceExhausted);
  queues.Done(popped->peer, popped->n_bytes);
  EXPECT_TRUE(queues.Push("a", 1, 0).ok());
}

TEST(PeerQueuesTest, S15_BytesOfOnePeerAreBounded) {
  PeerQueues<int> queues;
  ASSERT_TRUE(queues.Push("a", kMaxCallBytesPerPeer - 5, 1).ok());
  EXPECT_EQ(queues.Push("a", 6, 2).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(queues.Push("a", 5, 3).ok());
  EXPECT_TRUE(queues.Push("b", 6, 4).ok());
}

TEST(PeerQueuesTest, S15_AllPeersTogetherAreBounded) {
  PeerQueues<int> queues;
  for (int i = 0; i < kMaxCalls; ++i) {
    ASSERT_TRUE(queues.Push("peer-" + std::to_string(i / 32), 1, int{i}).ok()) << i;
  }
  EXPECT_EQ(queues.Push("another", 1, 0).code(), absl::StatusCode::kResourceExhausted);

  PeerQueues<int> large;
  for (size_t i = 0; i < kMaxCallBytes / kMaxCallBytesPerPeer; ++i) {
    ASSERT_TRUE(large.Push(std::to_string(i), kMaxCallBytesPerPeer, 0).ok());
  }
  EXPECT_EQ(large.Push("another", 1, 0).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace shoal
