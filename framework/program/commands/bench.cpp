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

constexpr const char* kJsonHelp = "end with one line of JSON";

template <class Result, class... More>
void print(const Result& result, bool json, const More&... more) {
  std::fputs(describe(result, more...).c_str(), stdout);
  if (json) std::puts(to_json(result).dump().c_str());
}

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
  line.add_flag("--json", json, kJsonHelp);
  if (!line.parse(args)) return 0;
  const Config config = load_config(path, overrides, config_rules(std::max(1, launched_ranks())));
  return run_in_world(config.run.timeout_seconds, [&](Comm& world) {
    const StepBenchResult result = bench_step(config, world, options);
    if (world.rank() == 0) print(result, json, config);
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
  line.add_flag("--json", json, kJsonHelp);
  if (!line.parse(args)) return 0;
  print(bench_ops(name, threads), json);
  return 0;
}

int comm(const std::vector<std::string>& args) {
  CommandLine line("onegather bench comm",
                   "Measures every collective at several sizes, each checked first; alone or under mpirun.");
  std::string sizes = "1K..64M";
  bool json = false;
  line.add("--sizes", sizes, "bytes: a range in factors of 4, or a list");
  line.add_flag("--json", json, kJsonHelp);
  if (!line.parse(args)) return 0;
  const std::vector<int64_t> bytes = parse_sizes("bench comm --sizes", sizes, 4);
  return run_in_world(RunConfig().timeout_seconds, [&](Comm& world) {
    const CommBenchResult result = bench_comm(world, bytes);
    if (world.rank() == 0) print(result, json);
    return 0;
  });
}

std::optional<Problem> draw(const std::vector<SequencePoint>& points, const std::string& path,
                            const std::string& title) {
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
  if (const auto problem = why_unwritable(path))
    fail(Status::data, "bench sequence {}: {}: {}", option, path, problem->text);
}

// The command line of `bench sequence`: what goes into the bench as it stands, and words that are read after it.
struct SequenceArguments {
  SequenceBench bench;
  std::string lengths = "2K..2048K", methods, mode = name_of(ScalingMode::strong), ranks, per_rank, plot;
};

std::vector<std::string> mixer_names() {
  std::vector<std::string> names;
  for (const MixerType& type : mixer_types()) names.push_back(type.name);
  return names;
}

// False: help was asked for.
bool parse(SequenceArguments& a, const std::vector<std::string>& args) {
  CommandLine line("onegather bench sequence",
                   "Speed over sequence length by method: a layer forward and backward, or a step of a config.");
  SequenceBench& bench = a.bench;
  bench.subject.threads = std::max(1, requested_threads());
  line.add("--config", bench.subject.config, "time an optimizer step of this YAML file instead of a layer");
  line.add("key=value", bench.subject.overrides, "config values");
  line.add("--lengths", a.lengths, "tokens of a sequence: a range in factors of 2, or a list");
  line.add("--methods", a.methods,
           "a list; default: all; NAME-blocking: without overlap; LINEAR+SOFTMAX: where a config has both kinds of "
           "layers; NAME-left (--mixer linear): (QK^T)V, quadratic");
  line.add("--ranks", a.ranks, "sizes of groups of the ranks started, 1,2,4; default: all");
  line.add("--mode", a.mode, "strong, weak (a length belongs to the largest group) or fixed (tokens a rank)");
  line.add("--tokens-per-rank", a.per_rank, "for --mode fixed; default: the longest length over all ranks");
  line.add("--mixer", bench.subject.mixer,
           fmt::format("the scan of this mixer's gate family, or softmax attention: {}", fmt::join(mixer_names(), ", "))
               .c_str());
  line.add("--heads", bench.subject.heads, "heads of the layer", Bound::positive);
  line.add("--head-dim", bench.subject.head_dim, "size of a head", Bound::positive);
  line.add("--threads", bench.subject.threads, "threads of a rank; OMP_NUM_THREADS, else 1, unless told",
           Bound::positive);
  line.add("--repeats", bench.repeats, "timed passes of a point, at most", Bound::positive);
  line.add("--seconds-limit", bench.seconds_limit, "a point estimated longer is not run", Bound::positive);
  line.add("--label", bench.label, "a word that is kept with the figures, such as the rate of the links");
  line.add_flag("--estimate", bench.only_estimate, "say how long it would take, and stop");
  line.add("--json", bench.json_path, "file, written after every length");
  line.add("--plot", a.plot, "PNG file");
  line.add("--resume", bench.resume_path,
           "a --json file whose measured points are taken over; it is the default of --json");
  return line.parse(args);
}

ScalingMode read_mode(const std::string& word) {
  for (ScalingMode mode : {ScalingMode::strong, ScalingMode::weak, ScalingMode::fixed})
    if (word == name_of(mode)) return mode;
  fail(Status::usage, "bench sequence --mode: expected strong, weak or fixed, found {}", word);
}

std::vector<int> read_ranks(const std::string& text) {
  const int started = std::max(1, launched_ranks());
  std::vector<int> ranks;
  for (int64_t n : text.empty() ? std::vector<int64_t>{started} : parse_sizes("bench sequence --ranks", text, 2)) {
    if (n > started) fail(Status::usage, "bench sequence --ranks: {} of {} started", n, started);
    ranks.push_back(static_cast<int>(n));
  }
  return ranks;
}

// Fills the bench from the words. A mistake in them: Error(Status::usage).
void read_words(SequenceArguments& a) {
  SequenceBench& bench = a.bench;
  if (!bench.subject.overrides.empty() && bench.subject.config.empty())
    fail(Status::usage, "bench sequence: {} sets a key, but there is no --config", bench.subject.overrides[0]);
  if (find_mixer_type(bench.subject.mixer) == nullptr)
    fail(Status::usage, "bench sequence --mixer: {} is none of {}", bench.subject.mixer,
         fmt::join(mixer_names(), ", "));
  bench.lengths = parse_sizes("bench sequence --lengths", a.lengths, 2, 2);
  bench.methods =
      sequence_methods(bench.subject, a.methods.empty() ? std::vector<std::string>()
                                                        : parse_names("bench sequence --methods", a.methods));
  bench.ranks = read_ranks(a.ranks);
  bench.mode = read_mode(a.mode);
  if (!a.per_rank.empty() && bench.mode != ScalingMode::fixed)
    fail(Status::usage, "bench sequence --tokens-per-rank: only with --mode fixed");
  if (bench.mode == ScalingMode::fixed)
    bench.tokens_per_rank = a.per_rank.empty() ? bench.lengths.back() / bench.ranks.back()
                                               : parse_sizes("bench sequence --tokens-per-rank", a.per_rank, 2).back();
  if (bench.json_path.empty()) bench.json_path = bench.resume_path;
}

int sequence(const std::vector<std::string>& args) {
  SequenceArguments a;
  if (!parse(a, args)) return 0;
  read_words(a);
  SequenceBench& bench = a.bench;
  return run_in_world(std::max(300.0, 4 * bench.seconds_limit), [&](Comm& world) {
    const bool first = world.rank() == 0;
    together(world, Sites::bench, [&] {
      if (!first) return;
      check_writable("--json", bench.json_path);
      check_writable("--plot", a.plot);
    });
    if (first && std::filesystem::exists(bench.resume_path)) bench.resume = read_text(bench.resume_path);
    bench.resume = world.broadcast_text(bench.resume, 0, Sites::bench);
    const std::vector<SequencePoint> points = bench_sequence(world, bench);
    if (first && !a.plot.empty() && !bench.only_estimate) {
      const std::string title =
          fmt::format("bench sequence, mode {}{}{}", a.mode, bench.label.empty() ? "" : ", ", bench.label);
      if (const auto problem = draw(points, a.plot, title)) log::warning("{}", problem->text);
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
        "onegather bench step CONFIG [key=value ...]   a training step\n"
        "onegather bench op [NAME]                     single ops\n"
        "onegather bench comm                          collectives\n"
        "onegather bench sequence                      sequence lengths, by method\n"
        "Each has --help.");
    return 0;
  }
  fail(Status::usage, "onegather bench: expected step, op, comm or sequence, found {}", what);
}

}  // namespace og
