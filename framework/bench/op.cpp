#include "framework/bench/op.h"

#include <fmt/format.h>

#include <algorithm>

#include "framework/bench/op_table.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/measure/compare.h"
#include "framework/measure/machine.h"

namespace og {

namespace {

constexpr int kRepeats = 7;
constexpr int kMoreLimits = 50;  // more measurements of the limits, where those between the passes were disturbed

struct Pass {
  double forward = 0, backward = 0;  // seconds
  std::vector<Tensor> results;       // output, then gradients
};

// seed: the gradient of the result, made at the first pass. Not ones: a softmax's gradient from ones is zero.
Pass run_once(Context& cx, const OpRow& op, std::span<const Value> leaves, const SeqContext& seq, Tensor& seed,
              bool keep) {
  Pass pass;
  Tape tape(cx);
  const double begin = now_seconds();
  const Value y = op.run(tape, leaves, seq);
  pass.forward = now_seconds() - begin;
  if (!seed.defined()) seed = random_elements(cx, y.shape(), y.dtype(), 0);
  const double middle = now_seconds();
  tape.backward(y, seed);
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
  const SeqContext seq = make_seq_context(*cx.pool, *self, kTimedTokens.rows, kTimedTokens.length, {});
  result.gemm_flops_per_second = measure_gemm(cx.stream, 1024, 5);
  result.bytes_per_second = measure_memory(cx.stream, 1 << 24, 5);
  for (const OpRow& op : op_table()) {
    if (!op.is_timed || op.name.find(filter) == std::string::npos) continue;
    const std::vector<Value> leaves = leaves_of(cx, op, true, DType::f32);
    double bytes = 0;
    for (const Value& leaf : leaves) bytes += static_cast<double>(leaf.tensor().bytes());
    const Stream kept = cx.stream;
    cx.stream.products = op.bf16 ? Products::bf16 : Products::exact;
    Tensor seed;
    const Pass own = run_once(cx, op, leaves, seq, seed, true);
    const Stream measured = cx.stream;
    cx.stream.backend = Backend::ref;
    cx.stream.products = Products::exact;
    const Pass truth = run_once(cx, op, leaves, seq, seed, true);
    cx.stream = measured;
    double error = 0;
    for (size_t i = 0; i < own.results.size(); ++i)
      error = std::max(error, largest_difference(own.results[i], truth.results[i]) /
                                  std::max(largest_magnitude(truth.results[i]), 1e-30));
    OG_CHECK(error <= op.bound, "bench op {}: differs from the reference by {}, allowed {}: no figures", op.name, error,
             op.bound);
    const auto out = static_cast<double>(own.results[0].bytes());
    const std::string shape = op.inputs[0].timed.str();
    OpBenchRow forward{op.name + " forward", shape, 1e300, op.flops.forward, bytes + out, error};
    OpBenchRow backward{op.name + " backward", shape, 1e300, op.flops.backward, 2 * bytes + out, error};
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
      const Pass pass = run_once(cx, op, leaves, seq, seed, false);
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
    for (const OpRow& op : op_table())
      if (op.is_timed) names.push_back(op.name);
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
      counted(r.threads, "thread"), human_rate(r.gemm_flops_per_second), human_bytes(r.bytes_per_second),
      kTimedTokens.length, kTimedHeads.count, kTimedHeads.width, kRepeats);
  text += fmt::format("{:<33} {:>8} {:>7} {:>7} {:>6} {:>6} {:>7}\n", "op", "time", "GFLOP/s", "of gemm", "GB/s",
                      "of mem", "error");
  for (const OpBenchRow& row : r.rows) {
    const double flops = row.flops / row.seconds, bytes = row.bytes / row.seconds;
    text += fmt::format("{:<33} {:>8} {:>7.1f} {:>6.1f}% {:>6.1f} {:>5.1f}% {:>7.1e}\n", row.name,
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
