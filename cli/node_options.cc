#include "CLI/CLI.hpp"
#include "cli/node.h"

namespace shoal {

void AddNodeOptions(CLI::App& command, NodeOptions* options) {
  command.add_option("--data-dir", options->data_dir,
                     "Where this node keeps what it is and holds; each has its own");
  command.add_option("--coordinator", options->coordinator,
                     "host:port of the coordinator; needed once, then remembered");
  command.add_option("--join-token-file", options->join_token_file,
                     "File with the token to join by, or - for a line of standard input; needed "
                     "once");
  command.add_option("--local-shards", options->local_shards,
                     "Data directory on this machine to take shards from without copying");
}

}  // namespace shoal
