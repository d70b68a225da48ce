#include "framework/train/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "framework/core/profile.h"
#include "framework/train/pipeline.h"

namespace og {

namespace {

bool is_finite(const Tensor& t) {
  return visit_real(t.dtype(), [&](auto zero) {
    const auto v = t.flat<const decltype(zero)>();
    return std::all_of(v.data, v.data + v.size(), [](auto x) { return std::isfinite(x); });
  });
}

}  // namespace

TrainStep::TrainStep(Context& cx, Mesh& mesh, ParameterStore& store, HybridLM& model, AdamW& optimizer,
                     StepOptions options)
    : cx_(cx),
      mesh_(mesh),
      store_(store),
      model_(model),
      optimizer_(optimizer),
      options_(options),
      reducer_(cx, mesh,
               optimizer.sharding() == OptimizerSharding::zero1 ? GradientReducer::Sums::pieces
                                                                : GradientReducer::Sums::whole) {
  for (Parameter& p : store.all()) reducer_.add(p.value, *p.gradient_group);
}

RowsOptions TrainStep::rows_options() const {
  return {.rows_in_step = options_.rows_in_step,
          .segment_length = options_.segment_length,
          .recompute = options_.recompute};
}

StepResult TrainStep::run(int64_t step, int64_t first_row, const RowSource& rows, double learning_rate,
                          bool stop_requested) {
  const int64_t micro_rows = options_.micro_batch_size;
  const int64_t num_micro = options_.rows_in_step / (micro_rows * mesh_.data().size());
  StepResult result;

  const double data_begin = now_seconds();
  std::vector<Batch> batches;
  int64_t valid = 0;
  for (int64_t m = 0; m < num_micro; ++m) {
    batches.push_back(rows(first_row + (m * mesh_.data().size() + mesh_.data().rank()) * micro_rows, micro_rows));
    valid += batches.back().valid_tokens;
  }
  result.data_seconds = now_seconds() - data_begin;
  result.valid_tokens = static_cast<int64_t>(mesh_.data().sum(static_cast<double>(valid), Site{"loss"}));
  // Loaders mask nothing in training; rows without a target would give a gradient of zero.
  const double weight = 1.0 / static_cast<double>(std::max<int64_t>(1, result.valid_tokens));

  double loss_sum = 0;
  SideOutputs side;
  const std::function<void(Slot&)> on_leaf_ready = [this](Slot& slot) { reducer_.ready(slot); };
  if (mesh_.pipeline().size() > 1) {
    reducer_.begin();
    loss_sum = train_pipeline(cx_, mesh_, model_, batches, rows_options(), weight, side, on_leaf_ready);
  } else {
    for (size_t m = 0; m < batches.size(); ++m) {
      const bool last = m + 1 == batches.size();
      if (last) reducer_.begin();
      loss_sum += train_rows(cx_, mesh_, model_, batches[m], rows_options(), weight, side,
                             last ? on_leaf_ready : std::function<void(Slot&)>());
    }
  }
  reducer_.finish();
  result.tokens_dropped = side.tokens_dropped;

  // Every rank's part of what is logged, in one sum. The loss is the same on all tensor ranks: one of them counts.
  const bool counts = mesh_.tensor().rank() == 0;
  const auto total = [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); };
  const Tensor sums = cx_.zeros({5}, DType::f64);
  auto* s = sums.data<double>();
  s[0] = counts ? loss_sum * weight : 0;
  s[1] = total(side.aux_loss);
  s[2] = total(side.z_loss);
  s[3] = static_cast<double>(result.tokens_dropped);
  s[4] = stop_requested ? 1 : 0;
  mesh_.world().all_reduce(sums, Reduce::sum, Site{"metrics"}).wait();
  result.loss = s[0];
  result.aux_loss = s[1];
  result.z_loss = s[2];
  result.tokens_dropped = static_cast<int64_t>(s[3]);
  result.stop_requested = s[4] > 0;
  // The mean over the layers of all stages.
  const std::vector<double>& load = side.load_max_over_mean;
  const double loads = mesh_.pipeline().sum(static_cast<double>(load.size()), Site{"metrics"});
  const double load_sum = mesh_.pipeline().sum(total(load), Site{"metrics"});
  result.expert_load_max_over_mean = mesh_.world().max(loads > 0 ? load_sum / loads : 0, Site{"metrics"});
  result.grad_norm = reducer_.norm();
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) report_bad_numbers(step, result.loss, batches);
  const double limit = options_.max_grad_norm;
  const double scale = limit > 0 && result.grad_norm > limit ? limit / result.grad_norm : 1.0;
  optimizer_.step(learning_rate, scale);
  model_.end_step();
  return result;
}

void TrainStep::report_bad_numbers(int64_t step, double loss, const std::vector<Batch>& batches) {
  const int64_t num_layers = model_.config().num_hidden_layers;
  const int64_t none = num_layers + 2;
  int64_t first = none;
  model_.on_layer_output = [&](int64_t layer, const Tensor& x) {
    if (layer < first && !is_finite(x)) first = layer;
  };
  for (const Batch& batch : batches) {
    const double sum = forward_rows(cx_, mesh_, model_, batch, rows_options());
    if (!std::isfinite(sum)) first = std::min(first, num_layers + 1);
  }
  model_.on_layer_output = nullptr;
  first = static_cast<int64_t>(-mesh_.world().max(-static_cast<double>(first), Site{"metrics"}));

  std::string where;
  if (first == -1) {
    where = "the output of the embedding (model.embed_tokens)";
  } else if (first < num_layers) {
    where = fmt::format("the output of layer {} (model.layers.{}: {}, {})", first, first,
                        model_.config().mixer(first).type, model_.config().channel(first).type);
  } else if (first == num_layers) {
    where = "the output of the final norm (model.norm)";
  } else if (first == num_layers + 1) {
    where = "the loss (lm_head)";
  } else {
    // Forward is clean, so a gradient is bad. Backward runs from the last layer down, so the last one named is the
    // origin.
    int64_t last = -1, index = 0;
    for (const Parameter& p : store_.all()) {
      if (!is_finite(p.value.slot()->gradient_or_zero(cx_))) last = index;
      ++index;
    }
    last = static_cast<int64_t>(mesh_.world().max(static_cast<double>(last), Site{"metrics"}));
    where = last < 0 ? std::string("the gradient norm")
                     : fmt::format("the gradient of {}", store_.all()[static_cast<size_t>(last)].record.name);
  }
  fail(
      Status::numbers,
      "step {}: the loss is {} and numbers first go bad in {}. Nothing was updated; the last checkpoint is good. Lower "
      "train.optimizer.learning_rate, raise train.schedule.warmup_steps, or set train.precision: f32",
      step, loss, where);
}

}  // namespace og
