#include "framework/program/commands/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "framework/bench/comm.h"
#include "framework/bench/op.h"
#include "framework/bench/sequence/sweep.h"
#include "framework/bench/size_range.h"
#include "framework/bench/step.h"
#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/core/number.h"
#include "framework/core/threads.h"
#include "framework/io/file.h"
#include "framework/nn/registry.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "framework/train/plot.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

int step(const std::vector<std::string>& args) {
  CommandLine line("onegather bench step",
                   "Measures optimizer steps of a config on random tokens; alone or under mpirun.");
  std::string path;
  std::vector<std::string> overrides;
  bool json = false;
  StepBench options;
  line.add("CONFIG", path, "YAML file", Need::required);
  line.add("key=value", overrides, "config values");
  line.add("--steps", options.steps, "measured steps", Bound::positive);
  line.add("--warmup", options.warmup, "steps before them", Bound::positive);
  line.add_flag("--json", json, "end with one line of JSON");
  if (!line.parse(args)) return 0;
  const Config config = load_config(path, overrides, config_rules(std::max(1, launched_ranks())));
  return run_in_world(config.run.timeout_seconds, [&](Comm& world) {
    const StepBenchResult result = bench_step(config, world, options);
    if (world.rank() != 0) return 0;
    std::fputs(describe(result, config).c_str(), stdout);
    if (json) std::puts(to_json(result).dump().c_str());
    return 0;
  });
}

int op(const std::vector<std::string>& args) {
  CommandLine line(
      "onegather bench op",
      "Measures single ops against the machine's limits; each is first checked against the reference kernels.");
  std::string name;
  bool json = false;
  int threads = default_threads();
  line.add("NAME", name, "only ops whose name contains this");
  line.add("--threads", threads, "threads; OMP_NUM_THREADS, else all cores, unless told", Bound::positive);
  line.add_flag("--json", json, "end with one line of JSON");
  if (!line.parse(args)) return 0;
  const OpBenchResult result = bench_ops(name, threads);
  std::fputs(describe(result).c_str(), stdout);
  if (json) std::puts(to_json(result).dump().c_str());
  return 0;
}

int comm(const std::vector<std::string>& args) {
  CommandLine line("onegather bench comm",
                   "Measures every collective at several sizes, each checked first; alone or under mpirun.");
  std::string sizes = "1K..64M";
  bool json = false;
  line.add("--sizes", sizes, "bytes: a range in factors of 4, or a list");
  line.add_flag("--json", json, "end with one line of JSON");
  if (!line.parse(args)) return 0;
  const std::vector<int64_t> bytes = parse_sizes("bench comm --sizes", sizes, 4);
  return run_in_world(RunConfig().timeout_seconds, [&](Comm& world) {
    const CommBenchResult result = bench_comm(world, bytes);
    if (world.rank() != 0) return 0;
    std::fputs(describe(result).c_str(), stdout);
    if (json) std::puts(to_json(result).dump().c_str());
    return 0;
  });
}

std::string draw(const std::vector<SequencePoint>& points, const std::string& path, const std::string& title) {
  std::vector<SpeedLine> lines;
  for (const SequencePoint& p : points) {
    if (p.status != "measured") continue;
    const std::string name = fmt::format("{}, {}", p.method, counted(p.ranks, "rank"));
    auto line = std::find_if(lines.begin(), lines.end(), [&](const SpeedLine& l) { return l.name == name; });
    if (line == lines.end()) line = lines.insert(lines.end(), {name, {}});
    line->points.emplace_back(static_cast<double>(p.extent.length), p.tokens_per_second);
  }
  for (SpeedLine& line : lines) std::sort(line.points.begin(), line.points.end());
  return plot_speed(lines, path, title);
}

void check_writable(const std::string& option, const std::string& path) {
  if (path.empty()) return;
  if (const std::string why = why_unwritable(path); !why.empty())
    fail(Status::data, "bench sequence {}: {}: {}", option, path, why);
}

