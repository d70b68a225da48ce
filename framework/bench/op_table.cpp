#include "framework/bench/op_table.h"

#include "framework/core/rng.h"
#include "framework/nn/registry.h"
#include "framework/ops/attention.h"
#include "framework/ops/balance.h"
#include "framework/ops/conv.h"
#include "framework/ops/embed.h"
#include "framework/ops/feature_map.h"
#include "framework/ops/gates.h"
#include "framework/ops/linear.h"
#include "framework/ops/moe.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/rope.h"
#include "framework/ops/rows.h"
#include "framework/ops/shape.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

using Inputs = std::span<const Value>;
using Rows = std::vector<OpRow>;

// b rows of t tokens; h heads of d, or a width of w. Experts e, k of them for each token.
constexpr int64_t b = kSmallTokens.rows, t = kSmallTokens.length, h = 4, d = 4, w = 6, e = 4, k = 2;
constexpr int64_t B = kTimedTokens.rows, T = kTimedTokens.length, H = kTimedHeads.count, D = kTimedHeads.width,
                  W = H * D, E = 64;
constexpr double kElements = static_cast<double>(T * W);
const OpInput kWide{{b, t, w}, {B, T, W}}, kHeads{{b, t, h, d}, {B, T, H, D}}, kKeyHeads{{b, t, 2, d}, {B, T, 2, D}},
    kPerHead{{b, t, h}, {B, T, H}}, kPerToken{{b, t}, {B, T}}, kVector{.small = {w}, .timed = {W}, .is_weight = true},
    kScores{{b * t, e}, {T, E}};

OpInput weight(const Shape& small, const Shape& timed) { return {.small = small, .timed = timed, .is_weight = true}; }
OpInput moved(OpInput input, double shift, double scale) {
  input.shift = shift, input.scale = scale;
  return input;
}
OpInput on_tensor(OpInput input, Place place) {
  input.place.set(Axis::tensor, place);
  return input;
}

Tensor integers(Tape& tape, const Shape& shape, const std::function<int64_t(int64_t)>& f) {
  const Tensor x = tape.context().empty(shape, DType::i32);
  for (int64_t i = 0; i < x.count(); ++i) x.data<int32_t>()[i] = static_cast<int32_t>(f(i));
  return x;
}

// An op of one, two or three values, and what it takes after them.
template <class Op, class... More>
auto of(Op op, More... more) {
  return [=](Tape& tape, Inputs x, const SeqContext&) {
    if constexpr (std::is_invocable_v<Op, Tape&, Value, More...>) {
      return op(tape, x[0], more...);
    } else if constexpr (std::is_invocable_v<Op, Tape&, Value, Value, More...>) {
      return op(tape, x[0], x[1], more...);
    } else {
      return op(tape, x[0], x[1], x[2], more...);
    }
  };
}

void add_pointwise(Rows& rows) {
  for (int i = 0; i < kNumUnary; ++i) {
    const auto f = static_cast<Unary>(i);
    rows.push_back({fmt::format("apply {}", name_of(f)),
                    {kWide},
                    {4 * kElements, 8 * kElements},
                    [f](Tape& tape, Inputs x, auto&) { return apply(tape, f, x[0]); }});
  }
  rows.push_back({"add", {kWide, kWide}, {kElements, 0}, of(add)});
  rows.push_back({"multiply", {kWide, kWide}, {kElements, 2 * kElements}, of(multiply)});
  rows.push_back({"scale", {kWide}, {kElements, kElements}, of(scale, -2.5)});
  rows.push_back({"silu_multiply", {kWide, kWide}, {8 * kElements, 16 * kElements}, of(silu_multiply)});
  rows.push_back({"add_bias", {kWide, kVector}, {kElements, kElements}, of(add_bias)});
  rows.push_back({"multiply_last", {kWide, kVector}, {kElements, 3 * kElements}, of(multiply_last)});
  rows.push_back({"multiply_rows", {kWide, kPerToken}, {kElements, 3 * kElements}, of(multiply_rows)});
  rows.push_back({"multiply_heads", {kHeads, weight({h}, {H})}, {kElements, 3 * kElements}, of(multiply_heads)});
}

