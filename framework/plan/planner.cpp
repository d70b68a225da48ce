#include "framework/plan/planner.h"

#include <algorithm>

#include "framework/core/error.h"
#include "framework/core/log.h"
#include "framework/core/number.h"
#include "framework/plan/memory.h"
#include "framework/plan/time.h"
#include "framework/train/choose_method.h"

namespace og {

namespace {
constexpr double kSilentSeconds = 3;
constexpr int64_t kWide = 2048;  // a hidden size whose first probe takes that long
}  // namespace

void Planner::say(const std::string& what) {
  const double now = now_seconds();
  if (now - said_ < kSilentSeconds && config_.model.hidden_size < kWide) return;
  said_ = now;
  log::info("plan: measuring {}", what);
}

const ModelProbe& Planner::probe(int tensor) {
  auto found = probes_.find(tensor);
  if (found == probes_.end()) {
    say(fmt::format("layers with parallel.tensor {}", tensor));
    found = probes_.emplace(tensor, probe_model(config_, tensor)).first;
  }
  return found->second;
}

const LayerExchanges& Planner::exchanges(const LayerProbe& kind, const Degrees& d, const SequenceOptions& options) {
  const bool softmax = kind_of(config_.model.mixers.at(kind.mixer)) != MixerKind::recurrence;
  const int sequence = probed_sequence(config_, kind, d.sequence, options);
  const std::string key = fmt::format("{}{} {} {} {}", kind.mixer, kind.channel, d.tensor, sequence,
                                      softmax ? name_of(options.softmax) : name_of(options.linear));
  auto found = exchanges_.find(key);
  if (found == exchanges_.end()) {
    say(fmt::format("what a {}{} layer sends, parallel.tensor {}, sequence {}", kind.mixer, kind.channel, d.tensor,
                    d.sequence));
    found = exchanges_.emplace(key, probe_exchanges(config_, kind, d.tensor, sequence, options)).first;
  }
  return found->second;
}

Forecast Planner::forecast(const Layout& layout) {
  const Degrees& d = layout.degrees;
  const int hosts = Places(cluster_, d.world()).nodes(d.sequence, d.tensor);
  const SequenceOptions options =
      d.sequence > 1 ? choose_sequence_methods(config_, d.tensor, {.ranks = d.sequence, .hosts = hosts}).options
                     : SequenceOptions{};
  const ModelProbe& model = probe(d.tensor);
  std::vector<const LayerExchanges*> sent;
  if (d.sequence * d.tensor > 1)
    for (const LayerProbe& kind : model.layers) sent.push_back(&exchanges(kind, d, options));
  const LayoutWork work(config_, cluster_, model, layout, options, std::move(sent));
  Forecast f{forecast_time(work), layout, options, forecast_memory(work)};
  f.tokens_per_second = static_cast<double>(config_.train.tokens_per_step) / f.step_seconds();
  f.fits = f.memory.total() <= cluster_.memory_bytes * work.places.width();
  return f;
}

std::vector<Forecast> Planner::all(int world_size) {
  const LayoutSearch search = search_layouts(config_, cluster_, world_size);
  if (search.legal.empty())
    fail(Status::usage, "no layout of {} is legal; the nearest is {}", counted(world_size, "rank"), search.nearest);
  std::vector<Forecast> plans;
  for (const Layout& layout : search.legal) plans.push_back(forecast(layout));
  std::stable_sort(plans.begin(), plans.end(), [](const Forecast& a, const Forecast& b) {
    return a.fits != b.fits ? a.fits : a.step_seconds() < b.step_seconds();
  });
  return plans;
}

}  // namespace og
