#include <algorithm>

#include "framework/train/plan.h"
#include "framework/train/progress.h"

namespace og {

std::string layout_name(const Degrees& d) {
  std::string text;
  const auto add = [&](const char* axis, int degree) {
    if (degree > 1) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", axis, degree);
  };
  add("data", d.data), add("sequence", d.sequence), add("tensor", d.tensor), add("expert", d.expert);
  add("pipeline", d.pipeline);
  return text.empty() ? "one rank" : text;
}

namespace {

// Why the first beats the second: the part of the step with the largest gain.
std::string reason(const Forecast& best, const Forecast& next) {
  if (best.fits && !next.fits) return "the next layout does not fit into memory";
  struct Part {
    std::string name;
    double gain;
  };
  std::vector<Part> parts{{"compute", next.compute_seconds - best.compute_seconds},
                          {"pipeline bubble", next.bubble_seconds - best.bubble_seconds}};
  const auto exposed = [](const Forecast& f, const std::string& site) {
    double sum = 0;
    for (const CollectiveForecast& c : f.collectives)
      if (c.site == site) sum += c.exposed;
    return sum;
  };
  for (const CollectiveForecast& c : next.collectives)
    parts.push_back({"exposed " + c.site, exposed(next, c.site) - exposed(best, c.site)});
  const Part& most =
      *std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.gain < b.gain; });
  if (most.gain <= 0) return "the same time as the next, listed first";
  return fmt::format("{:.4f} s less {} than {}", most.gain, most.name, layout_name(next.degrees));
}

}  // namespace

std::string describe(const std::vector<Forecast>& plans, const Config& config, const Cluster& cluster, size_t rows) {
  const auto bytes = [](double b) { return human_bytes(b); };
  std::string text = fmt::format("{}: {} nodes x {} devices, {} each; {} tokens a step, rows of {}\n\n", cluster.name,
                                 cluster.nodes, cluster.devices_per_node, bytes(cluster.memory_bytes),
                                 config.train.tokens_per_step, config.data.sequence_length);
  text += fmt::format("{:<44} {:>10} {:>10} {:>9} {:>9} {:>9}\n", "layout", "tokens/s", "memory", "step s", "exposed s",
                      "bubble s");
  for (size_t i = 0; i < std::min(rows, plans.size()); ++i) {
    const Forecast& f = plans[i];
    text += fmt::format("{:<44} {:>10.0f} {:>10} {:>9.4f} {:>9.4f} {:>9.4f}{}\n", layout_name(f.degrees),
                        f.tokens_per_second, bytes(f.memory.total()), f.step_seconds(), f.exposed_seconds,
                        f.bubble_seconds, f.fits ? "" : "  does not fit");
  }
  if (plans.size() > rows) text += fmt::format("... and {} more\n", plans.size() - rows);
  const Forecast& best = plans.front();
  if (!best.fits) return text + "\nno layout fits into memory\n";
  text +=
      fmt::format("\nbest: {}{}\n", layout_name(best.degrees), plans.size() > 1 ? ": " + reason(best, plans[1]) : "");
  if (best.degrees.sequence > 1)
    text += fmt::format("sequences: linear layers by {}, softmax layers by {}, {} order\n",
                        name_of(best.sequence.linear), name_of(best.sequence.softmax), name_of(best.sequence.order));
  text += "\nmemory of a rank\n";
  const MemoryForecast& m = best.memory;
  for (const auto& [name, value] : {std::pair<const char*, double>{"weights", m.weights},
                                    {"gradients", m.gradients},
                                    {"optimizer", m.optimizer},
                                    {"activations", m.activations},
                                    {"states", m.states},
                                    {"buffers", m.buffers},
                                    {"total", m.total()}})
    text += fmt::format("  {:<12} {:>10}\n", name, bytes(value));
  text +=
      fmt::format("\nseconds of a step: compute {:.4f}, exposed communication {:.4f}, bubble {:.4f}, overhead {:.4f}\n",
                  best.compute_seconds, best.exposed_seconds, best.bubble_seconds, best.overhead_seconds);
  if (best.collectives.empty()) return text;
  text += fmt::format("\n{:<16} {:<15} {:<22} {:>7} {:>11} {:>9} {:>9}\n", "axis", "collective", "site", "calls",
                      "bytes", "seconds", "exposed");
  for (const CollectiveForecast& c : best.collectives)
    text += fmt::format("{:<16} {:<15} {:<22} {:>7.0f} {:>11} {:>9.4f} {:>9.4f}\n", c.axis, name_of(c.verb), c.site,
                        c.calls, bytes(c.bytes), c.seconds, c.exposed);
  return text;
}

Json to_json(const Forecast& f) {
  Json collectives = Json::array();
  for (const CollectiveForecast& c : f.collectives)
    collectives.push(Json::object({{"axis", c.axis},
                                   {"verb", name_of(c.verb)},
                                   {"site", c.site},
                                   {"calls", c.calls},
                                   {"bytes", c.bytes},
                                   {"seconds", c.seconds},
                                   {"exposed_seconds", c.exposed}}));
  const MemoryForecast& m = f.memory;
  return Json::object({{"data", f.degrees.data},
                       {"sequence", f.degrees.sequence},
                       {"tensor", f.degrees.tensor},
                       {"expert", f.degrees.expert},
                       {"pipeline", f.degrees.pipeline},
                       {"sequence_method", name_of(f.sequence.linear)},
                       {"softmax_sequence_method", name_of(f.sequence.softmax)},
                       {"fits", f.fits},
                       {"tokens_per_second", f.tokens_per_second},
                       {"step_seconds", f.step_seconds()},
                       {"compute_seconds", f.compute_seconds},
                       {"exposed_seconds", f.exposed_seconds},
                       {"bubble_seconds", f.bubble_seconds},
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
