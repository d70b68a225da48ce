#include "framework/bench/step.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/data/tokenizer.h"
#include "framework/measure/machine.h"
#include "framework/measure/random_rows.h"
#include "framework/train/session.h"
#include "framework/train/step.h"

namespace og {

namespace {

constexpr int64_t kProbeExtent = 1024;

// Relative difference of the loss of a short row between this run's kernels and the reference.
double check(Session& session, const Config& config) {
  const int64_t length = std::min<int64_t>(config.data.sequence_length, 64);
  const int64_t num_rows = session.mesh().data().size();
  const RowSource short_rows = [&](int64_t first, int64_t count) {
    return random_rows(*session.context().pool, first, count, length, config.model.vocab_size);
  };
  double loss[2];
  const Stream kept = session.context().stream;
  for (int i : {0, 1}) {
    if (i == 1) {
      session.context().stream.backend = Backend::ref;
      session.context().stream.products = Products::exact;
    }
    loss[i] = evaluate_rows(session.model(), num_rows, 1, 0, short_rows, false).loss();
  }
  session.context().stream = kept;
  return std::abs(loss[0] - loss[1]) / loss[1];
}

}  // namespace

StepBenchResult bench_step(Config config, Comm& world, const StepBench& options) {
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  Session session(config, world, resolve_degrees(config, world.size()));
  Context& cx = session.context();
  AdamW optimizer(session.store(), config.train.adamw, config.optimizer_sharding());
  TrainStep step(session.model(), optimizer, step_options(config));
  const RowSource rows = [&](int64_t first, int64_t count) {
    return random_rows(*cx.pool, first, count, config.data.sequence_length, config.model.vocab_size);
  };

  StepBenchResult result;
  result.precision = session.precision().name;
  result.ranks = world.size();
  result.threads = cx.stream.num_threads;
  result.flops = flops_per_token(session.model(), session.store(), config.data.sequence_length);
  result.check_error = check(session, config);
  // A loss near log(vocabulary) moves by far less than its inputs' rounding: 2^-8 for bf16, some ten roundings of f32.
  const double bound = result.precision == "bf16" ? 1.0 / 256 : 1e-5;
  OG_CHECK(result.check_error <= bound,
           "bench step: the loss differs from the reference kernels by {}, allowed {}: no figures", result.check_error,
           bound);

  std::vector<double> speeds, gemm;
  std::array<double, kNumParts> parts{};
  double product_flops = 0, product_window = 0;
  for (int64_t s = 0; s < options.warmup + options.steps; ++s) {
    const bool counts = s >= options.warmup;
    if (counts) gemm.push_back(measure_gemm(cx.stream, kProbeExtent, 2));
    cx.profile.reset();
    world.barrier(Sites::metrics);
    const double begin = now_seconds();
    step.run(s + 1, s * config.rows_per_step(), rows, 1e-4, false);
    const double seconds = world.max(now_seconds() - begin, Sites::metrics);
    if (!counts) continue;
    speeds.push_back(static_cast<double>(config.train.tokens_per_step) / seconds);
    product_flops += cx.profile.product_flops();
    product_window += seconds;
    double named = 0;
    for (int p = 0; p + 1 < kNumParts; ++p) {
      const double own = cx.profile.seconds(static_cast<Part>(p));
      parts[static_cast<size_t>(p)] += own;
      named += own;
    }
    parts[kNumParts - 1] += std::max(0.0, seconds - named);
  }
  std::sort(speeds.begin(), speeds.end());
  std::sort(gemm.begin(), gemm.end());
  result.median = speeds[speeds.size() / 2];
  result.least = speeds.front();
  result.most = speeds.back();
  result.gemm_flops_per_second = world.sum(gemm[gemm.size() / 2], Sites::metrics);
  result.gemm_fraction = result.median * result.flops.training() / result.gemm_flops_per_second;
  result.products_per_second = world.sum(product_flops / product_window, Sites::metrics);
  result.peak_memory_bytes =
      static_cast<int64_t>(world.max(static_cast<double>(cx.pool->stats().peak_bytes), Sites::metrics));
  for (size_t p = 0; p < parts.size(); ++p)
    result.part_seconds[p] = world.sum(parts[p], Sites::metrics) / world.size() / static_cast<double>(options.steps);
  return result;
}

std::string describe(const StepBenchResult& r, const Config& config) {
  std::string text =
      fmt::format("{} x {}, {}; {} tokens a step, rows of {}\n", counted(r.ranks, "rank"), counted(r.threads, "thread"),
                  r.precision, config.train.tokens_per_step, config.data.sequence_length);
  text += fmt::format("check      loss within {:.1e} of the reference kernels\n", r.check_error);
  text += fmt::format("tokens/s   {:.0f} median, {:.0f} min, {:.0f} max\n", r.median, r.least, r.most);
  const ModelFlops& f = r.flops;
  text +=
      "\nmodel FLOPs a token, forward (training is three times that): 2 x the elements of\n"
      "every matrix that a token is multiplied with, of experts only those that it\n"
      "visits; states 4 K V a head (6 K V with a delta rule); attention 4 heads x\n"
      "head_dim x mean context\n";
  for (const auto& [name, value] : {std::pair<const char*, double>{"projections, MLPs, routers", f.products},
                                    {"experts", f.experts},
                                    {"head", f.head},
                                    {"mixers", f.mixers},
                                    {"attention", f.attention},
                                    {"forward", f.forward()},
                                    {"training", f.training()}})
    text += fmt::format("  {:<28} {:>10}\n", name, human_count(value));
  text += fmt::format("\nmodel      {}, {:.1f} % of a {}-cube product's {} here\n", human_rate(r.median * f.training()),
                      100 * r.gemm_fraction, kProbeExtent, human_rate(r.gemm_flops_per_second));
  text += fmt::format("products   {} counted over the whole step\n\ntime of a step by part\n",
                      human_rate(r.products_per_second));
  double total = 0;
  for (const double seconds : r.part_seconds) total += seconds;
  for (int p = 0; p < kNumParts; ++p) {
    const auto part = static_cast<Part>(p);
    text += fmt::format("  {:<14} {:>8}  {:5.1f} %\n", name_of(part), human_time(r.seconds(part)),
                        100 * r.seconds(part) / total);
  }
  return text +
         fmt::format("\npeak memory of tensors {} a rank\n", human_bytes(static_cast<double>(r.peak_memory_bytes)));
}

Json to_json(const StepBenchResult& r) {
  Json parts = Json::object();
  for (int p = 0; p < kNumParts; ++p) parts.set(name_of(static_cast<Part>(p)), r.part_seconds[static_cast<size_t>(p)]);
  return Json::object({{"tokens_per_second", r.median},
                       {"tokens_per_second_min", r.least},
                       {"tokens_per_second_max", r.most},
                       {"peak_memory_bytes", r.peak_memory_bytes},
                       {"gemm_fraction", r.gemm_fraction},
                       {"gemm_flops_per_second", r.gemm_flops_per_second},
                       {"flops_per_token", Json::object({{"products", r.flops.products},
                                                         {"experts", r.flops.experts},
                                                         {"head", r.flops.head},
                                                         {"mixers", r.flops.mixers},
                                                         {"attention", r.flops.attention},
                                                         {"training", r.flops.training()}})},
                       {"part_seconds", parts},
                       {"precision", r.precision},
                       {"ranks", r.ranks},
                       {"threads", r.threads},
                       {"check_error", r.check_error}});
}

}  // namespace og
