#include "router/dispatch/remote_experts.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "engine/numerics_class.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

// How often a waiting step looks whether it has been cancelled.
constexpr absl::Duration kCancelPeriod = absl::Milliseconds(10);

uint64_t DrawIncarnation() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

wire::RowFormat ToWire(RowFormat format) {
  return format == RowFormat::kF32 ? wire::ROW_FORMAT_F32 : wire::ROW_FORMAT_QUANTIZED;
}

// Result rows whose reply fits a message, header and all.
int RowsPerMessage(RowFormat format, int hidden_dim) {
  const size_t row_bytes = format == RowFormat::kF32 ? size_t(hidden_dim) * sizeof(float)
                                                     : size_t(hidden_dim) * 2 + sizeof(float);
  const size_t rows = kMaxPayloadBytes / row_bytes;
  return static_cast<int>(std::min(rows, size_t{kMaxCallRows}));
}

WorkerStatus FromWire(const wire::StatusReply& reply) {
  WorkerStatus status;
  status.model_id = reply.model_id();
  status.numerics_class = reply.numerics_class();
  status.isa = reply.isa();
  status.draining = reply.draining();
  status.calls = reply.calls();
  status.refused_calls = reply.refused_calls();
  status.rows_computed = reply.rows_computed();
  status.bytes_in = reply.bytes_in();
  status.bytes_out = reply.bytes_out();
  status.resident_experts = reply.resident_experts();
  status.resident_expert_bytes = reply.resident_expert_bytes();
  status.rss_bytes = reply.rss_bytes();
  status.compute = absl::Nanoseconds(static_cast<int64_t>(reply.compute_ns()));
  return status;
}

// Rows `rows` of `from` [n, row_elems], one after the other.
template <typename T>
void Gather(std::span<const T> from, size_t row_elems, std::span<const int32_t> rows,
            std::span<T> to) {
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(to.data() + i * row_elems, from.data() + rows[i] * row_elems,
                row_elems * sizeof(T));
  }
}

}  // namespace

RemoteExperts::Options RemoteExperts::OptionsFor(const ModelConfig& config, RowFormat format,
                                                 const KernelTable& kernels) {
  Options options;
  options.n_layers = config.n_layers;
  options.n_experts = config.n_experts;
  options.top_k = config.top_k;
  options.hidden_dim = config.hidden_dim;
  options.format = format;
  options.kernels = &kernels;
  return options;
}

RemoteExperts::RemoteExperts(Options options, std::unique_ptr<Dialer> calls,
                             std::unique_ptr<Dialer> health)
    : options_(std::move(options)),
      numerics_class_(NumericsClass(options_.format, options_.activations_f32)),
      max_call_results_(
          std::min(options_.max_call_results > 0 ? options_.max_call_results : kMaxCallRows,
                   RowsPerMessage(options_.format, options_.hidden_dim))),
      calls_dialer_(std::move(calls)),
      table_(DrawIncarnation()),
      scratch_(options_.hidden_dim),
      health_dialer_(std::move(health)) {}

absl::StatusOr<std::unique_ptr<RemoteExperts>> RemoteExperts::Connect(
    Options options, std::unique_ptr<Dialer> calls, std::unique_ptr<Dialer> health) {
  SHOAL_CHECK(!options.addresses.empty() && options.kernels != nullptr);
  std::unique_ptr<RemoteExperts> experts(
      new RemoteExperts(std::move(options), std::move(calls), std::move(health)));
  SHOAL_RETURN_IF_ERROR(experts->ConnectAll());
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<WorkerStatus> workers,
      experts->GetWorkerStatus(MonotonicNow() + experts->options_.connect_timeout));
  SHOAL_RETURN_IF_ERROR(experts->CheckWorkers(workers));
  return experts;
}

absl::Status RemoteExperts::ConnectAll() {
  if (max_call_results_ < options_.top_k) {
    return absl::InvalidArgumentError(absl::StrCat(
        "one row's top_k=", options_.top_k, " results do not fit a call of ", max_call_results_));
  }
  const absl::Time deadline = MonotonicNow() + options_.connect_timeout;
  for (const std::string& address : options_.addresses) {
    SHOAL_ASSIGN_OR_RETURN(
        const LinkId link,
        calls_dialer_->Connect({.address = address}, StreamKind::kRunExperts, deadline));
    links_.push_back({link, absl::OkStatus()});
    SHOAL_ASSIGN_OR_RETURN(
        const LinkId health,
        health_dialer_->Connect({.address = address}, StreamKind::kHealth, deadline));
    health_links_.push_back(health);
  }
  return absl::OkStatus();
}

