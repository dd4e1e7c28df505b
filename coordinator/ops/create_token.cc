#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"
#include "proto/join.h"

namespace shoal::ops {
namespace {

constexpr uint32_t kMaxUses = 100'000;
constexpr uint64_t kMaxTtlS = 366 * 24 * 3600;
constexpr size_t kMaxTokens = 1024;

absl::StatusOr<NodeRole> ReadRole(wire::Role role) {
  if (role == wire::ROLE_ROUTER) return NodeRole::kRouter;
  if (role == wire::ROLE_WORKER) return NodeRole::kWorker;
  return absl::InvalidArgumentError("a join token is for a router or a worker");
}

absl::Status CheckRequest(const wire::CreateTokenRequest& request) {
  if (request.uses() < 1 || request.uses() > kMaxUses) {
    return absl::InvalidArgumentError(
        absl::StrCat("uses=", request.uses(), " is not in [1, ", kMaxUses, "]"));
  }
  if (request.ttl_s() < 1 || request.ttl_s() > kMaxTtlS) {
    return absl::InvalidArgumentError(
        absl::StrCat("ttl=", request.ttl_s(), " s is not in [1, ", kMaxTtlS, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CreateToken(Cluster& cluster, const wire::CreateTokenRequest& request,
                         wire::CreateTokenReply* reply) {
  SHOAL_RETURN_IF_ERROR(CheckRequest(request));
  SHOAL_ASSIGN_OR_RETURN(const NodeRole role, ReadRole(request.role()));
  if (cluster.state().tokens().size() >= kMaxTokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxTokens, " join tokens are known; wait until some expire"));
  }
  Sha256Digest secret;
  cluster.random().Fill(secret);
  const JoinToken token{cluster.authority().digest(),
                        absl::StrFormat("%016x", cluster.random().Next64()), ToHex(secret)};
  SHOAL_RETURN_IF_ERROR(cluster.Commit({TokenCreated{
      {.id = token.id,
       .role = role,
       .secret_hash =
           Sha256(std::as_bytes(std::span<const char>(token.secret.data(), token.secret.size()))),
       .uses_left = request.uses(),
       .expiry =
           cluster.clock().WallNow() + absl::Seconds(static_cast<int64_t>(request.ttl_s()))}}}));
  cluster.audit().Write("token created", {{"token", token.id},
                                          {"role", std::string(RoleName(role))},
                                          {"uses", absl::StrCat(request.uses())},
                                          {"ttl_s", absl::StrCat(request.ttl_s())}});
  reply->set_token(FormatJoinToken(token));
  return absl::OkStatus();
}

}  // namespace shoal::ops
