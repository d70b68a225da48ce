#include "framework/train/session.h"

#include <unistd.h>

#include <algorithm>

#include "framework/kernels/matmul.h"
#include "framework/train/choose_method.h"
#include "parallel/comm/agreement.h"

namespace og {

Precision resolve_precision(const std::string& precision) {
  std::string name = precision;
  if (name == "auto") name = bf16_is_native() ? "bf16" : "f32";
  Precision p;
  p.name = name;
  if (name == "f64") {
    p.dtype = DType::f64;
    p.backend = Backend::ref;
  } else if (name == "bf16") {
    p.products = Products::bf16;
  } else {
    OG_CHECK(name == "f32", "unknown precision {}", name);
  }
  return p;
}

int resolve_threads(const Config& config, Comm& world) {
  if (config.train.threads > 0) return config.train.threads;
  // Ranks of one host that may run on the same processors share them; where the launcher gave each its own, nobody
  // shares. Every rank joins the gather, also one that was told its number: not all need have been.
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  const std::vector<int> processors = usable_processors();
  std::string place = host;
  for (int p : processors) place += fmt::format(" {}", p);
  const std::vector<std::string> places = world.gather_text(place, Sites::startup);
  if (const int requested = requested_threads()) return requested;
  const auto sharing = static_cast<int>(std::count(places.begin(), places.end(), place));
  return std::max(1, static_cast<int>(processors.size()) / sharing);
}

Degrees resolve_degrees(const Config& config, int world_size) {
  Degrees d = config.parallel.degrees;
  if (config.parallel.data_auto) {
    const int others = d.sequence * d.tensor * d.pipeline;
    d.data = std::max(1, world_size / others);
  }
  if (const auto problem = check_degrees(d, world_size)) fail(Status::usage, "{}", problem->text);
  return d;
}

StepOptions step_options(const Config& config) {
  return {.rows = {.rows_in_step = config.rows_per_step(),
                   .segment_length = config.train.segment_length,
                   .recompute = config.train.recompute == "block"},
          .micro_batch_size = config.train.micro_batch_size,
          .max_grad_norm = config.train.max_grad_norm};
}

Session::Session(const Config& config, Comm& world, const Degrees& degrees, Weights weights)
    : world_(world), precision_(resolve_precision(config.train.precision)) {
  check_agreement(world, "the config", to_yaml(config));
  cx_.stream.backend = precision_.backend;
  cx_.stream.products = weights == Weights::reserved ? Products::none : precision_.products;
  cx_.stream.num_threads = resolve_threads(config, world);
  set_thread_count(cx_.stream.num_threads);
  world.profile = &cx_.profile;
  mesh_ = std::make_unique<Mesh>(world, degrees);
  mesh_->virtual_stages = degrees.pipeline > 1 ? config.parallel.virtual_stages : 1;
  mesh_->sequence_norms = config.parallel.sequence_norms && degrees.tensor > 1;
  SequenceChoice choice = choose_sequence_methods(config, *mesh_);
  mesh_->sequence_options = choice.options;
  sequence_reason_ = std::move(choice.reason);
  build(config, weights);
}

void Session::fill(const Config& config) { build(config, Weights::values); }

void Session::build(const Config& config, Weights weights) {
  model_.reset();
  store_ = std::make_unique<ParameterStore>(cx_, *mesh_, precision_.dtype, static_cast<uint64_t>(config.train.seed),
                                            weights);
  model_ = std::make_unique<HybridLM>(*store_, config.model);
}

}  // namespace og
