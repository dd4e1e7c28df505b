#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "cli/chat_client.h"
#include "cli/commands.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

struct ChatOptions {
  std::string url = "http://127.0.0.1:8080";
  std::string once;
  std::string key_file;
  double temperature = 1;
  int64_t max_tokens = 0;
};

// Ctrl-C as something to wait for: readable while one has come that was not taken.
class Interrupts {
 public:
  Interrupts() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  ~Interrupts() { close(fd_); }
  int fd() const { return fd_; }
  void Take() {
    signalfd_siginfo info;
    while (read(fd_, &info, sizeof(info)) == sizeof(info)) {
    }
  }

 private:
  int fd_ = -1;
};

// Reads lines from standard input. Ctrl-C drops what was typed; Ctrl-D ends.
class LineReader {
 public:
  explicit LineReader(Interrupts* interrupts) : interrupts_(interrupts) {}

  std::optional<std::string> Next() {
    std::fputs("> ", stdout);
    std::fflush(stdout);
    while (true) {
      const size_t end = received_.find('\n');
      if (end != std::string::npos) {
        std::string line = received_.substr(0, end);
        received_.erase(0, end + 1);
        return line;
      }
      if (Receive()) continue;
      if (received_.empty()) return std::nullopt;
      return std::exchange(received_, "");  // The last line of a file may lack its end.
    }
  }

 private:
  bool Receive() {
    pollfd entries[2] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                         {.fd = interrupts_->fd(), .events = POLLIN, .revents = 0}};
    if (poll(entries, 2, -1) < 0) return true;  // Interrupted: look again.
    if (entries[1].revents != 0) {
      interrupts_->Take();
      received_.clear();
      std::fputs("\n> ", stdout);
      std::fflush(stdout);
      return true;
    }
    char piece[4096];
    const ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
    if (n > 0) received_.append(piece, static_cast<size_t>(n));
    return n > 0;
  }

  Interrupts* const interrupts_;
  std::string received_;
};

// Asks with the conversation so far, prints the answer as it comes, and adds it.
absl::Status Ask(const ChatClient& client, const ChatOptions& options, Interrupts* interrupts,
                 Json* request, const std::string& prompt) {
  (*request)["messages"].push_back({{"role", "user"}, {"content", prompt}});
  (*request)["stream"] = true;
  (*request)["temperature"] = options.temperature;
  if (options.max_tokens > 0) (*request)["max_tokens"] = options.max_tokens;
  std::string answer;
  const auto end = client.Stream(request->dump(-1, ' ', false, Json::error_handler_t::replace),
                                 interrupts->fd(), [&answer](std::string_view piece) {
                                   answer += piece;
                                   std::fwrite(piece.data(), 1, piece.size(), stdout);
                                   std::fflush(stdout);
                                 });
  interrupts->Take();
  if (end.ok()) std::fputs("\n", stdout);
  (*request)["messages"].push_back({{"role", "assistant"}, {"content", answer}});
  return end.status();
}

// The first word of that file; empty without one.
absl::StatusOr<std::string> ReadKey(const std::string& path) {
  if (path.empty()) return std::string();
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(MachineFileSystem(), path, kMaxApiKeyFileBytes));
  const std::string key = text.substr(0, text.find_first_of(" \t\r\n"));
  if (!key.empty()) return key;
  return absl::InvalidArgumentError("--key-file: " + path + " begins with no key");
}

absl::Status RunChat(const ChatOptions& options) {
  Interrupts interrupts;
  SHOAL_ASSIGN_OR_RETURN(const std::string api_key, ReadKey(options.key_file));
  SHOAL_ASSIGN_OR_RETURN(const ChatClient client, ChatClient::Create(options.url, api_key));
  SHOAL_ASSIGN_OR_RETURN(const std::string model, client.FirstModel());
  Json request = {{"model", model}, {"messages", Json::array()}};
  if (!options.once.empty()) return Ask(client, options, &interrupts, &request, options.once);
  std::fprintf(stderr, "%s at %s. Ctrl-C stops an answer, Ctrl-D leaves.\n", model.c_str(),
               options.url.c_str());
  LineReader lines(&interrupts);
  while (const auto line = lines.Next()) {
    if (line->empty()) continue;
    const absl::Status status = Ask(client, options, &interrupts, &request, *line);
    if (!status.ok()) {
      std::fprintf(stderr, "shoal chat: %s\n", std::string(status.message()).c_str());
      auto& messages = request["messages"].get_ref<Json::array_t&>();
      messages.resize(messages.size() - 2);  // As if it had not been asked.
    }
  }
  std::fputs("\n", stdout);
  return absl::OkStatus();
}

}  // namespace

void AddChatCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand("chat", "Talk to a model in the terminal");
  command->add_option("--url", options->url, "Where `shoal up` listens");
  command->add_option("--once", options->once, "Ask this, print the answer alone, and leave");
  command->add_option("--key-file", options->key_file,
                      "File with the key that `shoal key create` printed");
  command->add_option("--temperature", options->temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 2.0));
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "Most tokens of an answer; 0: what the context leaves")
      ->check(CLI::NonNegativeNumber);
  command->callback([options, exit_code] {
    const absl::Status status = RunChat(*options);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal chat: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
