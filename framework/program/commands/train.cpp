#include "framework/program/commands/train.h"

#include <algorithm>
#include <cstdio>

#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "framework/train/dry_run.h"
#include "framework/train/stop.h"
#include "framework/train/trainer.h"
#include "parallel/comm/launched.h"
#include "parallel/comm/together.h"

namespace og {

int train_command(const std::vector<std::string>& args) {
  CommandLine line("onegather train", "Trains a model. The same line runs alone, under mpirun -np N and under srun.");
  std::string path;
  std::vector<std::string> overrides;
  TrainOptions options;
  bool dry_run = false;
  line.add("CONFIG", path, "YAML file", Need::required);
  line.add("key=value", overrides, "values that go before the file's, e.g. train.num_steps=50");
  line.add_flag("--dry-run", dry_run, "print the plan and every key with its origin, and exit");
  line.add("--resume", options.resume, "auto (the newest complete checkpoint in run.dir), never, or a path");
  line.add("--init", options.init, "start from the weights of this checkpoint, without optimizer state");
  if (!line.parse(args)) return 0;

  // A signal while data is prepared ends the preparation. One that comes later waits until the first step is done.
  catch_stop_signals();
  const Config config = load_config(path, overrides, config_rules(std::max(1, launched_ranks()), true));
  return run_in_world(config.run.timeout_seconds, [&](Comm& world) {
    if (!dry_run) return static_cast<int>(train(config, world, options));
    std::string start;
    together(world, Sites::startup, [&] { start = describe_start(config, options); });
    const std::string plan = describe_run(config, world) + start;
    if (world.rank() != 0) return 0;
    tell_launcher("folder", config.run.dir);
    std::fputs(plan.c_str(), stdout);
    return 0;
  });
}

}  // namespace og
