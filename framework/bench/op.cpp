#include "framework/bench/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "framework/core/number.h"
#include "framework/core/rng.h"
#include "framework/core/text.h"
#include "framework/measure/compare.h"
#include "framework/measure/machine.h"
#include "framework/nn/registry.h"
#include "framework/ops/attention.h"
#include "framework/ops/conv.h"
#include "framework/ops/linear.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/rope.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr int64_t kTokens = 2048, kHeads = 8, kHead = 64, kKvHeads = 2, kWidth = kHeads * kHead;
constexpr int kRepeats = 7;
constexpr int kMoreLimits = 50;  // more measurements of the limits, where those between the passes were disturbed

Value random_leaf(Context& cx, const Shape& shape, uint64_t key, double scale = 1, double shift = 0) {
  const Tensor t = cx.empty(shape, DType::f32);
  for (int64_t i = 0; i < t.count(); ++i)
    t.data<float>()[i] = static_cast<float>(shift + scale * random_normal(key, static_cast<uint64_t>(i)));
  return Value::leaf(t);
}

// An op on leaves. Its backward is run from a gradient of ones.
struct Op {
  std::string name;
  std::vector<Shape> inputs;
  double forward_flops, backward_flops;
  std::function<Value(Tape&, std::span<const Value>, const SeqContext&)> run;
  double bound;  // relative difference from the reference that rounding explains
  bool bf16 = false;
  std::vector<double> shift{}, scale{};  // moves and stretches each input; default 0 and 1
};

std::vector<Op> ops() {
  const auto tokens = static_cast<double>(kTokens);
  const Shape heads{1, kTokens, kHeads, kHead}, rows{1, kTokens, kWidth}, per_head{1, kTokens, kHeads};
  const double products = 2 * tokens * kWidth * kWidth;
  const double attention_flops = 4.0 * kHeads * kHead * tokens * tokens / 2;
  const double elements = tokens * kWidth;
  const auto linear_op = [](Tape& t, auto x, const SeqContext&) { return linear(t, x[0], x[1]); };
  // The scan of a mixer's gate family. Gates decay slowly, write strengths lie around a half.
  const auto scan_op = [&](const char* name, const char* mixer) {
    const Recurrence recurrence = find_mixer_type(mixer)->recurrence.recurrence;
    const double flops = tokens * ScanShape{recurrence, kHeads, kHead, kHead}.flops_per_token();
    Op op{name, {heads, heads, heads}, flops, 2 * flops, {}, 1e-4, false, {0, 0, 0}, {1, 1, 1}};
    const auto add = [&](const Shape& shape, double shift, double scale) {
      op.inputs.push_back(shape), op.shift.push_back(shift), op.scale.push_back(scale);
    };
    if (recurrence.gate != Gate::none) add(recurrence.gate == Gate::scalar ? per_head : heads, -0.1, 0.02);
    if (recurrence.delta) add(per_head, 0.5, 0.1);
    op.run = [recurrence](Tape& t, std::span<const Value> x, const SeqContext& seq) {
      ScanStreams s{{.q = x[0], .k = x[1], .v = x[2]}, 0.125};
      size_t next = 3;
      if (recurrence.gate != Gate::none) s.g = x[next++];
      if (recurrence.delta) {
        s.k = l2_norm(t, s.k, 1e-6);
        s.beta = x[next++];
      }
      return scan(t, recurrence, s, seq, {}).o;
    };
    return op;
  };
  std::vector<Op> all;
  all.push_back({"linear f32", {rows, {kWidth, kWidth}}, products, 2 * products, linear_op, 1e-5});
  all.push_back({"linear bf16", {rows, {kWidth, kWidth}}, products, 2 * products, linear_op, 1.0 / 128, true});
  all.push_back({"rms_norm",
                 {rows, {kWidth}},
                 4 * elements,
                 8 * elements,
                 [](Tape& t, auto x, const SeqContext&) { return rms_norm(t, x[0], x[1], 1e-6); },
                 1e-5});
  all.push_back({"silu_multiply",
                 {rows, rows},
                 8 * elements,
                 16 * elements,
                 [](Tape& t, auto x, const SeqContext&) { return silu_multiply(t, x[0], x[1]); },
                 1e-5});
  all.push_back({"rope",
                 {heads},
                 6 * elements,
                 6 * elements,
                 [](Tape& t, auto x, const SeqContext& seq) { return rope(t, x[0], seq.start_BT, 10000); },
                 1e-4});
  all.push_back({"short_conv",
                 {rows, {1, 3, kWidth}, {kWidth, 4}},
                 12 * elements,
                 20 * elements,
                 [](Tape& t, auto x, const SeqContext& seq) {
                   return short_conv(t, x[0], x[1], x[2], Value(), seq.start_BT, ConvActivation::silu);
                 },
                 1e-5});
  all.push_back(scan_op("linear attention", "linear"));
  for (const char* mixer : {"simple_gla", "gla", "delta_net", "gated_delta_net"}) all.push_back(scan_op(mixer, mixer));
  const Shape kv{1, kTokens, kKvHeads, kHead};
  all.push_back(
      {"attention",
       {heads, kv, kv},
       attention_flops,
       2.5 * attention_flops,
       [](Tape& t, auto x, const SeqContext& seq) { return attention(t, x[0], x[1], x[2], seq.start_BT, 0, {}); },
       1e-4});
  return all;
}

