// A whole router with the bundled model, and clients that speak to it byte by byte.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "router/router.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

// A client's socket; closed by Close or at the end.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Client() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // Sends all of `bytes`, or as much as a server that closes takes.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // What comes until it contains `end`, or the server closes.
  std::string ReadUntil(std::string_view end) {
    while (received_.find(end) == std::string::npos) {
      char piece[4096];
      const ssize_t n = recv(fd_, piece, sizeof(piece), 0);
      if (n <= 0) return std::exchange(received_, "");
      received_.append(piece, static_cast<size_t>(n));
    }
    const size_t length = received_.find(end) + end.size();
    std::string out = received_.substr(0, length);
    received_.erase(0, length);
    return out;
  }
  std::string ReadAll() { return ReadUntil(std::string_view("\0never", 6)); }

 private:
  int fd_;
  std::string received_;
};

std::string Post(std::string_view path, std::string_view body, std::string_view more_fields = "") {
  return absl::StrCat("POST ", std::string(path), " HTTP/1.1\r\nHost: a\r\n",
                      std::string(more_fields), "Content-Length: ", body.size(), "\r\n\r\n",
                      std::string(body));
}

// An answer of n_tokens to a short prompt.
std::string Completion(int n_tokens, bool stream) {
  return Post("/v1/completions",
              absl::StrCat(R"({"model": "tales", "prompt": "A fox", "temperature": 0, )",
                           R"("ignore_eos": true, "max_tokens": )", n_tokens, R"(, "stream": )",
                           stream ? "true" : "false", "}"));
}

class RouterHttpTest : public testing::Test {
 protected:
  void Start(HttpServer::Options http = {}, size_t max_queued = 8) {
    tokenizer_ = *Tokenizer::Create(model_.tokenizer().vocabulary);
    auto server = HttpServer::Listen({.host = "127.0.0.1", .port = 0}, http);
    ASSERT_TRUE(server.ok()) << server.status();
    auto router = Router::Create({.engine = &model_.engine(),
                                  .kv_cache = &model_.kv_cache(),
                                  .tokenizer = tokenizer_.get(),
                                  .api_keys = api_keys_.get(),
                                  .model_name = "tales",
                                  .fingerprint = "fp",
                                  .context_length = 1024,
                                  .batch = {},
                                  .max_queued = max_queued},
                                 *std::move(server));
    ASSERT_TRUE(router.ok()) << router.status();
    router_ = *std::move(router);
    router_->Start();
    n_free_ = model_.kv_cache().free_tokens();
  }

  std::string Exchange(std::string_view request) {
    Client client(router_->port());
    client.Send(request);
    return client.ReadAll();
  }

  // Waits until no answer runs or waits and all KV room is back.
  void WaitUntilIdle() {
    while (router_->n_answers() > 0 || model_.kv_cache().free_tokens() != n_free_) {
      std::this_thread::yield();
    }
  }

  LocalModel model_{kModel, {.kv_tokens = 1024}};
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ApiKeys> api_keys_;
  std::unique_ptr<Router> router_;
  int64_t n_free_ = 0;
};

TEST_F(RouterHttpTest, ServesSeveralRequestsOnOneConnection) {
  Start();
  Client client(router_->port());
  for (int i = 0; i < 3; ++i) {
    client.Send(Completion(3, /*stream=*/false));
    EXPECT_THAT(client.ReadUntil("\"total_tokens\":5}}"), StartsWith("HTTP/1.1 200 OK\r\n"));
    client.Send(Completion(3, /*stream=*/true));
    EXPECT_THAT(client.ReadUntil("data: [DONE]\n\n\r\n0\r\n\r\n"), HasSubstr("text/event-stream"));
  }
}

TEST_F(RouterHttpTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  Client client(router_->port());
  client.Send(Completion(20, /*stream=*/true) + Completion(2, /*stream=*/false));
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("text/event-stream"));
  EXPECT_THAT(client.ReadUntil("\"total_tokens\":4}}"), HasSubstr("application/json"));
}