void add_products(Rows& rows) {
  const double flops = 2 * kElements * W;
  const auto run = of(linear, false);
  const OpInput matrix = weight({3, w}, {W, W});
  rows.push_back({"linear f32", {kWide, matrix}, {flops, 2 * flops}, run});
  rows.push_back({"linear bf16", {kWide, matrix}, {flops, 2 * flops}, run, 1.0 / 128, true});
  rows.push_back({"linear_split",
                  {on_tensor(kWide, Place::varying), on_tensor(matrix, Place::varying)},
                  {flops, 2 * flops},
                  of(linear_split, Axis::tensor)});
  rows.push_back({"grouped_linear",
                  {{{7, w}, {T, W}}, weight({4, 3, w}, {4, W, W})},
                  {flops, 2 * flops},
                  [](Tape& tape, Inputs x, auto&) {  // experts 0 and 2 have no rows
                    const int64_t n = x[0].size(0), first[] = {0, 0, n * 5 / 7, n * 5 / 7, n};
                    const Tensor borders = tape.context().empty({5}, DType::i64);
                    std::copy(std::begin(first), std::end(first), borders.data<int64_t>());
                    return grouped_linear(tape, x[0], x[1], borders);
                  }});
  rows.push_back(
      {"head_linear", {kHeads, weight({h, 3, d}, {H, D, D})}, {2 * kElements * D, 4 * kElements * D}, of(head_linear)});
}

void add_norms(Rows& rows) {
  const OpInput cut = on_tensor(kWide, Place::varying), cut_vector = on_tensor(kVector, Place::varying);
  const OpInput squares = on_tensor(moved(kPerToken, 0.7, 0.05), Place::replicated);
  rows.push_back({"rms_norm", {kWide, kVector}, {4 * kElements, 8 * kElements}, of(rms_norm, 1e-6)});
  rows.push_back(
      {"rms_norm by head", {kHeads, weight({h, d}, {H, D})}, {4 * kElements, 8 * kElements}, of(rms_norm, 1e-6)});
  rows.push_back({"l2_norm", {kHeads}, {3 * kElements, 6 * kElements}, of(l2_norm, 1e-6)});
  rows.push_back({"mean_square", {cut}, {2 * kElements, 2 * kElements}, of(mean_square, Axis::tensor, 2 * W)});
  rows.push_back({"rms_apply", {cut, squares, cut_vector}, {2 * kElements, 8 * kElements}, of(rms_apply, 1e-5)});
  rows.push_back({"softmax_last", {kHeads}, {6 * kElements, 4 * kElements}, of(softmax_last)});
  rows.push_back({"feature_map hedgehog",
                  {kHeads, weight({h, d, d}, {H, D, D})},
                  {2 * kElements * D + 12 * kElements, 4 * kElements * D + 8 * kElements},
                  [](Tape& tape, Inputs x, auto&) { return feature_map(tape, FeatureMap::hedgehog, x[0], x[1]); },
                  1e-4});
  rows.push_back(
      {"normalise_by_last", {moved(kHeads, 2, 0.3)}, {kElements, 4 * kElements}, of(normalise_by_last, 1e-6)});
}

void add_sequence(Rows& rows) {
  rows.push_back({"rope",
                  {kHeads},
                  {6 * kElements, 6 * kElements},
                  [](Tape& tape, Inputs x, const SeqContext& seq) { return rope(tape, x[0], seq.start_BT, 10000); },
                  1e-4});
  rows.push_back({"short_conv",
                  {kWide, {{b, 3, w}, {B, 3, W}}, weight({w, 4}, {W, 4})},
                  {12 * kElements, 20 * kElements},
                  [](Tape& tape, Inputs x, const SeqContext& seq) {
                    return short_conv(tape, x[0], x[1], x[2], Value(), seq.start_BT, ConvActivation::silu);
                  }});
  rows.push_back({"lower_bound", {weight({3, w}, {24, T * 16})}, {6 * kElements, 6 * kElements}, of(lower_bound, 2)});
  rows.push_back(
      {"bounded_log_gate", {kWide, moved(kVector, 0.5, 0.1)}, {10 * kElements, 10 * kElements}, of(bounded_log_gate)});
  rows.push_back({"constant_gate", {kHeads}, {kElements, kElements}, [](Tape& tape, Inputs x, auto&) {
                    const std::vector<double> decay(static_cast<size_t>(x[0].size(2)), -0.1);
                    return multiply_rows(tape, x[0], constant_gate(tape, x[0], decay));
                  }});
  rows.push_back({"embed",
                  {weight({7, w}, {T, W})},
                  {0, kElements},
                  [](Tape& tape, Inputs x, const SeqContext& seq) {  // some tokens stand twice, some on other ranks
                    const int64_t vocabulary = x[0].size(0);
                    const Tensor tokens =
                        integers(tape, seq.start_BT.shape(), [&](int64_t i) { return i * 5 % (vocabulary + 2); });
                    return embed(tape, x[0], tokens, 1, {});
                  }});
}