struct Pass {
  double forward = 0, backward = 0;  // seconds
  std::vector<Tensor> results;       // output, then gradients
};

Pass run_once(Context& cx, const Op& op, std::span<const Value> leaves, const SeqContext& seq, bool keep) {
  Pass pass;
  Tape tape(cx);
  const double begin = now_seconds();
  const Value y = op.run(tape, leaves, seq);
  const double middle = now_seconds();
  tape.backward(y);
  pass.forward = middle - begin;
  pass.backward = now_seconds() - middle;
  if (keep) {
    pass.results.push_back(y.tensor());
    for (const Value& leaf : leaves) pass.results.push_back(leaf.slot()->gradient_or_zero(cx).clone(*cx.pool));
  }
  for (const Value& leaf : leaves) leaf.slot()->clear();
  return pass;
}

}  // namespace

OpBenchResult bench_ops(const std::string& filter, int threads) {
  OpBenchResult result;
  result.threads = threads;
  Context cx;
  cx.stream.num_threads = threads;
  set_thread_count(threads);
  const auto self = make_self_comm();
  const SeqContext seq = make_seq_context(*cx.pool, *self, 1, kTokens, {});
  result.gemm_flops_per_second = measure_gemm(cx.stream, 1024, 5);
  result.bytes_per_second = measure_memory(cx.stream, 1 << 24, 5);
  for (const Op& op : ops()) {
    if (op.name.find(filter) == std::string::npos) continue;
    std::vector<Value> leaves;
    double bytes = 0;
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      leaves.push_back(
          random_leaf(cx, op.inputs[i], i + 1, op.scale.empty() ? 1 : op.scale[i], op.shift.empty() ? 0 : op.shift[i]));
      bytes += static_cast<double>(leaves.back().tensor().bytes());
    }
    const Stream kept = cx.stream;
    cx.stream.products = op.bf16 ? Products::bf16 : Products::exact;
    const Pass own = run_once(cx, op, leaves, seq, true);
    const Stream measured = cx.stream;
    cx.stream.backend = Backend::ref;
    cx.stream.products = Products::exact;
    const Pass truth = run_once(cx, op, leaves, seq, true);
    cx.stream = measured;
    double error = 0;
    for (size_t i = 0; i < own.results.size(); ++i)
      error = std::max(error, largest_difference(own.results[i], truth.results[i]) /
                                  std::max(largest_magnitude(truth.results[i]), 1e-30));
    OG_CHECK(error <= op.bound, "bench op {}: differs from the reference by {}, allowed {}: no figures", op.name, error,
             op.bound);
    const auto out = static_cast<double>(own.results[0].bytes());
    const std::string shape = op.inputs[0].str();
    OpBenchRow forward{op.name + " forward", shape, 1e300, op.forward_flops, bytes + out, error};
    OpBenchRow backward{op.name + " backward", shape, 1e300, op.backward_flops, 2 * bytes + out, error};
    // The op's best time is compared with the limits' best. Both are measured in turns, so that a busy machine slows
    // both. The work that measures a limit is as short as the op's and fits the same caches: a long product is always
    // disturbed, a short one only sometimes.
    double gemm = 0;
    const auto measure_limits = [&] {
      for (int64_t extent : {512, 1024}) gemm = std::max(gemm, measure_gemm(cx.stream, extent, 3));
      for (OpBenchRow* row : {&forward, &backward})
        row->bytes_per_second =
            std::max(row->bytes_per_second, measure_memory(cx.stream, static_cast<int64_t>(row->bytes / 12), 20));
    };
    for (int r = 0; r < kRepeats; ++r) {
      measure_limits();
      const Pass pass = run_once(cx, op, leaves, seq, false);
      forward.seconds = std::min(forward.seconds, pass.forward);
      backward.seconds = std::min(backward.seconds, pass.backward);
    }
    // An op that beats its limit had an undisturbed pass, and the limit had none: measure the limit again.
    const auto beyond = [&](const OpBenchRow& row) {
      return row.flops / row.seconds > gemm || row.bytes / row.seconds > row.bytes_per_second;
    };
    for (int r = 0; r < kMoreLimits && (beyond(forward) || beyond(backward)); ++r) measure_limits();
    forward.gemm_flops_per_second = backward.gemm_flops_per_second = gemm;
    result.rows.push_back(forward);
    result.rows.push_back(backward);
    cx.stream = kept;
  }
  if (result.rows.empty()) {
    std::vector<std::string> names;
    for (const Op& op : ops()) names.push_back(op.name);
    fail(Status::usage, "bench op: no op is called {}; there are {}", filter, fmt::join(names, ", "));
  }
  return result;
}

