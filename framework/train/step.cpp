#include "framework/train/step.h"

#include <algorithm>
#include <cmath>

#include "framework/core/finite.h"
#include "framework/core/host_read.h"
#include "framework/core/profile.h"
#include "framework/core/text.h"
#include "framework/ops/ranges.h"
#include "framework/ops/scalars.h"
#include "framework/optim/clip.h"
#include "framework/train/pipeline.h"

namespace og {

namespace {

// Weights are tried on so many tokens of a row for each sequence rank before they are saved.
constexpr int64_t kTrialTokens = 1024;

// Weights whose loss is more than so many times ln(vocabulary), the loss of a model that knows nothing, are refused.
constexpr double kAbsurd = 10;

bool is_finite(const Tensor& t) { return first_not_finite(t.dtype(), {t.raw(), static_cast<size_t>(t.bytes())}) < 0; }

// A batch of the first tokens of every row.
Batch beginning_of(Pool& pool, const Batch& rows, int64_t length) {
  Batch cut;
  const auto copy = [&](const Tensor& from) {
    const Tensor to = Tensor::empty(pool, {from.size(0), length}, DType::i32);
    move_range({}, 1, to, 0, Put::write, from, 0, length);
    return to;
  };
  cut.tokens_BT = copy(rows.tokens_BT);
  cut.targets_BT = copy(rows.targets_BT);
  cut.starts_BT = copy(rows.starts_BT);
  const auto* targets = cut.targets_BT.data<const int32_t>();
  cut.valid_tokens = std::count_if(targets, targets + cut.targets_BT.count(), [](int32_t id) { return id >= 0; });
  return cut;
}

}  // namespace

TrainStep::TrainStep(HybridLM& model, AdamW& optimizer, const StepOptions& options)
    : model_(model),
      cx_(model.context()),
      mesh_(model.mesh()),
      optimizer_(optimizer),
      options_(options),
      reducer_(cx_, optimizer.layout()) {}

StepResult TrainStep::run(int64_t step, int64_t first_row, const RowSource& rows, double learning_rate,
                          bool stop_requested) {
  const CommPhase phase(mesh_.world().counters(), kStepPhase);
  const int64_t micro_rows = options_.micro_batch_size;
  const int64_t num_micro = options_.rows.rows_in_step / (micro_rows * mesh_.data().size());
  StepResult result;

  const double data_begin = now_seconds();
  std::vector<Batch> batches;
  int64_t valid = 0;
  for (int64_t m = 0; m < num_micro; ++m) {
    batches.push_back(rows(first_row + (m * mesh_.data().size() + mesh_.data().rank()) * micro_rows, micro_rows));
    valid += batches.back().valid_tokens;
  }
  result.data_seconds = now_seconds() - data_begin;
  result.valid_tokens = static_cast<int64_t>(mesh_.data().sum(static_cast<double>(valid), Sites::loss));
  // Loaders mask nothing in training; rows without a target would give a gradient of zero.
  const double weight = 1.0 / static_cast<double>(std::max<int64_t>(1, result.valid_tokens));

  const StepSums sums(cx_, mesh_.data().size());  // behind: the experts' load on each data rank
  const std::function<void(Slot&)> on_leaf_ready = [this](Slot& slot) { reducer_.ready(slot); };
  if (mesh_.pipeline().size() > 1) {
    reducer_.begin();
    train_pipeline(model_, batches, options_.rows, weight, sums, on_leaf_ready);
  } else {
    for (size_t m = 0; m < batches.size(); ++m) {
      const bool last = m + 1 == batches.size();
      if (last) reducer_.begin();
      train_rows(model_, batches[m], options_.rows, weight, sums, last ? on_leaf_ready : std::function<void(Slot&)>());
    }
  }
  reducer_.finish();
  reducer_.add_square_norm(sums.at(StepSum::square_norm));
  sum_over_world(sums, weight, stop_requested);
  // Weights stay as they are where a number is not finite: the host need not know before the update starts.
  optimizer_.step(learning_rate, sums.at(StepSum::gradient_scale));
  read(sums, result);
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    optimizer_.undo_step();
    fail(Status::numbers, "step {}: the loss is {} and numbers first go bad in {}. Nothing was updated", step,
         printable(result.loss), where_numbers_go_bad(batches));
  }
  optimizer_.clear_gradients();
  model_.end_step();
  return result;
}

