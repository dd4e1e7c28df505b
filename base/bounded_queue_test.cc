#include "base/bounded_queue.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(BoundedQueueTest, FullRefusesAndLeavesTheItem) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(queue.TryPush(std::move(second)));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(**queue.Pop(), 1);
  EXPECT_FALSE(queue.TryPop());
}

TEST(BoundedQueueTest, CloseDrainsThenEnds) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(7));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(8));
  EXPECT_EQ(queue.Pop(), 7);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, CloseWakesAWaitingPop) {
  BoundedQueue<int> queue(2);
  std::thread waiter([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  queue.Close();
  waiter.join();
}

}  // namespace
}  // namespace shoal
