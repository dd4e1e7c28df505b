#include "cli/quality.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "cli/progress.h"
#include "nlohmann/json.hpp"

namespace shoal {

absl::StatusOr<QualitySummary> MeasureQuality(const OfflineModel& offline,
                                              const std::vector<int32_t>& ids,
                                              const QualityOptions& options) {
  LoadedModel& model = *offline.model;
  const EvalCut cut = options.cut;
  SHOAL_ASSIGN_OR_RETURN(const auto windows, PlanWindows(static_cast<int64_t>(ids.size()), cut));
  const ReferenceHeader header{.vocab_size = model.config().vocab_size,
                               .n_top = std::min(options.top, model.config().vocab_size),
                               .ctx_size = cut.ctx_size,
                               .stride = cut.stride,
                               .n_rows = CountScored(windows),
                               .text = TextDigest(ids),
                               .model = model.model_name()};
  QualitySummary summary{
      .model = header.model, .n_tokens = static_cast<int64_t>(ids.size()), .cut = cut};
  std::unique_ptr<ReferenceReader> reference;
  if (!options.reference.empty()) {
    SHOAL_ASSIGN_OR_RETURN(reference,
                           ReferenceReader::Open(MachineFileSystem(), options.reference));
    SHOAL_RETURN_IF_ERROR(CheckReference(reference->header(), header));
    summary.reference = reference->header().model.empty() ? "unnamed" : reference->header().model;
    summary.reference_top = reference->header().n_top;
  }
  std::unique_ptr<ReferenceWriter> save;
  if (!options.save.empty()) {
    SHOAL_ASSIGN_OR_RETURN(save,
                           ReferenceWriter::Create(MachineFileSystem(), options.save, header));
  }
  const Vocabulary& vocabulary = offline.tokenizer->vocabulary();
  const bool bos_everywhere = cut.stride == 0 && vocabulary.add_bos;
  const absl::Time start = MonotonicNow();
  ProgressLine progress("eval", ProgressUnit::kTokens);
  SHOAL_ASSIGN_OR_RETURN(
      summary.report,
      Evaluate({.engine = &model.engine(),
                .kv_cache = &model.kv_cache(),
                .pool = &model.pool(),
                .ids = ids,
                .windows = windows,
                .window_bos = bos_everywhere ? vocabulary.bos_id : -1,
                .reference = reference.get(),
                .save = save.get(),
                .on_progress = [&](int64_t done, int64_t all) { progress.Update(done, all); }}));
  summary.seconds = absl::ToDoubleSeconds(MonotonicNow() - start);
  if (save != nullptr) SHOAL_RETURN_IF_ERROR(save->Finish());
  return summary;
}

std::string QualityText(const QualitySummary& summary) {
  const QualityReport& report = summary.report;
  std::string text =
      absl::StrFormat("%s: %d tokens, %d of them scored, windows of %d", summary.model,
                      summary.n_tokens, report.n_scored, summary.cut.ctx_size);
  if (summary.cut.stride > 0) absl::StrAppend(&text, " every ", summary.cut.stride);
  absl::StrAppendFormat(&text, "\nperplexity       %.4f +- %.4f\n", report.Perplexity(),
                        report.PerplexityError());
  if (summary.reference.empty()) return text;
  absl::StrAppendFormat(
      &text, "reference        %.4f, %s\nmean KL          %.6f\ntop-1 agreement  %.2f %%\n",
      report.ReferencePerplexity(), summary.reference, report.MeanKl(),
      100.0 * report.Top1Agreement());
  return text;
}

std::string QualityJson(const QualitySummary& summary) {
  const QualityReport& report = summary.report;
  nlohmann::ordered_json json = {{"model", summary.model},
                                 {"n_tokens", summary.n_tokens},
                                 {"n_scored", report.n_scored},
                                 {"ctx_size", summary.cut.ctx_size},
                                 {"stride", summary.cut.stride},
                                 {"perplexity", report.Perplexity()},
                                 {"perplexity_error", report.PerplexityError()},
                                 {"seconds", summary.seconds}};
  if (!summary.reference.empty()) {
    json["reference"] = {{"model", summary.reference},
                         {"n_top", summary.reference_top},
                         {"perplexity", report.ReferencePerplexity()},
                         {"mean_kl", report.MeanKl()},
                         {"top1_agreement", report.Top1Agreement()}};
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace shoal
