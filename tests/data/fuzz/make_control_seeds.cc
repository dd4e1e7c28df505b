// Writes the control fuzzer's seeds: one of each request, behind the byte that says who asks.
// Usage: make_control_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "base/certificate.h"
#include "base/check.h"
#include "proto/frame_codec.h"

namespace shoal {
namespace {

enum Who : char { kNobody = 0, kWorker = 1, kRouter = 2, kAdmin = 4 };

void Write(const std::string& folder, const std::string& name, Who who,
           const wire::ControlRequest& request) {
  wire::FrameHeader header;
  *header.mutable_control_request() = request;
  std::ofstream file(folder + "/" + name, std::ios::binary);
  file.put(static_cast<char>(who | 0x80));
  file << header.SerializeAsString();
  SHOAL_CHECK(file.good());
}

void WriteAll(const std::string& folder) {
  const std::string csr = *MakeCsr(Ed25519Key::Generate(SystemRandom()));
  wire::ControlRequest request;
  request.set_id(1);
  request.mutable_join()->set_token_id("0123456789abcdef");
  request.mutable_join()->set_token_secret(std::string(64, 'a'));
  request.mutable_join()->set_csr(csr);
  Write(folder, "join", kNobody, request);
  request.mutable_renew()->set_csr(csr);
  Write(folder, "renew", kWorker, request);
  wire::ReportStatusRequest& report = *request.mutable_report_status();
  report.set_peer_address("127.0.0.1:7001");
  report.set_memory_bytes(1 << 20);
  report.set_read_gb_per_s(10);
  Write(folder, "report_worker", kWorker, request);
  report.add_peers()->set_node_id("0123456789abcdef");
  report.mutable_peers(0)->set_round_trip_us(120);
  Write(folder, "report_router", kRouter, request);
  request.mutable_watch()->set_known_epoch(3);
  Write(folder, "watch", kRouter, request);
  request.mutable_create_token()->set_role(wire::ROLE_WORKER);
  request.mutable_create_token()->set_uses(1);
  request.mutable_create_token()->set_ttl_s(60);
  Write(folder, "create_token", kAdmin, request);
  request.mutable_list_nodes();
  Write(folder, "list_nodes", kAdmin, request);
  request.mutable_cluster_status();
  Write(folder, "cluster_status", kAdmin, request);
  request.mutable_set_model()->set_model("tiny-1");
  request.mutable_set_model()->set_replicas(1);
  Write(folder, "set_model", kAdmin, request);
  request.mutable_drain()->set_node_id("0123456789abcdef");
  Write(folder, "drain", kAdmin, request);
  request.mutable_revoke()->set_node_id("0123456789abcdef");
  Write(folder, "revoke", kAdmin, request);
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_control_seeds FOLDER\n");
    return 2;
  }
  shoal::WriteAll(argv[1]);
  return 0;
}
