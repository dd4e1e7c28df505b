#include "cli/http_get.h"

#include <chrono>
#include <utility>  // Before Asio, which uses std::exchange without it.

#include "absl/strings/str_cat.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "boost/beast/http.hpp"

namespace shoal {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::string_view kScheme = "http://";
constexpr auto kTimeout = std::chrono::seconds(10);
constexpr uint64_t kMaxBody = uint64_t{64} << 20;

// A GET as a chain of steps, each of which begins the next: so that one timer bounds them all.
struct Get {
  asio::io_context io;
  boost::beast::tcp_stream stream{io};
  http::request<http::empty_body> request;
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  error_code result = asio::error::timed_out;

  template <typename Endpoints>
  void Run(const Endpoints& endpoints) {
    parser.body_limit(kMaxBody);
    stream.expires_after(kTimeout);
    stream.async_connect(endpoints, [this](error_code error, const auto&) {
      if (error) return static_cast<void>(result = error);
      http::async_write(stream, request, [this](error_code failed, size_t) {
        if (failed) return static_cast<void>(result = failed);
        http::async_read(stream, buffer, parser, [this](error_code end, size_t) { result = end; });
      });
    });
    io.run();
  }
};

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& url, const std::string& path) {
  const std::string rest = url.starts_with(kScheme) ? url.substr(kScheme.size()) : "";
  const std::string address = rest.substr(0, rest.find('/'));
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--url: '", url, "' is not http://HOST:PORT, such as http://127.0.0.1:9100"));
  }
  std::string host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  Get get;
  get.request.method(http::verb::get);
  get.request.target(path);
  get.request.version(11);
  get.request.set(http::field::host, address);
  error_code error;
  asio::ip::tcp::resolver resolver(get.io);
  const auto endpoints = resolver.resolve(host, address.substr(colon + 1), error);
  if (!error) {
    get.Run(endpoints);
    error = get.result;
  }
  if (error) {
    return absl::UnavailableError(absl::StrCat("no answer from ", url, ": ", error.message()));
  }
  const unsigned status = get.parser.get().result_int();
  if (status == 200) return std::move(get.parser.get().body());
  return absl::UnknownError(absl::StrCat(url, path, " answers ", status));
}

}  // namespace shoal