absl::Status RemoteExperts::CheckWorkers(const std::vector<WorkerStatus>& workers) const {
  for (int w = 0; w < n_workers(); ++w) {
    const auto refuse = [&](auto... parts) {
      return absl::FailedPreconditionError(absl::StrCat(WorkerName(w), ": ", parts...));
    };
    if (workers[w].model_id != options_.model_id) {
      return refuse("serves model ", workers[w].model_id, ", not ", options_.model_id);
    }
    if (workers[w].numerics_class != numerics_class_) {
      return refuse("is of numerics class ", workers[w].numerics_class, ", not ", numerics_class_);
    }
    const int n_mine = (options_.n_experts - w + n_workers() - 1) / n_workers();
    const auto expected = static_cast<uint64_t>(n_mine) * options_.n_layers;
    if (workers[w].resident_experts < expected) {
      return refuse("holds ", workers[w].resident_experts, " experts of all layers, its share is ",
                    expected);
    }
  }
  return absl::OkStatus();
}

ExpertCall RemoteExperts::Start(int layer, MatView<const float> x, const Routing& routing,
                                const StepContext& step) {
  routing_ = routing;
  step_ = step;
  const absl::Time now = MonotonicNow();
  deadline_ = std::min(step.deadline, now + kMaxCallDeadline);
  plan_.Build(routing, RoundRobin{n_workers()}, max_call_results_);
  const ExpertInput input = encode_buffers_.Encode(*options_.kernels, options_.format, x);
  table_.Clear();
  for (const PlannedCall& planned : plan_.calls()) {
    Send(planned, layer, input, std::max(deadline_ - now, absl::Microseconds(1)));
  }
  return ExpertCall(next_call_id_++);
}

void RemoteExperts::Send(const PlannedCall& planned, int layer, const ExpertInput& input,
                         absl::Duration remaining) {
  const WorkerLink& link = links_[planned.worker];
  WorkerCall& call = table_.Open(
      {.id = {},
       .link = link.link,
       .worker = WorkerName(planned.worker),
       .format = options_.format,
       .n_results = static_cast<uint32_t>(planned.assignment.n_results()),
       .hidden_dim = static_cast<uint32_t>(options_.hidden_dim),
       .status = {},
       .reply = {},
       .output = {}},
      step_.step_id, static_cast<uint32_t>(layer), static_cast<uint32_t>(planned.worker));
  ++counters_.calls;
  if (!link.closed.ok()) return table_.Fail(call, link.closed);
  FrameBuffer frame = EncodeCall(planned, call.id, input, remaining);
  counters_.bytes_out += frame.size();
  if (absl::Status sent = calls_dialer_->Send(link.link, std::move(frame)); !sent.ok()) {
    table_.Fail(call, sent);
  }
}

FrameBuffer RemoteExperts::EncodeCall(const PlannedCall& planned, const wire::CallId& id,
                                      const ExpertInput& input, absl::Duration remaining) const {
  const ExpertAssignment& assignment = planned.assignment;
  wire::FrameHeader header;
  wire::RunExpertsRequest& request = *header.mutable_run_experts_request();
  *request.mutable_id() = id;
  request.set_remaining_us(static_cast<uint64_t>(absl::ToInt64Microseconds(remaining)));
  request.set_model_id(options_.model_id);
  request.set_numerics_class(numerics_class_);
  request.set_format(ToWire(options_.format));
  request.set_n_rows(static_cast<uint32_t>(planned.tokens.size()));
  request.set_hidden_dim(static_cast<uint32_t>(options_.hidden_dim));
  request.mutable_expert_ids()->Add(assignment.expert_ids.begin(), assignment.expert_ids.end());
  request.mutable_rows()->Add(assignment.rows.begin(), assignment.rows.end());
  for (size_t e = 0; e < assignment.expert_ids.size(); ++e) {
    request.add_n_expert_rows(assignment.row_begin[e + 1] - assignment.row_begin[e]);
  }
  const auto bytes = RequestPayloadBytes(request.format(), request.n_rows(), request.hidden_dim());
  SHOAL_CHECK(bytes.ok());  // A call has no more rows than results, and those fit.
  FrameWriter writer(header, *bytes);
  const auto rows = WriteRequestRows(request, writer.payload());
  SHOAL_CHECK(rows.ok());
  if (options_.format == RowFormat::kF32) {
    Gather<float>(input.f32, options_.hidden_dim, planned.tokens, rows->f32);
  } else {
    const auto blocks = static_cast<size_t>(ActivationBlocks(options_.hidden_dim));
    Gather<int8_t>(input.q8, blocks * kActivationBlock, planned.tokens, rows->q8);
    Gather<float>(input.scales, blocks, planned.tokens, rows->scales);
  }
  return std::move(writer).Finish();
}

