#include "framework/nn/channels/moe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>

#include "framework/nn/tensor_region.h"
#include "framework/ops/balance.h"
#include "framework/ops/linear.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/route.h"
#include "framework/ops/shape.h"
#include "parallel/layers/expert.h"
#include "parallel/layers/expert_load.h"
#include "parallel/mesh/collectives.h"

namespace og {

namespace {

// [G, E] as [1, E].
Tensor sum_of_rows(Context& cx, const Tensor& counts_GE) {
  return sum_counts(cx, counts_GE.reshape({counts_GE.size(0), 1, 1, counts_GE.size(1)}));
}

// Adds to what earlier segments brought, if there were any.
void add_segment(Context& cx, Tensor& sum, const Tensor& segment) {
  if (!sum.defined()) sum = cx.zeros(segment.shape(), DType::i32);
  add_counts(cx.stream, sum, segment);
}

}  // namespace

// What a second pass over the same tokens must not decide again.
struct Moe::Decision {
  Tensor experts_NK;  // i32, ~id where dropped
  RowCounts counts;   // the host does not read them again
  // i32 [B, E], or [1, E] for the scope micro_step: choices per row of the batch, from all ranks. Absent outside
  // training.
  Tensor total_GE;

  static Decision replayed(Pins& pins) {
    Decision pinned;
    for (Tensor* t : pinned.tensors()) *t = pins.take();
    return pinned;
  }
  void keep(Pins& pins) {
    for (const Tensor* t : tensors()) pins.keep(*t);
  }

