#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/thread_pool.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "cli/text_io.h"

namespace shoal {
namespace {

struct VerifyOptions {
  std::string data_dir;
  std::string model;
};

struct Counts {
  int n_good = 0;
  int n_missing = 0;    // Of models imported here, which have all.
  int n_elsewhere = 0;  // Of models of which this node holds a part.
  int n_bad = 0;
};

std::string Describe(const Manifest& manifest, const ShardInfo& shard) {
  constexpr const char* kNames[] = {"embedding", "trunk", "expert", "output", "tokenizer"};
  std::string text = absl::StrCat(manifest.name, ": ", kNames[static_cast<size_t>(shard.kind)]);
  if (shard.expert >= 0) absl::StrAppend(&text, " ", shard.expert);
  if (shard.layer >= 0) absl::StrAppend(&text, " of layer ", shard.layer);
  return absl::StrCat(text, " (", ToHex(shard.hash), ")");
}

void Count(const Manifest& manifest, const ShardInfo& shard, const absl::Status& status,
           bool imported, Counts* counts) {
  const bool missing = absl::IsNotFound(status);
  if (status.ok() || (missing && !imported)) {
    ++(status.ok() ? counts->n_good : counts->n_elsewhere);
    return;
  }
  ++(missing ? counts->n_missing : counts->n_bad);
  std::printf("%s: %s\n", missing ? "missing" : "corrupt", Describe(manifest, shard).c_str());
  if (!missing) std::printf("  %s\n", std::string(status.message()).c_str());
}

void VerifyModel(DataDirectory* data, const SignedManifest& model, ThreadPool* pool,
                 Counts* counts) {
  const Manifest& manifest = model.manifest;
  const bool imported = data->IsImported(model.id);
  ProgressLine progress("shards verify");
  const int64_t stride = 4 * pool->n_threads();
  const auto n = static_cast<int64_t>(manifest.shards.size());
  uint64_t bytes_done = 0;
  for (int64_t begin = 0; begin < n; begin += stride) {
    std::vector<absl::Status> status(std::min(stride, n - begin));
    pool->ParallelFor(static_cast<int64_t>(status.size()), 1, [&](int64_t i, int64_t, int) {
      status[i] = data->shards().Verify(manifest.shards[begin + i]);
    });
    for (size_t i = 0; i < status.size(); ++i) {
      const ShardInfo& shard = manifest.shards[begin + i];
      Count(manifest, shard, status[i], imported, counts);
      bytes_done += shard.file_bytes;
    }
    progress.Update(bytes_done, manifest.n_bytes());
  }
}

absl::Status RunVerify(const VerifyOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kShared));
  std::vector<Sha256Digest> ids;
  if (!options.model.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const Sha256Digest id, data->FindModel(options.model));
    ids.push_back(id);
  } else {
    SHOAL_ASSIGN_OR_RETURN(const auto entries, data->ListModels());
    for (const DataDirectory::Entry& entry : entries) ids.push_back(entry.id);
  }
  ThreadPool pool(DefaultThreads());
  Counts counts;
  for (const Sha256Digest& id : ids) {
    SHOAL_ASSIGN_OR_RETURN(const SignedManifest model, data->ReadModel(id));
    VerifyModel(data.get(), model, &pool, &counts);
  }
  std::printf("%d shards good, %d corrupt, %d missing, %d held by others only\n", counts.n_good,
              counts.n_bad, counts.n_missing, counts.n_elsewhere);
  if (counts.n_bad + counts.n_missing == 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(counts.n_bad, " corrupt (deleted) and ", counts.n_missing,
                   " missing shards; import the model again, or let the node fetch them"));
}

}  // namespace

void AddShardsCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* shards = app.add_subcommand("shards", "Look after the shards of a data directory");
  shards->require_subcommand(1);
  CLI::App* verify = shards->add_subcommand(
      "verify",
      "Read every shard and compare its hash with its name. Corrupt ones are named and deleted, "
      "so that they can be fetched again; exit status 1 if any is corrupt or, of a model imported "
      "here, missing");
  AddDataDirOption(verify, &options->data_dir);
  verify->add_option("--model", options->model,
                     "Only this model's: its id, 8 or more digits of it, or its name; empty: all");
  verify->callback(
      [options, exit_code] { *exit_code = ReportStatus("shards verify", RunVerify(*options)); });
}

}  // namespace shoal
