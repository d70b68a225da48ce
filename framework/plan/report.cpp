#include <algorithm>

#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/plan/planner.h"

namespace og {

namespace {

std::string memory_by_kind(const MemoryForecast& m) {
  std::string text;
  for (const auto& [name, value] : {std::pair<const char*, double>{"weights", m.weights},
                                    {"gradients", m.gradients},
                                    {"optimizer", m.optimizer},
                                    {"activations", m.activations},
                                    {"states", m.states},
                                    {"buffers", m.buffers},
                                    {"total", m.total()}})
    text += fmt::format("  {:<12} {:>10}\n", name, human_bytes(value));
  return text;
}

// Why the first beats the second: the part of the step with the largest gain.
std::string reason(const Forecast& best, const Forecast& next) {
  if (best.fits && !next.fits) return "the next layout does not fit into memory";
  struct Gain {
    std::string name;
    double seconds;
  };
  std::vector<Gain> gains{{"compute", next.compute_seconds - best.compute_seconds},
                          {"pipeline bubble", next.bubble_seconds - best.bubble_seconds}};
  const auto exposed = [](const Forecast& f, Site site) {
    double sum = 0;
    for (const CollectiveForecast& c : f.collectives)
      if (c.site == site) sum += c.exposed;
    return sum;
  };
  for (const CollectiveForecast& c : next.collectives)
    gains.push_back({std::string("wait at ") + c.site.name, exposed(next, c.site) - exposed(best, c.site)});
  const Gain& most =
      *std::max_element(gains.begin(), gains.end(), [](const Gain& a, const Gain& b) { return a.seconds < b.seconds; });
  if (most.seconds <= 0) return "the same time as the next, listed first";
  return fmt::format("{} less {} than {}", human_time(most.seconds), most.name, layout_name(next.layout));
}

}  // namespace

std::string describe(const std::vector<Forecast>& plans, const Config& config, const Cluster& cluster, size_t rows) {
  std::string text =
      fmt::format("{}: {} x {}, {} each\n{} tokens a step, rows of {}\n\n", cluster.name,
                  counted(cluster.nodes, "node"), counted(cluster.devices_per_node, "device"),
                  human_bytes(cluster.memory_bytes), config.train.tokens_per_step, config.data.sequence_length);
  text +=
      fmt::format("{:>9} {:>10} {:>8} {:>8} {:>8}  {}\n", "tokens/s", "memory", "step", "exposed", "bubble", "layout");
  for (size_t i = 0; i < std::min(rows, plans.size()); ++i) {
    const Forecast& f = plans[i];
    text += fmt::format("{:>9.0f} {:>10} {:>8} {:>8} {:>8}  {}{}\n", f.tokens_per_second, human_bytes(f.memory.total()),
                        human_time(f.step_seconds()), human_time(f.exposed_seconds), human_time(f.bubble_seconds),
                        f.fits ? "" : "does not fit: ", layout_name(f.layout));
  }
  if (plans.size() > rows) text += fmt::format("... and {} more\n", plans.size() - rows);
  const Forecast& best = plans.front();
  if (!best.fits) {
    const Forecast& least = *std::min_element(plans.begin(), plans.end(), [](const Forecast& a, const Forecast& b) {
      return a.memory.total() < b.memory.total();
    });
    return text + fmt::format("\nno layout fits into memory; the one that takes least: {}\n\nmemory of a rank\n{}",
                              layout_name(least.layout), memory_by_kind(least.memory));
  }
  text += fmt::format("\nbest: {}\n", layout_name(best.layout));
  if (plans.size() > 1) text += fmt::format("why:  {}\n", reason(best, plans[1]));
  if (best.layout.degrees.sequence > 1)
    text += fmt::format("sequences: linear layers by {}, softmax layers by {}, {} order\n",
                        name_of(best.sequence.linear), name_of(best.sequence.softmax), name_of(best.sequence.order));
  text += "\nmemory of a rank\n" + memory_by_kind(best.memory);
  text += fmt::format("\na step: compute {}, exposed communication {}, bubble {}, overhead {}\n",
                      human_time(best.compute_seconds), human_time(best.exposed_seconds),
                      human_time(best.bubble_seconds), human_time(best.overhead_seconds));
  if (best.collectives.empty()) return text;
  text += fmt::format("\n{:>7} {:>10} {:>8} {:>8}  {}\n", "calls", "received", "time", "exposed",
                      "collective: axis, verb, site");
  for (const CollectiveForecast& c : best.collectives)
    text += fmt::format("{:>7.0f} {:>10} {:>8} {:>8}  {} {} {}\n", c.calls, human_bytes(c.bytes), human_time(c.seconds),
                        human_time(c.exposed), c.axis, name_of(c.verb), c.site.name);
  return text;
}

Json to_json(const Forecast& f) {
  Json collectives = Json::array();
  for (const CollectiveForecast& c : f.collectives)
    collectives.push(Json::object({{"axis", c.axis},
                                   {"verb", name_of(c.verb)},
                                   {"site", c.site.name},
                                   {"calls", c.calls},
                                   {"bytes", c.bytes},
                                   {"seconds", c.seconds},
                                   {"exposed_seconds", c.exposed}}));
  const MemoryForecast& m = f.memory;
  return Json::object({{"data", f.layout.degrees.data},
                       {"sequence", f.layout.degrees.sequence},
                       {"tensor", f.layout.degrees.tensor},
                       {"expert", f.layout.degrees.expert},
                       {"pipeline", f.layout.degrees.pipeline},
                       {"pipeline_schedule", f.layout.virtual_stages > 1 ? "interleaved" : "1f1b"},
                       {"virtual_stages", f.layout.virtual_stages},
                       {"zero", f.layout.zero},
                       {"sequence_order", name_of(f.sequence.order)},
                       {"sequence_method", name_of(f.sequence.linear)},
                       {"softmax_sequence_method", name_of(f.sequence.softmax)},
                       {"fits", f.fits},
                       {"tokens_per_second", f.tokens_per_second},
                       {"step_seconds", f.step_seconds()},
                       {"compute_seconds", f.compute_seconds},
                       {"exposed_seconds", f.exposed_seconds},
                       {"bubble_seconds", f.bubble_seconds},
                       {"overhead_seconds", f.overhead_seconds},
                       {"memory_bytes", Json::object({{"weights", m.weights},
                                                      {"gradients", m.gradients},
                                                      {"optimizer", m.optimizer},
                                                      {"activations", m.activations},
                                                      {"states", m.states},
                                                      {"buffers", m.buffers},
                                                      {"total", m.total()}})},
                       {"collectives", collectives}});
}

}  // namespace og
