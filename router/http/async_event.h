#pragma once

#include <chrono>
#include <utility>

#include "boost/asio/awaitable.hpp"
#include "boost/asio/redirect_error.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/use_awaitable.hpp"

namespace shoal {

// Something that one coroutine waits for and others of its thread set. Owned by the server's
// thread.
class AsyncEvent {
 public:
  explicit AsyncEvent(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  void Set() {
    set_ = true;
    timer_.cancel();
  }

  // Waits until Set, or for `timeout`; says which, and is unset afterwards.
  boost::asio::awaitable<bool> WaitFor(std::chrono::steady_clock::duration timeout) {
    if (!set_) {
      boost::system::error_code ignored;
      timer_.expires_after(timeout);
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    co_return std::exchange(set_, false);
  }

  boost::asio::awaitable<void> Wait() {
    bool set = false;
    while (!set) set = co_await WaitFor(std::chrono::hours(1));
  }

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace shoal
