#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/import_with_progress.h"
#include "cli/model_loader.h"
#include "cli/quantized_source.h"
#include "cli/text_io.h"
#include "model/import/import_record.h"

namespace shoal {
namespace {

struct ImportCommand {
  std::string path;
  std::string data_dir;
  std::string model_name;
  std::string mix;
  std::string experts_type;
  std::string imatrix;
  std::string heat;
  double hot_share = 0.5;
};

// What `--quantize` and its companions ask for, and a name for it: another imatrix is another
// model.
absl::StatusOr<QuantizeOptions> ReadQuantizeOptions(const ImportCommand& command,
                                                    std::string* name) {
  QuantizeOptions options{.mix = command.mix, .n_threads = DefaultThreads()};
  *name = command.mix;
  if (!command.experts_type.empty()) {
    options.experts_type = TypeOfMix(command.experts_type);
    absl::StrAppend(name, " experts ", command.experts_type);
  }
  if (!command.imatrix.empty()) {
    SHOAL_ASSIGN_OR_RETURN(Importance importance, Importance::Read(command.imatrix));
    options.importance = std::make_shared<const Importance>(std::move(importance));
    SHOAL_ASSIGN_OR_RETURN(const FileIdentity file, IdentityOf(command.imatrix));
    absl::StrAppend(name, " imatrix ", file.size, " ", file.mtime_ns, " ", file.path);
  }
  if (!command.heat.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string json,
                           ReadFile(MachineFileSystem(), command.heat, kMaxHeatBytes));
    SHOAL_ASSIGN_OR_RETURN(ExpertHeat heat, DecodeHeat(json));
    options.heat = std::make_shared<const ExpertHeat>(std::move(heat));
    options.hot_share = command.hot_share;
    absl::StrAppend(name, " heat ", command.hot_share, " ",
                    Sha256Hex(std::as_bytes(std::span(json))));
  }
  return options;
}

// One line a tensor, and one for all.
void PrintLosses(const Losses& losses) {
  Loss sum;
  const auto print = [](const char* name, const char* dtype, const Loss& loss) {
    const double rms = loss.all == 0.0 ? 0.0 : std::sqrt(loss.lost / loss.all);
    std::fprintf(stderr, "shoal import: %-40s %-7s relative RMS error %.5f\n", name, dtype, rms);
  };
  for (const auto& [tensor, loss] : losses) {
    print(tensor.first.c_str(), std::string(Traits(tensor.second).name).c_str(), loss);
    sum.lost += loss.lost;
    sum.all += loss.all;
  }
  print("all of them", "", sum);
}

absl::Status RunImport(const ImportCommand& command) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(command.data_dir, DataDirectory::Access::kShared));
  ImportOptions options{.path = command.path, .model_name = command.model_name};
  Losses losses;
  if (!command.mix.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const QuantizeOptions quantize,
                           ReadQuantizeOptions(command, &options.conversion));
    options.convert = [quantize, &losses](const WeightSource& file, const ModelConfig& config) {
      return QuantizeSource(file, config, quantize, &losses);
    };
  }
  SHOAL_ASSIGN_OR_RETURN(const ImportResult result,
                         ImportWithProgress("import", data.get(), std::move(options)));
  if (!losses.empty()) PrintLosses(losses);
  return WriteStandardOutput(absl::StrCat(ToHex(result.model_id), "\n"));
}

std::string CheckMix(const std::string& mix) {
  if (TypeOfMix(mix)) return "";
  return absl::StrCat(mix, " is none of ", QuantizeMixes());
}

std::string CheckModelName(const std::string& name) {
  constexpr size_t kMaxBytes = 256;
  if (name.size() > kMaxBytes) return absl::StrCat("longer than ", kMaxBytes, " bytes");
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  return control ? "has control characters" : "";
}

}  // namespace

void AddImportCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ImportCommand>();
  CLI::App* command = app.add_subcommand(
      "import",
      "Cut a model file into shards and a signed manifest, and print the model's id. An import "
      "that was interrupted goes on; one that was done before ends at once");
  command->add_option("MODEL", options->path, "GGUF file, or folder of safetensors")->required();
  AddDataDirOption(command, &options->data_dir);
  command
      ->add_option("--model-name", options->model_name,
                   "The name that clients use; empty: as the file says")
      ->check(CLI::Validator(CheckModelName, "NAME"));
  CLI::Option* quantize =
      command
          ->add_option(
              "--quantize", options->mix,
              "Make matrices smaller on the way, and say what each loses: " + QuantizeMixes() +
                  ". Norms, routers and biases stay, and what is no larger already; q4_k_m "
                  "has Q6_K for half of the values and down projections, and every mix but "
                  "q8_0 for the output head")
          ->check(CLI::Validator(CheckMix, "MIX"));
  CLI::Option* experts_type =
      command
          ->add_option("--experts-type", options->experts_type,
                       "The type of the experts' matrices, one of the same names")
          ->check(CLI::Validator(CheckMix, "MIX"))
          ->needs(quantize);
  CLI::Option* heat =
      command
          ->add_option("--heat", options->heat,
                       "File of `shoal heat`: experts that are much used keep --quantize's types, "
                       "and --experts-type is for the others")
          ->needs(experts_type);
  command
      ->add_option("--hot-share", options->hot_share,
                   "Of each layer's gate weight, the share that the much used experts have")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(heat);
  command
      ->add_option("--imatrix", options->imatrix,
                   "GGUF file of llama-imatrix: which columns count for more")
      ->needs(quantize);
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("import", RunImport(*options)); });
}

}  // namespace shoal