int sequence(const std::vector<std::string>& args) {
  CommandLine line("onegather bench sequence",
                   "Speed over sequence length by method: a layer forward and backward, or a step of a config.");
  SequenceBench bench;
  bench.subject.threads = std::max(1, requested_threads());
  std::string lengths = "2K..2048K", methods, mode = "strong", ranks, plot, per_rank;
  line.add("--config", bench.subject.config, "time an optimizer step of this YAML file instead of a layer");
  line.add("key=value", bench.subject.overrides, "config values");
  line.add("--lengths", lengths, "tokens of a sequence: a range in factors of 2, or a list");
  line.add("--methods", methods,
           "a list; default: all; NAME-blocking: without overlap; LINEAR+SOFTMAX: where a config has both kinds of "
           "layers; NAME-left (--mixer linear): (Q K^T) V, quadratic");
  line.add("--ranks", ranks, "sizes of groups of the ranks started, 1,2,4; default: all");
  line.add("--mode", mode, "strong, weak (a length belongs to the largest group) or fixed (tokens a rank)");
  line.add("--tokens-per-rank", per_rank, "for --mode fixed; default: the longest length over all ranks");
  std::vector<std::string> mixers;
  for (const MixerType& type : mixer_types()) mixers.push_back(type.name);
  const std::string known_mixers = fmt::format("{}", fmt::join(mixers, ", "));
  line.add("--mixer", bench.subject.mixer,
           ("the scan of this mixer's gate family, or softmax attention: " + known_mixers).c_str());
  line.add("--heads", bench.subject.heads, "heads of the layer", Bound::positive);
  line.add("--head-dim", bench.subject.head_dim, "size of a head", Bound::positive);
  line.add("--threads", bench.subject.threads, "threads of a rank; OMP_NUM_THREADS, else 1, unless told",
           Bound::positive);
  line.add("--repeats", bench.repeats, "timed passes of a point, at most", Bound::positive);
  line.add("--seconds-limit", bench.seconds_limit, "a point estimated longer is not run", Bound::positive);
  line.add("--label", bench.label, "a word for what the figures hold for: a link's rate; kept with them");
  line.add_flag("--estimate", bench.only_estimate, "say how long it would take, and stop");
  line.add("--json", bench.json_path, "file, written after every length");
  line.add("--plot", plot, "PNG file");
  line.add("--resume", bench.resume_path,
           "a --json file whose measured points are taken over; it is the default of --json");
  if (!line.parse(args)) return 0;
  const int started = std::max(1, launched_ranks());
  if (!bench.subject.overrides.empty() && bench.subject.config.empty())
    fail(Status::usage, "bench sequence: {} sets a key, but there is no --config", bench.subject.overrides[0]);
  if (std::find(mixers.begin(), mixers.end(), bench.subject.mixer) == mixers.end())
    fail(Status::usage, "bench sequence --mixer: {} is none of {}", bench.subject.mixer, known_mixers);
  bench.lengths = parse_sizes("bench sequence --lengths", lengths, 2, 2);
  bench.methods = sequence_methods(
      bench.subject, methods.empty() ? std::vector<std::string>() : parse_names("bench sequence --methods", methods));
  for (int64_t n : ranks.empty() ? std::vector<int64_t>{started} : parse_sizes("bench sequence --ranks", ranks, 2)) {
    if (n > started) fail(Status::usage, "bench sequence --ranks: {} of {} started", n, started);
    bench.ranks.push_back(static_cast<int>(n));
  }
  if (mode != "strong" && mode != "weak" && mode != "fixed")
    fail(Status::usage, "bench sequence --mode: expected strong, weak or fixed, found {}", mode);
  bench.mode = mode == "strong" ? ScalingMode::strong : mode == "weak" ? ScalingMode::weak : ScalingMode::fixed;
  if (!per_rank.empty() && bench.mode != ScalingMode::fixed)
    fail(Status::usage, "bench sequence --tokens-per-rank: only with --mode fixed");
  if (bench.mode == ScalingMode::fixed)
    bench.tokens_per_rank = per_rank.empty() ? bench.lengths.back() / bench.ranks.back()
                                             : parse_sizes("bench sequence --tokens-per-rank", per_rank, 2).back();
  if (bench.json_path.empty()) bench.json_path = bench.resume_path;
  return run_in_world(std::max(300.0, 4 * bench.seconds_limit), [&](Comm& world) {
    const bool first = world.rank() == 0;
    together(world, Sites::bench, [&] {
      if (!first) return;
      check_writable("--json", bench.json_path);
      check_writable("--plot", plot);
    });
    if (first && std::filesystem::exists(bench.resume_path)) bench.resume = read_text(bench.resume_path);
    bench.resume = world.broadcast_text(bench.resume, 0, Sites::bench);
    const std::vector<SequencePoint> points = bench_sequence(world, bench);
    if (first && !plot.empty() && !bench.only_estimate) {
      const std::string title =
          fmt::format("bench sequence, mode {}{}{}", mode, bench.label.empty() ? "" : ", ", bench.label);
      if (const std::string failed = draw(points, plot, title); !failed.empty()) log::warning("{}", failed);
    }
    const bool refused =
        std::any_of(points.begin(), points.end(), [](const SequencePoint& p) { return p.status == "refused"; });
    return static_cast<int>(world.max(refused ? 1 : 0, Sites::bench));
  });
}

}  // namespace

int bench_command(const std::vector<std::string>& args) {
  const std::string what = args.empty() ? "nothing" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (what == "step") return step(rest);
  if (what == "op") return op(rest);
  if (what == "comm") return comm(rest);
  if (what == "sequence") return sequence(rest);
  if (what == "--help" || what == "-h") {
    std::puts(
        "onegather bench step CONFIG [--json] [key=value ...]   a training step\n"
        "onegather bench op [NAME] [--json]                     single ops\n"
        "onegather bench comm [--sizes 1K..64M] [--json]        collectives\n"
        "onegather bench sequence [--lengths 2K..2048K]         speed over sequence length by method\nEach with "
        "--help.");
    return 0;
  }
  fail(Status::usage, "onegather bench: expected step, op, comm or sequence, found {}", what);
}

}  // namespace og
