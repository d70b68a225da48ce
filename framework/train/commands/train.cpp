#include "framework/train/commands/train.h"

#include <algorithm>
#include <cstdio>

#include "framework/train/commands/command_line.h"
#include "framework/train/launch.h"
#include "framework/train/stop.h"
#include "framework/train/trainer.h"
#include "parallel/launcher.h"

namespace og {

int train_command(const std::vector<std::string>& args) {
  CLI::App app("Trains a model. The same line runs alone, under mpirun -np N and under srun.", "onegather train");
  std::string path;
  std::vector<std::string> overrides;
  TrainOptions options;
  options.build = build();
  bool dry_run = false;
  app.add_option("CONFIG", path, "YAML file")->required();
  app.add_option("key=value", overrides, "values that go before the file's, e.g. train.num_steps=50");
  app.add_flag("--dry-run", dry_run, "print the plan and every key with its origin, and exit");
  app.add_option("--resume", options.resume, "auto (the newest complete checkpoint in run.dir), never, or a path")
      ->capture_default_str();
  app.add_option("--init", options.init, "start from the weights of this checkpoint, without optimizer state");
  if (!parse_command_line(app, args)) return 0;

  const Config config = load_config(path, overrides, config_rules(std::max(1, launched_ranks()), true));
  catch_stop_signals();
  return run_in_world(config.run.timeout_seconds, [&](Comm& world) {
    if (!dry_run) return static_cast<int>(train(config, world, options));
    const std::string plan = describe_plan(config, world);
    if (world.rank() == 0) std::fputs(plan.c_str(), stdout);
    return 0;
  });
}

}  // namespace og