TEST_F(RouterHttpTest, S10_MalformedHeadsAreRefusedAndTheConnectionClosed) {
  Start();
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\nHost: a\n\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("GET / H\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("POST /v1/completions HTTP/1.1\r\nContent-Length: 2\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n{}"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("GET /" + std::string(kMaxRequestLineBytes, 'a') + " HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Exchange("GET / HTTP/1.1\r\nA: " + std::string(kMaxHeaderBytes + 8192, 'a')),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(RouterHttpTest, S08_ABodyOverTheCapIsRefusedWhetherAnnouncedOrNot) {
  Start();
  const std::string body(kMaxBodyBytes + 1, ' ');
  EXPECT_THAT(Exchange(Post("/v1/completions", body)), StartsWith("HTTP/1.1 413 "));
  const std::string head =
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string chunk = absl::StrCat(absl::Hex(body.size()), "\r\n", body, "\r\n0\r\n\r\n");
  EXPECT_THAT(Exchange(head + chunk), StartsWith("HTTP/1.1 413 "));
}

// Goal: a body in chunks is read whether it comes at once or byte by byte.
TEST_F(RouterHttpTest, ABodyInChunksIsReadHoweverItComes) {
  Start();
  const std::string request =
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"mod\r\n9\r\nel\": \"a\"}\r\n0\r\n\r\n";
  Client at_once(router_->port());
  at_once.Send(request);
  EXPECT_THAT(at_once.ReadUntil("}}"), HasSubstr("prompt"));
  Client in_bytes(router_->port());
  for (const char& byte : request) in_bytes.Send(std::string_view(&byte, 1));
  EXPECT_THAT(in_bytes.ReadUntil("}}"), HasSubstr("prompt"));
}

TEST_F(RouterHttpTest, S08_ChunkHeadsAndTrailersHaveAnEnd) {
  Start();
  const std::string head =
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string endless(size_t{1} << 20, 'a');
  EXPECT_THAT(Exchange(head + "1;a=" + endless), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange(head + "0\r\nA: " + endless), StartsWith("HTTP/1.1 400 "));
}

TEST_F(RouterHttpTest, AClientThatAsksFirstIsToldToGoOn) {
  Start();
  Client client(router_->port());
  const std::string request = Post("/v1/completions", "{}", "Expect: 100-continue\r\n");
  client.Send(request.substr(0, request.size() - 2));
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue"));
  client.Send("{}");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(RouterHttpTest, HealthAndReadiness) {
  Start();
  const std::string close = "Connection: close\r\n\r\n";
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\r\n" + close), HasSubstr("\r\n\r\nok"));
  EXPECT_THAT(Exchange("GET /ready HTTP/1.1\r\n" + close), StartsWith("HTTP/1.1 200 "));
  router_->Drain();
  EXPECT_THAT(Exchange("GET /ready HTTP/1.1\r\n" + close), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\r\n" + close), StartsWith("HTTP/1.1 200 "));
}

TEST_F(RouterHttpTest, S07_WithKeysOnlyProbesNeedNone) {
  const ApiKeys::NewKey made = *ApiKeys::Make("kiosk", SystemRandom());
  api_keys_ = std::make_unique<ApiKeys>(*ApiKeys::Parse(made.line));
  Start();
  const auto get = [this](std::string_view path, std::string_view field) {
    return Exchange(absl::StrCat("GET ", std::string(path), " HTTP/1.1\r\nHost: a\r\n",
                                 std::string(field), "Connection: close\r\n\r\n"));
  };
  const std::string key = absl::StrCat("Authorization: Bearer ", made.key, "\r\n");
  EXPECT_THAT(get("/health", ""), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(get("/v1/models", key), StartsWith("HTTP/1.1 200"));
  for (const char* path : {"/v1/models", "/v1/models/tales", "/v1/chat/completions", "/nowhere"}) {
    const std::string refused = get(path, "Authorization: Bearer sk-1\r\n");
    EXPECT_THAT(refused, StartsWith("HTTP/1.1 401")) << path;
    EXPECT_THAT(refused, HasSubstr("invalid_api_key"));
    EXPECT_THAT(refused, HasSubstr("WWW-Authenticate: Bearer"));
  }
  EXPECT_THAT(Exchange(Post("/v1/completions", "{}", "Connection: close\r\n")),
              StartsWith("HTTP/1.1 401"));
}

TEST_F(RouterHttpTest, HeadGetsNoBodyAndTheConnectionGoesOn) {
  Start();
  Client client(router_->port());
  client.Send("HEAD /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("Content-Length: "));
  EXPECT_THAT(client.ReadAll(), testing::AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("ok")));
}

TEST_F(RouterHttpTest, ChatWithoutATemplateSaysWhatToDo) {
  Start();
  EXPECT_THAT(Exchange(Post("/v1/chat/completions",
                            R"({"model": "tales", "messages": [{"role": "user", "content": "a"}]})",
                            "Connection: close\r\n")),
              HasSubstr("--chat-template FILE"));
}

// Goal: a client that goes away costs no further step, and all its room comes back.
// Method: requests that would take a thousand steps, left at once; the steps are counted.
TEST_F(RouterHttpTest, F25_GoneClientsStopTheirAnswers) {
  Start();
  for (const bool stream : {true, false}) {
    const uint64_t n_steps_before = router_->batcher().n_steps();
    Client client(router_->port());
    client.Send(Completion(1000, stream));
    if (stream) {
      client.ReadUntil("data: ");
    } else {
      while (router_->batcher().n_steps() == n_steps_before) std::this_thread::yield();
    }
    client.Close();
    WaitUntilIdle();
    EXPECT_LT(router_->batcher().n_steps() - n_steps_before, 1000U);
  }
}

TEST_F(RouterHttpTest, F25_DisconnectsAtAnyByteLeaveNothingBehind) {
  Start();
  const std::string request = Completion(1000, /*stream=*/true);
  for (size_t n_bytes = 0; n_bytes <= request.size(); n_bytes += 7) {
    Client client(router_->port());
    client.Send(std::string_view(request).substr(0, n_bytes));
  }
  WaitUntilIdle();
  while (router_->n_connections() > 0) std::this_thread::yield();
  EXPECT_THAT(Exchange("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"), HasSubstr("ok"));
}

TEST_F(RouterHttpTest, F27_SlowHeadsAndBodiesAreCutOff) {
  Start({.head_timeout = std::chrono::milliseconds(50),
         .body_timeout = std::chrono::milliseconds(100),
         .body_grace = std::chrono::milliseconds(50)});
  EXPECT_EQ(Exchange(""), "");
  EXPECT_EQ(Exchange("GET /health HTT"), "");
  EXPECT_EQ(Exchange("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"), "");
}

TEST_F(RouterHttpTest, F28_AFullQueueAnswers503WithRetryAfter) {
  Start({}, /*max_queued=*/1);
  Client running(router_->port());
  running.Send(Completion(1000, /*stream=*/true));
  running.ReadUntil("data: ");
  Client waiting(router_->port());
  waiting.Send(Completion(1000, /*stream=*/true));
  while (router_->n_answers() < 2) std::this_thread::yield();
  Client refused(router_->port());
  refused.Send(Completion(1000, /*stream=*/true));
  const std::string reply = refused.ReadUntil("overloaded\"}}");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(reply, HasSubstr("\r\nRetry-After: "));
}

TEST_F(RouterHttpTest, I7_StopEndsARunningStreamWithAnErrorEvent) {
  Start();
  Client client(router_->port());
  client.Send(Completion(1000, /*stream=*/true));
  client.ReadUntil("data: ");
  std::thread stop([this] { router_->Stop(); });
  const std::string rest = client.ReadAll();
  stop.join();
  EXPECT_THAT(rest, HasSubstr("data: {\"error\":"));
  EXPECT_EQ(rest.find("[DONE]"), std::string::npos);
}

TEST_F(RouterHttpTest, S11_ConnectionsOfOneAddressAreBounded) {
  Start({.max_connections_per_address = 2});
  Client first(router_->port());
  Client second(router_->port());
  for (Client* client : {&first, &second}) {
    client->Send("GET /health HTTP/1.1\r\n\r\n");
    EXPECT_THAT(client->ReadUntil("ok"), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_EQ(Exchange(""), "");
}

}  // namespace
}  // namespace shoal