 private:
  std::array<Tensor*, 5> tensors() {
    return {&experts_NK, &counts.sent_PE, &counts.received_PE, &counts.on_host_2PE, &total_GE};
  }
};

Moe::Moe(const LayerContext& context, const MoeOptions& options)
    : options_(options), mesh_(context.store.mesh()), cx_(context.store.context()) {
  const Init init = Init::normal(context.initializer_range);
  const int64_t e = options.num_experts, f = options.moe_intermediate_size, d = context.hidden_size;
  gate_ = &context.store.add({.name = context.prefix + ".gate.weight",
                              .global_shape = {e, d},
                              .init = init,
                              .role = ParameterRole::product,
                              .varies_over_tensor = true});
  if (options.balance == MoeOptions::Balance::bias)
    bias_ = &context.store.add({.name = context.prefix + ".gate.bias",
                                .global_shape = {e},
                                .init = Init::zeros(),
                                .decay = false,
                                .varies_over_tensor = true});
  gate_proj_ = &context.add("experts.gate_proj.weight", {e, f, d}, init, Shard::expert);
  up_proj_ = &context.add("experts.up_proj.weight", {e, f, d}, init, Shard::expert);
  down_proj_ = &context.add("experts.down_proj.weight", {e, d, f}, init, Shard::expert);
  if (options.num_shared_experts > 0) {
    LayerContext shared = context;
    shared.prefix += ".shared_experts";
    shared_ = std::make_unique<Mlp>(shared, options.num_shared_experts * f);
  }
  load_E_ = cx_.zeros({e}, DType::i64);
}

Moe::Decision Moe::decide(StepContext& step, const RouterScores& router, TokenRows rows, SideOutputs& side) {
  Pins* pins = step.tape.pins;
  if (pins != nullptr && pins->replaying()) return Decision::replayed(*pins);
  SegmentedRow::Choices* row = step.training && step.row ? &step.row->choices[this] : nullptr;
  Decision decision;
  decision.experts_NK = choose_experts(cx_, router.scores_NE.tensor(), bias_ ? bias_->value.tensor() : Tensor(),
                                       options_.num_experts_per_tok);
  std::optional<ExpertLoad> load;
  if (step.training) {
    load.emplace(step.tape, decision.experts_NK, rows, step.seq, options_.num_experts, mesh_);
    add_loads(cx_.stream, load_E_, load->own_RE());
    if (options_.capacity_factor)
      side.sums.add(cx_, StepSum::tokens_dropped, drop(step, decision.experts_NK, rows, load->before_RE(), row));
  }
  decision.counts = exchange_counts(step.tape, decision.experts_NK, options_.num_experts, mesh_.expert());
  if (step.training) {
    decision.total_GE = total_choices(step, load->total_BE(), row);
    side.sums.add(cx_, StepSum::expert_load, max_over_mean(cx_, decision.total_GE));
    side.sums.add(cx_, StepSum::expert_layers, 1);
  }
  if (pins != nullptr) decision.keep(*pins);
  return decision;
}

Tensor Moe::drop(StepContext& step, const Tensor& experts_NK, TokenRows rows, const Tensor& before_RE,
                 const SegmentedRow::Choices* row) const {
  const double mean =
      static_cast<double>(options_.num_experts_per_tok * step.row_length()) / static_cast<double>(options_.num_experts);
  const auto capacity = static_cast<int64_t>(std::ceil(*options_.capacity_factor * mean - 1e-9));
  if (row && row->of_rows_BE.defined()) add_counts(cx_.stream, before_RE, row->of_rows_BE);
  return drop_over_capacity(cx_, experts_NK, rows, before_RE, capacity);
}

Tensor Moe::total_choices(StepContext& step, Tensor total_BE, SegmentedRow::Choices* row) {
  if (row) add_segment(cx_, row->of_rows_BE, total_BE);
  Tensor total_GE = std::move(total_BE);
  if (options_.aux_loss_scope == MoeOptions::BalanceScope::micro_step) {
    total_GE = sum_of_rows(cx_, total_GE);
    mesh_.data().all_reduce(total_GE, Reduce::sum, forward_site(step.tape, Sites::moe_balance)).wait();
  }
  if (!row) return total_GE;
  add_segment(cx_, row->of_scope_GE, total_GE);
  return row->of_scope_GE;
}

// Balance: BalanceScale. z: coefficient times the mean of lse^2 (arXiv 2202.08906).
void Moe::add_losses(StepContext& step, const RouterScores& router, const Decision& decision, TokenRows rows,
                     SideOutputs& side) {
  if (options_.balance == MoeOptions::Balance::aux_loss && options_.aux_loss_coef > 0) {
    const BalanceScale scale{.coefficient = options_.aux_loss_coef,
                             .choices_per_token = static_cast<double>(options_.num_experts_per_tok),
                             .row_length = static_cast<double>(step.row_length()),
                             .rows_in_step = static_cast<double>(step.rows_in_step)};
    const Tensor c = balance_coefficients(cx_, decision.total_GE, scale, router.scores_NE.dtype());
    const bool whole = options_.aux_loss_scope == MoeOptions::BalanceScope::micro_step;
    const TokenRows scope = whole ? TokenRows{0, std::max<int64_t>(1, router.scores_NE.size(0))}
                                  : TokenRows{rows.first, rows.per_row * step.seq.shards_of_rank()};
    side.losses.push_back(balance_loss(step.tape, router, c, scope));
    side.sums.add(cx_, StepSum::aux_loss, side.losses.back().tensor());
  }
  if (options_.z_loss_coef > 0) {
    const double tokens = static_cast<double>(step.row_length()) * static_cast<double>(step.rows_in_step);
    side.losses.push_back(z_loss(step.tape, router.lse_N, options_.z_loss_coef / tokens));
    side.sums.add(cx_, StepSum::z_loss, side.losses.back().tensor());
  }
}

Value Moe::experts(Tape& tape, const Value& rows, const Tensor& row_begin) const {
  const Value gate = grouped_linear(tape, rows, gate_proj_->value, row_begin);
  const Value up = grouped_linear(tape, rows, up_proj_->value, row_begin);
  return grouped_linear(tape, silu_multiply(tape, gate, up), down_proj_->value, row_begin);
}

Value Moe::forward(StepContext& step, const Value& x, SideOutputs& side) {
  Tape& tape = step.tape;
  Comm& tensor = mesh_.tensor();
  const int64_t width = x.size(-1);
  const std::vector<int64_t> extents = tokens_of_tensor_ranks(step);
  // Hidden states that are cut over tensor are cut as the experts need them.
  const bool is_cut = mesh_.sequence_norms;
  const Value tokens = is_cut ? x
                              : slice_to_varying(tape, reshape(tape, x, {x.shape().count() / width, width}), 0, extents,
                                                 Axis::tensor, tensor, Sites::tensor_forward);
  const TokenRows rows{std::accumulate(extents.begin(), extents.begin() + tensor.rank(), int64_t{0}),
                       std::max<int64_t>(1, step.seq.local_length())};

  const RouterScores router = router_scores(tape, linear(tape, tokens, gate_->value, true), options_.scoring_func);
  const Decision decision = decide(step, router, rows, side);
  const Value weights =
      route_weights(tape, router, decision.experts_NK, options_.norm_topk_prob, options_.routed_scaling_factor);
  const auto route = make_route(cx_, decision.experts_NK, decision.counts);

  Dispatch dispatch(tape, tokens, route, mesh_.expert());
  const Value shared = shared_ ? shared_->forward(step, x, side) : Value();
  const Value computed = experts(tape, dispatch.finish(), route->row_begin_E);
  Value y = combine(tape, computed, weights, *route, mesh_.expert());
  if (!is_cut)
    y = reshape(tape, all_gather_to_invariant(tape, y, 0, extents, Axis::tensor, tensor, Sites::tensor_forward),
                x.shape());
  if (step.training) add_losses(step, router, decision, rows, side);
  return shared_ ? add(tape, y, shared) : y;
}

void Moe::end_step() {
  if (bias_ == nullptr) return;
  mesh_.tokens_and_tensor().all_reduce(load_E_, Reduce::sum, Sites::moe_balance).wait();
  move_bias(cx_.stream, bias_->value.tensor(), load_E_, options_.bias_update_rate);
  load_E_.fill(0);
}

}  // namespace og