// Every rank's part of what is logged, in one sum, and the scale of the gradient that follows.
void TrainStep::sum_over_world(const StepSums& sums, double weight, bool stop_requested) {
  // The loss is the same on all tensor ranks, a layer's load on all that share rows: one of them counts.
  if (mesh_.tensor().rank() == 0) sums.add(cx_, StepSum::mean_loss, sums.at(StepSum::loss), weight);
  if (mesh_.tensor().rank() == 0 && mesh_.sequence().rank() == 0)
    add_scalar(cx_.stream, sums.at(kNumStepSums + mesh_.data().rank()), sums.at(StepSum::expert_load));
  if (stop_requested) sums.add(cx_, StepSum::stop, 1);
  mesh_.world().all_reduce(sums.all(), Reduce::sum, Sites::metrics).wait();
  clip(cx_.stream, model_.dtype(),
       {.norm = sums.at(StepSum::grad_norm),
        .scale = sums.at(StepSum::gradient_scale),
        .square_norm = sums.at(StepSum::square_norm),
        .loss = sums.at(StepSum::mean_loss),
        .limit = options_.max_grad_norm});
}

void TrainStep::read(const StepSums& sums, StepResult& result) {
  const std::vector<double> all = host_read<double>(cx_, sums.all());
  const auto at = [&](StepSum place) { return all[static_cast<size_t>(place)]; };
  result.loss = at(StepSum::mean_loss);
  result.aux_loss = at(StepSum::aux_loss);
  result.z_loss = at(StepSum::z_loss);
  result.tokens_dropped = static_cast<int64_t>(at(StepSum::tokens_dropped));
  result.stop_requested = at(StepSum::stop) > 0;
  result.grad_norm = at(StepSum::grad_norm);
  // The mean over the layers of all stages, on the data rank where it is largest. All ranks of a stage counted layers.
  const double layers = at(StepSum::expert_layers) / (mesh_.world().size() / mesh_.pipeline().size());
  const double load = *std::max_element(all.begin() + kNumStepSums, all.end());
  result.expert_load_max_over_mean = layers > 0 ? load / layers : 0;
}

void TrainStep::try_weights(int64_t step, int64_t first_row, const RowSource& rows) {
  const int64_t length = kTrialTokens * mesh_.sequence().size();
  std::vector<Batch> batches{rows(first_row + mesh_.data().rank(), 1)};
  if (batches[0].tokens_BT.size(1) > length) batches[0] = beginning_of(*cx_.pool, batches[0], length);
  // The last stage of a pipeline has the losses, the others zeros.
  const double sum = mesh_.tokens_and_pipeline().sum(
      forward_rows(model_, batches[0], {.rows_in_step = options_.rows.rows_in_step}), Sites::checkpoint);
  const double valid = mesh_.data().sum(static_cast<double>(batches[0].valid_tokens), Sites::checkpoint);
  const double loss = sum / std::max(valid, 1.0);
  const double most = kAbsurd * std::log(static_cast<double>(model_.config().vocab_size));
  const bool finite = mesh_.world().max(std::isfinite(loss) ? 0 : 1, Sites::checkpoint) == 0;
  if (!finite)
    fail(
        Status::numbers,
        "step {}: its update made the loss of the next rows {}, and numbers first go bad in {}. These weights were not "
        "saved",
        step, printable(loss), where_numbers_go_bad(batches));
  if (mesh_.world().max(loss > most ? 1 : 0, Sites::checkpoint) > 0)
    fail(Status::numbers,
         "step {}: its update made the loss of the next rows {:.4g}; a model that knows nothing has ln(vocabulary) = "
         "{:.4g}. These weights were not saved",
         step, loss, most / kAbsurd);
}

std::string TrainStep::where_numbers_go_bad(const std::vector<Batch>& batches) {
  const int64_t num_layers = model_.config().num_hidden_layers;
  const int64_t none = num_layers + 2;
  int64_t first = none;
  model_.on_layer_output = [&](int64_t layer, const Tensor& x) {
    if (layer < first && !is_finite(x)) first = layer;
  };
  for (const Batch& batch : batches) {
    const double sum = forward_rows(model_, batch, options_.rows);
    if (!std::isfinite(sum)) first = std::min(first, num_layers + 1);
  }
  model_.on_layer_output = nullptr;
  first = static_cast<int64_t>(-mesh_.world().max(-static_cast<double>(first), Sites::metrics));

  if (first == -1) return "the output of the embedding (model.embed_tokens)";
  if (first < num_layers)
    return fmt::format("the output of layer {} (model.layers.{}: {}, {})", first, first,
                       model_.config().mixer(first).type, model_.config().channel(first).type);
  if (first == num_layers) return "the output of the final norm (model.norm)";
  if (first == num_layers + 1) return "the loss (lm_head)";
  // Forward is clean, so a gradient is bad. Backward runs from the last layer to the first, so the bad gradient of the
  // last parameter is the origin.
  int64_t last = -1, index = 0;
  const auto& parameters = model_.store().all();
  for (const Parameter& p : parameters) {
    if (!is_finite(p.value.slot()->gradient_or_zero(cx_))) last = index;
    ++index;
  }
  last = static_cast<int64_t>(mesh_.world().max(static_cast<double>(last), Sites::metrics));
  return last < 0 ? std::string("the gradient norm")
                  : fmt::format("the gradient of {}", parameters[static_cast<size_t>(last)].record.name);
}

}  // namespace og