// The scan of a mixer's gate family. Gates decay slowly, write strengths lie around a half.
OpRow scan_row(const std::string& name, const std::string& mixer) {
  const Recurrence recurrence = find_mixer_type(mixer)->recurrence.recurrence;
  const double flops = static_cast<double>(T) * ScanShape{recurrence, H, D, D}.flops_per_token();
  std::vector<OpInput> inputs{kHeads, kHeads, kHeads};
  if (recurrence.gate != Gate::none)
    inputs.push_back(moved(recurrence.gate == Gate::scalar ? kPerHead : kHeads, -0.1, 0.02));
  if (recurrence.delta) inputs.push_back(moved(kPerHead, 0.5, 0.1));
  const auto run = [recurrence](Tape& tape, Inputs x, const SeqContext& seq) {
    ScanStreams s{{.q = x[0], .k = x[1], .v = x[2]}, 0.125};
    size_t next = 3;
    if (recurrence.gate != Gate::none) s.g = x[next++];
    if (recurrence.delta) {
      s.k = l2_norm(tape, s.k, 1e-6);
      s.beta = x[next++];
    }
    return scan(tape, recurrence, s, seq, {}).o;
  };
  return {name, inputs, {flops, 2 * flops}, run, 1e-4};
}

void add_mixing(Rows& rows) {
  rows.push_back(scan_row("linear attention", "linear"));
  for (const char* mixer : {"simple_gla", "gla", "delta_net", "gated_delta_net"})
    rows.push_back(scan_row(mixer, mixer));
  const double flops = 4.0 * kElements * T / 2;
  rows.push_back({"attention",
                  {kHeads, kKeyHeads, kKeyHeads},
                  {flops, 2.5 * flops},
                  [](Tape& tape, Inputs x, const SeqContext& seq) {
                    return attention(tape, x[0], x[1], x[2], seq.start_BT, 0, {});
                  },
                  1e-4});
}

void add_moves(Rows& rows) {
  rows.push_back({"reshape",
                  {kWide},
                  {0, 0},
                  [](Tape& tape, Inputs x, auto&) {
                    return reshape(tape, x[0], {x[0].size(1), x[0].size(0), x[0].size(2)});
                  },
                  0,
                  false,
                  false});
  rows.push_back({"split_last", {kWide}, {0, 0}, [](Tape& tape, Inputs x, auto&) {
                    const auto p = split_last(tape, x[0], {1, x[0].size(-1) - 3, 2});
                    return concat_last(tape, {p[1], p[0], p[1]});
                  }});
  rows.push_back({"concat_last", {kWide, kWide}, {0, 0}, [](Tape& tape, Inputs x, auto&) {
                    return concat_last(tape, {x[1], x[0]});
                  }});
  rows.push_back({"concat_rows", {kHeads, {{b, 3, h, d}, {B, T, H, D}}}, {0, 0}, of(concat_rows)});
  rows.push_back({"own_slice",
                  {on_tensor(weight({5, w}, {T, W}), Place::replicated)},
                  {0, 0},
                  [](Tape& tape, Inputs x, auto&) { return own_slice(tape, x[0], 1, x[0].size(0) - 1, Axis::tensor); },
                  0,
                  false,
                  false});
  rows.push_back({"repeat_heads", {kKeyHeads}, {0, 2.0 * T * D * 3}, of(repeat_heads, 3)});
  rows.push_back({"slice_heads", {kHeads}, {0, kElements}, [](Tape& tape, Inputs x, auto&) {
                    const int64_t n = x[0].size(2) - 1;
                    return add(tape, slice_heads(tape, x[0], 0, n), slice_heads(tape, x[0], 1, n));
                  }});
  rows.push_back({"repeat_elements", {weight({3}, {T * 64})}, {0, 4.0 * T * 64}, of(repeat_elements, 4)});
  rows.push_back({"append_ones", {kWide}, {0, 0}, of(append_ones)});
}