RowStatuses RemoteExperts::Finish(ExpertCall /*call*/, MatView<float> out) {
  const absl::Time start = MonotonicNow();
  Await();
  counters_.wait += MonotonicNow() - start;
  const std::span<const WorkerCall> calls = table_.calls();
  outputs_.clear();
  for (const WorkerCall& call : calls) {
    outputs_.push_back(call.output);
    if (!call.status.ok()) ++counters_.failed_calls;
  }
  RowStatuses statuses;
  for (int t = 0; t < routing_.n_tokens; ++t) {
    absl::Status status;
    for (int k = 0; k < routing_.top_k; ++k) status.Update(calls[plan_.CallOf(t, k)].status);
    if (!status.ok()) {
      statuses.Fail(t, std::move(status));
      continue;
    }
    plan_.CombineRow(*options_.kernels, outputs_, routing_, t, scratch_.data(), out.row(t));
  }
  return statuses;
}

// Until every call has its answer, has failed, or the deadline passes.
void RemoteExperts::Await() {
  while (table_.n_open() > 0) {
    if (step_.cancelled != nullptr && step_.cancelled->load()) {
      return table_.FailOpen(absl::CancelledError("the step was cancelled"));
    }
    const absl::Time now = MonotonicNow();
    if (now >= deadline_) {
      return table_.FailOpen(absl::UnavailableError("no answer before the deadline"));
    }
    const absl::Time until =
        step_.cancelled == nullptr ? deadline_ : std::min(deadline_, now + kCancelPeriod);
    std::optional<LinkEvent> event = calls_dialer_->Next(until);
    if (event.has_value()) OnEvent(*std::move(event));
  }
}

void RemoteExperts::OnEvent(LinkEvent event) {
  if (event.status.ok()) {
    counters_.bytes_in += event.frame.size();
    return table_.OnFrame(event.link, std::move(event.frame));
  }
  for (WorkerLink& link : links_) {
    if (link.link == event.link) link.closed = event.status;
  }
  table_.OnClosed(event.link, event.status);
}

DispatchCounters RemoteExperts::counters() const {
  DispatchCounters counters = counters_;
  counters.dropped = table_.dropped();
  return counters;
}

absl::StatusOr<std::vector<WorkerStatus>> RemoteExperts::GetWorkerStatus(absl::Time deadline) {
  const uint64_t id = next_status_id_++;
  wire::FrameHeader header;
  header.mutable_status_request()->set_id(id);
  for (int w = 0; w < n_workers(); ++w) {
    const absl::Status sent = health_dialer_->Send(health_links_[w], EncodeFrame(header));
    if (!sent.ok()) return WorkerError(w, sent.message());
  }
  std::vector<WorkerStatus> workers(options_.addresses.size());
  for (size_t n_answers = 0; n_answers < workers.size();) {
    std::optional<LinkEvent> event = health_dialer_->Next(deadline);
    if (!event.has_value()) {
      const auto silent = std::find_if(workers.begin(), workers.end(),
                                       [](const WorkerStatus& w) { return w.address.empty(); });
      return WorkerError(static_cast<int>(silent - workers.begin()),
                         "no status before the deadline");
    }
    const auto from = std::find(health_links_.begin(), health_links_.end(), event->link);
    const auto w = static_cast<int>(from - health_links_.begin());
    if (!event->status.ok()) return WorkerError(w, event->status.message());
    const absl::StatusOr<Frame> frame = DecodeFrame(event->frame);
    if (!frame.ok() || !frame->header.has_status_reply()) continue;
    const wire::StatusReply& reply = frame->header.status_reply();
    if (reply.id() != id || !workers[w].address.empty()) continue;  // Of an earlier question.
    workers[w] = FromWire(reply);
    workers[w].address = options_.addresses[w];
    ++n_answers;
  }
  return workers;
}

absl::Status RemoteExperts::WorkerError(int worker, absl::string_view why) const {
  return absl::UnavailableError(absl::StrCat(WorkerName(worker), ": ", why));
}

std::string RemoteExperts::WorkerName(int worker) const {
  return absl::StrCat("worker ", worker, " (", options_.addresses[worker], ")");
}

}  // namespace shoal
