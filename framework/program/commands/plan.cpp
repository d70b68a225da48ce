#include "framework/program/commands/plan.h"

#include <cstdio>

#include "framework/data/tokenizer.h"
#include "framework/plan/planner.h"
#include "framework/plan/published/fit.h"
#include "framework/plan/validate.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "parallel/comm/launched.h"

namespace og {

int plan_command(const std::vector<std::string>& args) {
  CommandLine line(
      "onegather plan",
      "Memory, bytes and time of a step for every legal layout of a config on a cluster, the best first. Searched: "
      "data, sequence, expert and pipeline over the factors of the ranks, tensor within a node, ZeRO 0 and 1, "
      "pipelines "
      "by 1F1B and interleaved with two chunks a stage (and the config's own virtual_stages). Taken from the config: "
      "sequence methods (auto: as a run would choose) and order, micro_batch_size, recompute, segment_length, "
      "sequence_norms, precision.");
  std::string path, cluster_path;
  std::vector<std::string> overrides;
  int64_t rows = 12, ranks = 0;
  bool json = false, validate = false;
  line.add("CONFIG", path, "YAML file: model, data, batch and methods; its degrees are ignored");
  line.add("key=value", overrides, "config values");
  line.add("--cluster", cluster_path, "YAML file of the cluster: configs/clusters/, or one from doctor --measure");
  line.add("--ranks", ranks, "how many ranks; default: all devices of the cluster", Bound::positive);
  line.add("--rows", rows, "layouts to show", Bound::positive);
  line.add_flag("--json", json, "end with one line of JSON: every layout, the best first");
  line.add_flag("--validate", validate, "compare forecasts with steps measured here and with published tables");
  if (!line.parse(args)) return 0;
  if (validate) {
    if (!path.empty() || !cluster_path.empty())
      fail(Status::usage, "onegather plan: --validate takes neither CONFIG nor --cluster: it has configs of its own");
    return run_in_world(300, [](Comm& world) {
      const std::vector<Validation> held = validate_plans(world);
      if (world.rank() != 0) return 0;
      std::puts(describe(held).c_str());
      for (const PublishedFit& fit : fit_published_tables()) std::puts(describe(fit).c_str());
      return 0;
    });
  }
  if (path.empty() || cluster_path.empty()) fail(Status::usage, "onegather plan: expected CONFIG and --cluster FILE");
  if (launched_rank() > 0) return 0;  // rank 0 plans for all
  const Cluster cluster = read_cluster(cluster_path);
  Config config = load_config(path, overrides, config_rules());
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  if (ranks > cluster.devices())
    fail(Status::usage, "--ranks: {} ranks on the {} devices of {}", ranks, cluster.devices(), cluster_path);
  const int world = ranks > 0 ? static_cast<int>(ranks) : cluster.devices();
  const std::vector<Forecast> plans = Planner(config, cluster).all(world);
  std::fputs(describe(plans, config, cluster, static_cast<size_t>(rows)).c_str(), stdout);
  if (!json) return 0;
  Json all = Json::array();
  for (const Forecast& f : plans) all.push(to_json(f));
  std::puts(Json::object({{"cluster", cluster.name}, {"ranks", world}, {"layouts", all}}).dump().c_str());
  return 0;
}

}  // namespace og
