#include <fcntl.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/clock.h"
#include "base/openssl_ptr.h"
#include "base/status_macros.h"
#include "proto/join.h"

namespace shoal {
namespace {

using ContextPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;
using AddressesPtr = OpenSslPtr<addrinfo, freeaddrinfo>;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status Failed(const std::string& address, std::string_view why) {
  return absl::UnavailableError(absl::StrCat(address, ": ", std::string(why)));
}

// False when nothing happens on the socket before the deadline.
bool WaitFor(int fd, short events, absl::Time deadline) {
  const int64_t left_ms = absl::ToInt64Milliseconds(deadline - MonotonicNow());
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return left_ms > 0 && poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000))) > 0;
}

absl::StatusOr<Socket> ConnectTo(const addrinfo& to, const std::string& address,
                                 absl::Time deadline) {
  Socket socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.fd() < 0) return Failed(address, std::strerror(errno));
  int error = connect(socket.fd(), to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (!WaitFor(socket.fd(), POLLOUT, deadline)) return Failed(address, "no answer in time");
    socklen_t size = sizeof(error);
    getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return Failed(address, std::strerror(error));
  return socket;
}

absl::StatusOr<Socket> Connect(const std::string& address, absl::Time deadline) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return Failed(address, "no port");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found) != 0) {
    return Failed(address, "no such host");
  }
  const AddressesPtr addresses(found);
  absl::Status status;
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    absl::StatusOr<Socket> socket = ConnectTo(*one, address, deadline);
    if (socket.ok()) return socket;
    status = socket.status();
  }
  return status;
}

std::string PemOf(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Shakes hands as far as the certificates of the other side; nothing of ours is sent.
absl::Status Handshake(SSL* ssl, const std::string& address, absl::Time deadline) {
  while (true) {
    const int done = SSL_connect(ssl);
    if (done == 1) return absl::OkStatus();
    const int wants = SSL_get_error(ssl, done);
    const short events = wants == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) {
      return Failed(address, "no TLS 1.3 handshake came about; is a coordinator listening there?");
    }
    if (!WaitFor(SSL_get_fd(ssl), events, deadline)) return Failed(address, "no answer in time");
  }
}

}  // namespace

absl::StatusOr<std::string> FetchCaCertificate(const std::string& address,
                                               const Sha256Digest& digest, absl::Time deadline) {
  const OpenSslErrorScope errors;
  SHOAL_ASSIGN_OR_RETURN(const Socket socket, Connect(address, deadline));
  const ContextPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // That is done below, by digest.
  const SslPtr ssl(SSL_new(context.get()));
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof(kHttp2));
  SSL_set_fd(ssl.get(), socket.fd());
  SHOAL_RETURN_IF_ERROR(Handshake(ssl.get(), address, deadline));
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl.get());
  for (int i = 1; chain != nullptr && i < sk_X509_num(chain); ++i) {
    std::string ca = PemOf(sk_X509_value(chain, i));
    const absl::StatusOr<Sha256Digest> found = CertificateDigest(ca);
    if (!found.ok() || *found != digest) continue;
    if (CheckSignedBy(PemOf(sk_X509_value(chain, 0)), ca).ok()) return ca;
  }
  return absl::PermissionDeniedError(
      absl::StrCat(address,
                   ": is not the coordinator that the join token is for: its certificate authority "
                   "is another one. Nothing secret was sent"));
}

}  // namespace shoal
