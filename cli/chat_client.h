#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace shoal {

// Talks to a chat completions API, one connection a request. Thread-compatible.
class ChatClient {
 public:
  // `url` is http://HOST:PORT. InvalidArgument when it is not. `api_key` goes along with each
  // request; empty: none.
  static absl::StatusOr<ChatClient> Create(const std::string& url, const std::string& api_key);

  // The id of the first model that is served.
  absl::StatusOr<std::string> FirstModel() const;

  enum class End { kFinished, kInterrupted };
  // Sends a request with "stream": true and hands on each piece of the answer. When `interrupt_fd`
  // becomes readable the connection is closed, which stops the answer; that descriptor is not read.
  absl::StatusOr<End> Stream(const std::string& request_json, int interrupt_fd,
                             absl::FunctionRef<void(std::string_view piece)> on_text) const;

 private:
  ChatClient(std::string url, std::string host, std::string port, std::string api_key)
      : url_(std::move(url)),
        host_(std::move(host)),
        port_(std::move(port)),
        api_key_(std::move(api_key)) {}

  const std::string url_;
  const std::string host_;
  const std::string port_;
  const std::string api_key_;
};

}  // namespace shoal
