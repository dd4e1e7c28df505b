#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/offline_model.h"
#include "engine/quality/evaluate.h"

namespace shoal {

// What of a text is measured, and beside what.
struct QualityOptions {
  EvalCut cut = {};
  std::string reference = {};  // Files of saved logits to read and to write; empty: none.
  std::string save = {};
  int top = 256;  // Ids of a token that `save` keeps, at most as many as the vocabulary has.
};

// What came of it.
struct QualitySummary {
  std::string model;
  int64_t n_tokens = 0;  // Of the text.
  EvalCut cut = {};
  QualityReport report = {};
  std::string reference = {};  // Its model; empty: none.
  int reference_top = 0;
  double seconds = 0;
};

// Says on standard error how far it is. The errors of PlanWindows, CheckReference and Evaluate, and
// the files'; a reference is refused before anything is computed or written.
absl::StatusOr<QualitySummary> MeasureQuality(const OfflineModel& offline,
                                              const std::vector<int32_t>& ids,
                                              const QualityOptions& options);

std::string QualityText(const QualitySummary& summary);  // A few lines for people.
std::string QualityJson(const QualitySummary& summary);  // One line.

}  // namespace shoal
