#include "framework/train/commands/bench.h"

#include <algorithm>
#include <cstdio>

#include "framework/core/error.h"
#include "framework/train/bench_comm.h"
#include "framework/train/bench_op.h"
#include "framework/train/bench_step.h"
#include "framework/train/commands/command_line.h"
#include "framework/train/launch.h"
#include "framework/train/size_range.h"
#include "parallel/launcher.h"

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
  int threads = hardware_threads();
  line.add("NAME", name, "only ops whose name contains this");
  line.add("--threads", threads, "threads", Bound::positive);
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

}  // namespace

int bench_command(const std::vector<std::string>& args) {
  const std::string what = args.empty() ? "nothing" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (what == "step") return step(rest);
  if (what == "op") return op(rest);
  if (what == "comm") return comm(rest);
  if (what == "--help" || what == "-h") {
    std::puts(
        "onegather bench step CONFIG [--json] [key=value ...]   a training step\n"
        "onegather bench op [NAME] [--json]                     single ops\n"
        "onegather bench comm [--sizes 1K..64M] [--json]        collectives\nEach with --help.");
    return 0;
  }
  if (what == "sequence") fail(Status::usage, "bench sequence: not built yet; bench step, op and comm are");
  fail(Status::usage, "onegather bench: expected step, op or comm, found {}", what);
}

}  // namespace og