// Token n goes to experts n and n + 1 of e; each third choice is dropped.
Tensor some_experts(Tape& tape, int64_t tokens, int64_t num_experts) {
  return integers(tape, {tokens, k}, [&](int64_t i) {
    const int64_t first = i / k % (num_experts - 1), expert = first + i % k;
    return i % 3 == 2 ? ~expert : expert;
  });
}

// Token n lies in rows 2n and 2n + 1; the last token has no second row.
Tensor some_slots(Tape& tape, int64_t tokens) {
  return integers(tape, {tokens, 2}, [&](int64_t i) { return i == 2 * tokens - 1 ? -1 : i; });
}

void add_routing(Rows& rows) {
  const double scores = static_cast<double>(T * E);
  const OpInput positive = moved(kScores, 0.5, 0.1);
  for (const Scoring scoring : {Scoring::softmax, Scoring::sigmoid}) {
    const char* name = scoring == Scoring::softmax ? "softmax" : "sigmoid";
    rows.push_back({fmt::format("router_scores {}", name),
                    {kScores},
                    {7 * scores, 8 * scores},
                    [scoring](Tape& tape, Inputs x, auto&) {
                      const RouterScores s = router_scores(tape, x[0], scoring);
                      return multiply_rows(tape, s.scores_NE, s.lse_N);
                    }});
    rows.push_back({fmt::format("balance_loss {}", name),
                    {positive},
                    {2 * scores, 2 * scores},
                    [scoring](Tape& tape, Inputs x, auto&) {
                      const TokenRows scope{.first = 1, .per_row = 3};
                      const Tensor c = integers(tape, {scope(x[0].size(0)) + 1, x[0].size(1)},
                                                [](int64_t i) { return i * 7 % 3 % 2; });
                      return balance_loss(tape, {x[0], {}, scoring}, c.cast(*tape.context().pool, x[0].dtype()), scope);
                    }});
  }
  for (const bool normalise : {true, false})
    rows.push_back({normalise ? "route_weights normalised" : "route_weights",
                    {positive},
                    {2.0 * T * k, 4.0 * T * k},
                    [normalise](Tape& tape, Inputs x, auto&) {
                      const Tensor experts = some_experts(tape, x[0].size(0), x[0].size(1));
                      return route_weights(tape, {x[0], {}, Scoring::softmax}, experts, normalise, 2.5);
                    }});
  rows.push_back({"z_loss", {{{b * t}, {T * E}}}, {2 * scores, 2 * scores}, of(z_loss, 0.3)});
  rows.push_back({"gather_rows", {{{b * t, w}, {T, W}}}, {0, kElements}, [](Tape& tape, Inputs x, auto&) {
                    const int64_t n = x[0].size(0);
                    const Tensor index =
                        integers(tape, {std::max<int64_t>(0, 2 * n - 1)}, [](int64_t m) { return m / 2; });
                    return gather_rows(tape, x[0], index, some_slots(tape, n));
                  }});
  rows.push_back(
      {"combine_rows",
       {{{5, w}, {2 * T - 1, W}}, {{3, 2}, {T, 2}}},
       {4 * kElements, 8 * kElements},
       [](Tape& tape, Inputs x, auto&) { return combine_rows(tape, x[0], x[1], some_slots(tape, x[1].size(0))); }});
}

}  // namespace

std::vector<OpRow> op_table() {
  Rows rows;
  for (const auto add : {add_products, add_norms, add_sequence, add_mixing, add_pointwise, add_moves, add_routing})
    add(rows);
  return rows;
}

Tensor random_elements(Context& cx, const Shape& shape, DType dtype, uint64_t key, double shift, double scale) {
  const Tensor x = cx.empty(shape, dtype);
  visit_real(dtype, [&](auto zero) {
    using R = decltype(zero);
    for (int64_t i = 0; i < x.count(); ++i)
      x.data<R>()[i] = static_cast<R>(shift + scale * random_normal(key, static_cast<uint64_t>(i)));
  });
  return x;
}

std::vector<Value> leaves_of(Context& cx, const OpRow& row, bool timed, DType dtype) {
  std::vector<Value> leaves;
  for (const OpInput& input : row.inputs) {
    const Shape& shape = timed ? input.timed : input.small;
    leaves.push_back(
        Value::leaf(random_elements(cx, shape, dtype, leaves.size() + 1, input.shift, input.scale), input.place));
  }
  return leaves;
}

}  // namespace og
