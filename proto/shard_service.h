#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/data_directory.h"
#include "proto/frame_codec.h"
#include "proto/identity.h"
#include "proto/snapshot.h"

namespace shoal {

// Answers one request for a piece of a file; knows no transport. Who gets what is the snapshot's:
// the coordinator everything, a worker the experts that are assigned to it, a router everything but
// experts, each the manifest of the model that is served. Thread-compatible.
class ShardService {
 public:
  using GetSnapshot = std::function<std::shared_ptr<const Snapshot>()>;
  ShardService(DataDirectory* data, GetSnapshot snapshot)
      : data_(data), snapshot_(std::move(snapshot)) {}

  // The reply's frame. `peer` is who asks, proven.
  FrameBuffer Answer(const NodeIdentity& peer, const wire::FetchRequest& request);

  static FrameBuffer Refusal(uint64_t id, wire::FetchCode code, const std::string& why);

 private:
  // The model that is served, as far as it is here.
  struct Served {
    Sha256Digest id = {};
    std::string file;  // The signed manifest.
    Manifest manifest;
    std::map<Sha256Digest, std::vector<const ShardInfo*>> shards;  // Equal ones share a file.
  };
  const Served* FindServed(const Sha256Digest& model_id);
  FrameBuffer AnswerManifest(const wire::FetchRequest& request) const;
  FrameBuffer AnswerShard(const wire::FetchRequest& request, const ShardInfo& shard) const;

  DataDirectory* const data_;
  const GetSnapshot snapshot_;
  std::unique_ptr<const Served> served_;
};

}  // namespace shoal
