#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/check.h"
#include "base/clock_testing.h"
#include "base/file_system_testing.h"
#include "base/random.h"
#include "coordinator/cluster.h"
#include "coordinator/coordinator_service.h"
#include "coordinator/file_store.h"
#include "model/data_directory.h"
#include "model/shard_testing.h"
#include "proto/frame_codec.h"
#include "proto/join.h"

namespace shoal {

inline constexpr char kTestDirectory[] = "/data";

// A coordinator without threads and links, on a disk and a clock that the test owns: requests go in
// as frames, and what is pushed to watchers is kept.
class TestCoordinator {
 public:
  // On a disk that may hold an earlier one's files.
  static absl::StatusOr<std::unique_ptr<TestCoordinator>> Start(FileSystem* files, Clock* clock,
                                                                int replicas = 2) {
    std::unique_ptr<TestCoordinator> test(new TestCoordinator());
    auto data = DataDirectory::Open(files, kTestDirectory, DataDirectory::Access::kExclusive);
    if (!data.ok()) return data.status();
    test->data_ = *std::move(data);
    auto authority =
        CertificateAuthority::Open(files, test->data_->CoordinatorPath(""), clock, SystemRandom());
    if (!authority.ok()) return authority.status();
    test->authority_ = *std::move(authority);
    test->audit_ =
        std::make_unique<AuditLog>(files, test->data_->CoordinatorPath("audit.log"), clock);
    test->store_ = std::make_unique<FileStore>(files, test->data_->CoordinatorPath("state.log"));
    auto cluster = Cluster::Open({.store = test->store_.get(),
                                  .authority = test->authority_.get(),
                                  .data = test->data_.get(),
                                  .audit = test->audit_.get(),
                                  .clock = clock,
                                  .random = SystemRandom(),
                                  .replicas = replicas});
    if (!cluster.ok()) return cluster.status();
    test->cluster_ = *std::move(cluster);
    test->service_ = std::make_unique<CoordinatorService>(test->cluster_.get());
    return test;
  }

  wire::ControlReply Ask(const Caller& caller, const wire::ControlRequest& request) {
    wire::FrameHeader header;
    *header.mutable_control_request() = request;
    return AskRaw(caller, EncodeFrame(header));
  }
  wire::ControlReply AskRaw(const Caller& caller, const FrameBuffer& frame) {
    reply_.reset();
    service_->OnFrame(caller, frame, [this](LinkId to, FrameBuffer b) { return Take(to, b); });
    SHOAL_CHECK(reply_.has_value());
    return *reply_;
  }
  wire::ControlReply AskAdmin(const wire::ControlRequest& request) {
    return Ask({authority_->admin(), kAdminLink}, request);
  }
  // `elapsed` in steps of 50 ms.
  void Run(ManualClock* clock, absl::Duration elapsed) {
    for (absl::Duration t; t < elapsed; t += absl::Milliseconds(50)) {
      clock->Advance(absl::Milliseconds(50));
      service_->Tick([this](LinkId to, FrameBuffer b) { return Take(to, b); });
    }
  }

  // --- The operator.
  std::string MakeToken(wire::Role role, uint32_t uses = 1, uint64_t ttl_s = 3600) {
    wire::ControlRequest request;
    request.mutable_create_token()->set_role(role);
    request.mutable_create_token()->set_uses(uses);
    request.mutable_create_token()->set_ttl_s(ttl_s);
    return AskAdmin(request).create_token().token();
  }
  // Puts a model into the data directory, signed by its import key; returns its id.
  Sha256Digest AddModel(int n_layers, int n_experts, uint64_t seed = 1, int n_dense = 0) {
    const std::string bytes =
        EncodeManifest(MakeTestModel(n_layers, n_experts, seed, n_dense).manifest);
    const auto key = data_->ImportKey(SystemRandom());
    SHOAL_CHECK(key.ok());
    SHOAL_CHECK(data_->WriteModel(SignManifest(bytes, *key)).ok());
    return ModelId(bytes);
  }
  wire::ControlReply SetModel(const Sha256Digest& id, uint32_t replicas = 0) {
    wire::ControlRequest request;
    request.mutable_set_model()->set_model(ToHex(id));
    request.mutable_set_model()->set_replicas(replicas);
    return AskAdmin(request);
  }