std::string describe(const OpBenchResult& r) {
  std::string text = fmt::format(
      "{}; a 1024-cube f32 product runs at {}, memory at {}/s.\n"
      "{} tokens, {} heads of {}; the best of {} passes. of gemm: share of the rate of\n"
      "a product in the same precision; of mem: share of the rate of y = a + b over as\n"
      "many bytes; both are measured between the passes. error: the largest difference\n"
      "from the reference kernels over the largest value.\n\n",
      counted(r.threads, "thread"), human_rate(r.gemm_flops_per_second), human_bytes(r.bytes_per_second), kTokens,
      kHeads, kHead, kRepeats);
  text += fmt::format("{:<25} {:>9} {:>8} {:>8} {:>8} {:>7} {:>8}\n", "op", "time", "GFLOP/s", "of gemm", "GB/s",
                      "of mem", "error");
  for (const OpBenchRow& row : r.rows) {
    const double flops = row.flops / row.seconds, bytes = row.bytes / row.seconds;
    text += fmt::format("{:<25} {:>9} {:>8.1f} {:>7.1f}% {:>8.1f} {:>6.1f}% {:>8.1e}\n", row.name,
                        human_time(row.seconds), flops * 1e-9, 100 * flops / row.gemm_flops_per_second, bytes * 1e-9,
                        100 * bytes / row.bytes_per_second, row.check_error);
  }
  return text;
}

Json to_json(const OpBenchResult& r) {
  Json rows = Json::array();
  for (const OpBenchRow& row : r.rows)
    rows.push(Json::object({{"op", row.name},
                            {"shape", row.shape},
                            {"seconds", row.seconds},
                            {"flops", row.flops},
                            {"bytes", row.bytes},
                            {"gemm_fraction", row.flops / row.seconds / row.gemm_flops_per_second},
                            {"memory_fraction", row.bytes / row.seconds / row.bytes_per_second},
                            {"check_error", row.check_error}}));
  return Json::object({{"threads", r.threads},
                       {"gemm_flops_per_second", r.gemm_flops_per_second},
                       {"bytes_per_second", r.bytes_per_second},
                       {"ops", rows}});
}

}  // namespace og
