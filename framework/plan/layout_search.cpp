#include "framework/plan/layout_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "framework/config/problems.h"
#include "framework/core/error.h"

namespace og {

namespace {

int64_t most_experts(const Config& config) {
  int64_t experts = 1;
  for (const auto& [letter, options] : config.model.channels)
    if (options.type == "moe" && config.model.channel_pattern.find(letter) != std::string::npos)
      experts = std::max(experts, options.integer("num_experts"));
  return experts;
}

std::vector<int> factors(int n) {
  std::vector<int> all;
  for (int f = 1; f <= n; ++f)
    if (n % f == 0) all.push_back(f);
  return all;
}

std::optional<Problem> problem_of(const Config& config, int world) {
  Problems problems;
  check_config(config, config_rules(world), problems);
  return problems.all();
}

}  // namespace

LayoutSearch search_layouts(const Config& config, const Cluster& cluster, int world) {
  const int64_t experts = most_experts(config);
  const int node = Places(cluster, world).ranks_per_node();
  std::set<int> chunks{1, 2};
  if (config.parallel.virtual_stages > 1) chunks.insert(config.parallel.virtual_stages);
  LayoutSearch found;
  auto fewest = std::string::npos;
  const auto consider = [&](const Layout& layout) {
    const auto problem = problem_of(with_layout(config, layout), world);
    if (!problem) return found.legal.push_back(layout);
    const auto lines = static_cast<size_t>(std::count(problem->text.begin(), problem->text.end(), '\n'));
    if (lines >= fewest) return;
    fewest = lines;
    found.nearest = layout_name(layout) + ": " + problem->text;
  };
  for (int p : factors(world))
    for (int t : factors(world / p)) {
      if (t > node) continue;
      for (int s : factors(world / p / t))
        for (int e : factors(world / p)) {
          const Degrees d{.data = world / (p * t * s), .sequence = s, .tensor = t, .expert = e, .pipeline = p};
          if (e > experts || check_degrees(d, world)) continue;
          const bool summed = d.data * s > 1 || d.data * s * t > e;
          for (int zero = 0; zero <= (summed ? 1 : 0); ++zero)
            for (int v : chunks)
              if (v == 1 || p > 1) consider({d, zero, v});
        }
    }
  return found;
}

Config with_layout(Config config, const Layout& layout) {
  ParallelConfig& p = config.parallel;
  p.degrees = layout.degrees;
  p.data_auto = false;
  p.zero = layout.zero;
  p.virtual_stages = layout.virtual_stages;
  p.pipeline_schedule = layout.virtual_stages > 1 ? "interleaved" : "1f1b";
  return config;
}

std::string layout_name(const Layout& layout) {
  const Degrees& d = layout.degrees;
  std::vector<std::string> parts;
  for (const auto& [axis, degree] : {std::pair<const char*, int>{"data", d.data},
                                     {"sequence", d.sequence},
                                     {"tensor", d.tensor},
                                     {"expert", d.expert},
                                     {"pipeline", d.pipeline}})
    if (degree > 1) parts.push_back(fmt::format("{} {}", axis, degree));
  if (layout.virtual_stages > 1) parts.push_back(fmt::format("{} chunks a stage", layout.virtual_stages));
  if (layout.zero > 0) parts.push_back("ZeRO-1");
  return parts.empty() ? "one rank" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace og