  // --- Nodes.
  wire::ControlReply Join(const std::string& token, const Ed25519Key& key, LinkId link = 1) {
    const auto parsed = ParseJoinToken(token);
    SHOAL_CHECK(parsed.ok());
    wire::ControlRequest request;
    request.mutable_join()->set_token_id(parsed->id);
    request.mutable_join()->set_token_secret(parsed->secret);
    request.mutable_join()->set_csr(*MakeCsr(key));
    return Ask({{}, link}, request);
  }
  // Who a certificate says one is.
  NodeIdentity Named(const std::string& certificate) const {
    const auto facts = ReadCertificate(certificate);
    SHOAL_CHECK(facts.ok());
    const auto identity = ParseIdentityUri(facts->uri_names.at(0), authority_->cluster_id());
    SHOAL_CHECK(identity.ok());
    return *identity;
  }
  // Lets a new node in; its link is its own from then on.
  Caller JoinNew(wire::Role role) {
    const wire::ControlReply reply =
        Join(MakeToken(role), Ed25519Key::Generate(SystemRandom()), next_link_++);
    SHOAL_CHECK_EQ(reply.code(), 0U);
    return {Named(reply.join().certificate()), next_link_++};
  }
  wire::ControlReply Watch(const Caller& caller, uint64_t known_epoch = 0) {
    wire::ControlRequest request;
    request.mutable_watch()->set_known_epoch(known_epoch);
    return Ask(caller, request);
  }
  // Says that a worker holds `resident`, or everything that it is assigned.
  wire::ControlReply Report(const Caller& worker, uint64_t memory_bytes, double gb_per_s,
                            const ExpertSet* resident = nullptr) {
    wire::ControlRequest request;
    wire::ReportStatusRequest& report = *request.mutable_report_status();
    report.set_peer_address("127.0.0.1:" + absl::StrCat(7000 + worker.link));
    report.set_memory_bytes(memory_bytes);
    report.set_read_gb_per_s(gb_per_s);
    const auto& model = cluster_->state().model();
    if (model.has_value()) report.set_model_id(DigestBytes(model->id));
    report.set_resident((resident != nullptr ? *resident : Assigned(worker)).Bytes());
    return Ask(worker, request);
  }

  const ExpertSet& Assigned(const Caller& worker) const {
    return cluster_->state().FindNode(worker.identity.node_id)->assigned;
  }
  uint64_t epoch() const { return cluster_->state().epoch(); }
  Cluster& cluster() { return *cluster_; }
  CoordinatorService& service() { return *service_; }
  const CertificateAuthority& authority() const { return *authority_; }
  DataDirectory& data() { return *data_; }
  // Snapshots pushed to a link, all that it got.
  const std::vector<Snapshot>& pushed(LinkId link) { return pushed_[link]; }
  void Cut(LinkId link) { service_->OnClosed(link); }

 private:
  static constexpr LinkId kAdminLink = 999'999;
  TestCoordinator() = default;

  absl::Status Take(LinkId to, const FrameBuffer& buffer) {
    const auto frame = DecodeFrame(buffer);
    SHOAL_CHECK(frame.ok());
    if (frame->header.has_control_reply()) {
      reply_ = frame->header.control_reply();
      return absl::OkStatus();
    }
    SHOAL_CHECK(frame->header.has_snapshot_update());
    const std::string_view bytes(reinterpret_cast<const char*>(frame->payload.data()),
                                 frame->payload.size());
    auto snapshot = OpenSnapshot(bytes, authority_->key().public_key(), authority_->cluster_id());
    SHOAL_CHECK(snapshot.ok());
    pushed_[to].push_back(*std::move(snapshot));
    return absl::OkStatus();
  }

  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<CertificateAuthority> authority_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<FileStore> store_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<CoordinatorService> service_;
  std::optional<wire::ControlReply> reply_;
  std::map<LinkId, std::vector<Snapshot>> pushed_;
  LinkId next_link_ = 1;
};

}  // namespace shoal
