#include "framework/train/layer_probe.h"

#include <algorithm>
#include <mutex>

#include "framework/train/random_rows.h"
#include "framework/train/session.h"
#include "framework/train/step.h"

namespace og {

namespace {

constexpr int64_t kShort = 64, kLong = 128;   // tokens a rank; powers of two, so that size classes round them alike
constexpr int64_t kManyElements = 2'000'000;  // of the experts of a layer: above it they are probed in a small number
constexpr int64_t kVocabulary = 256;          // while layers are probed

struct Measured {
  double peak = 0;
  std::vector<CollectiveCount> collectives;  // of one step
};

// One training step of the config at these degrees, after another that took what memory it needs.
Measured run(const Config& config, const Degrees& degrees) {
  Measured result;
  std::mutex mutex;
  run_thread_world(degrees.world(), [&](Comm& world) {
    Session session(config, world, degrees);
    Context& cx = session.context();
    AdamW optimizer(session.store(), config.train.adamw);
    TrainStep step(cx, session.mesh(), session.store(), session.model(), optimizer, step_options(config));
    const RowSource rows = [&](int64_t first, int64_t count) {
      return random_rows(*cx.pool, first, count, config.data.sequence_length, config.model.vocab_size);
    };
    step.run(1, 0, rows, 1e-4, false);
    cx.pool->reset_peak();
    world.counters().reset();
    step.run(2, config.rows_per_step(), rows, 1e-4, false);
    const std::lock_guard lock(mutex);
    if (const auto peak = static_cast<double>(cx.pool->stats().peak_bytes); peak > result.peak) result.peak = peak;
    if (world.rank() == 0) result.collectives = world.counters().rows();
  });
  return result;
}

Config with_layers(Config config, int64_t layers, const LayerProbe& kind, int64_t tokens) {
  config.model.num_hidden_layers = layers;
  config.model.layer_pattern = std::string(1, kind.mixer);
  config.model.channel_pattern = std::string(1, kind.channel);
  config.data.sequence_length = tokens;
  config.train.tokens_per_step = tokens;
  config.train.micro_batch_size = 1;
  config.train.recompute = "none";
  config.train.threads = 1;
  config.parallel.data_auto = false;
  return config;
}

double received(const Measured& m, std::initializer_list<std::string_view> sites, const std::string& axis, Verb verb) {
  double bytes = 0;
  for (const CollectiveCount& c : m.collectives)
    if (c.axis == axis && c.verb == verb && std::find(sites.begin(), sites.end(), c.site) != sites.end())
      bytes += static_cast<double>(c.bytes);
  return bytes;
}

void probe_layer(const Config& whole, LayerProbe& kind, int tensor) {
  Config config = whole;
  config.model.vocab_size = kVocabulary;
  Options& channel = config.model.channels.at(kind.channel);
  double expert_scale = 1;
  if (channel.type == "moe") {
    const int64_t experts = channel.integer("num_experts"), visited = channel.integer("num_experts_per_tok");
    const int64_t elements = 3 * config.model.hidden_size * channel.integer("moe_intermediate_size") * experts;
    if (elements > kManyElements) {
      channel.values["num_experts"] = visited;
      expert_scale = static_cast<double>(experts) / static_cast<double>(visited);
    }
    kind.routed_bytes = static_cast<double>(visited * config.model.hidden_size) * 4;
  }

  // Elements by how they are shared, and FLOPs at the real length, from the records of one layer on one rank.
  const auto self = make_self_comm();
  {
    const Config one = with_layers(config, 1, kind, kShort);
    Session session(one, *self, {});
    for (const Parameter& p : session.store().all()) {
      if (!p.record.name.starts_with("model.layers.")) continue;
      const auto n = static_cast<double>(p.record.global_shape.count());
      (p.record.shard == Shard::expert   ? kind.expert
       : p.record.shard == Shard::tensor ? kind.tensor_cut
                                         : kind.dense) += n;
    }
    kind.built_elements = kind.dense + kind.tensor_cut / tensor + kind.expert;
    kind.expert *= expert_scale;
    kind.flops = flops_per_token(session.model(), session.store(), whole.data.sequence_length);
    kind.flops.head = 0;
  }

  Degrees degrees{.tensor = tensor};
  double peak[2][2];  // [layers - 1][short, long]
  for (int64_t layers : {1, 2})
    for (int longer : {0, 1})
      peak[layers - 1][longer] = run(with_layers(config, layers, kind, longer ? kLong : kShort), degrees).peak;
  const double more[2] = {peak[1][0] - peak[0][0], peak[1][1] - peak[0][1]};  // of a second layer
  kind.saved_per_token = (more[1] - more[0]) / (kLong - kShort);
  kind.layer_fixed = more[0] - kind.saved_per_token * kShort;
  kind.working.per_token = (peak[0][1] - peak[0][0]) / (kLong - kShort) - kind.saved_per_token;
  kind.working.fixed = peak[0][0] - kind.layer_fixed - (kind.saved_per_token + kind.working.per_token) * kShort;

  degrees.sequence = 2;
  const Measured split = run(with_layers(config, 1, kind, 2 * kShort), degrees);
  kind.state_bytes = received(split, {"mixer.forward"}, "sequence", Verb::all_gather);
  kind.keys_bytes = received(split, {"attention.forward"}, "sequence", Verb::all_gather) / kShort;
  if (tensor > 1)
    kind.tensor_bytes =
        received(split, {"tensor.forward"}, "tensor", Verb::all_reduce) / kShort * tensor / (2.0 * (tensor - 1));
}

}  // namespace

ModelProbe probe_model(const Config& config, int tensor) {
  ModelProbe probe;
  for (int64_t i = 0; i < config.model.num_hidden_layers; ++i) {
    const char mixer = config.model.layer_pattern[static_cast<size_t>(i) % config.model.layer_pattern.size()];
    const char channel = config.model.channel_pattern[static_cast<size_t>(i) % config.model.channel_pattern.size()];
    auto found = std::find_if(probe.layers.begin(), probe.layers.end(),
                              [&](const LayerProbe& k) { return k.mixer == mixer && k.channel == channel; });
    if (found == probe.layers.end()) {
      LayerProbe kind;
      kind.mixer = mixer, kind.channel = channel;
      probe.layers.push_back(kind);
      found = probe.layers.end() - 1;
    }
    found->count += 1;
  }
  for (LayerProbe& kind : probe.layers) probe_layer(config, kind, tensor);

  const auto vocabulary = static_cast<double>(config.model.padded_vocab_size());
  const double matrices = config.model.tie_word_embeddings ? 1 : 2;
  probe.ends_elements = (matrices * vocabulary + 1) * static_cast<double>(config.model.hidden_size);
  probe.head_flops = 2.0 * static_cast<double>(config.model.vocab_size * config.model.hidden_size);
  double bytes = 0, elements = 0;
  for (const LayerProbe& kind : probe.layers) bytes += kind.layer_fixed, elements += kind.built_elements;
  if (elements > 0) probe.bytes_per_element = bytes / elements;
  // Layers were probed between the ends of a small vocabulary.
  for (LayerProbe& kind : probe.layers)
    kind.working.fixed -=
        probe.bytes_per_element * (matrices * kVocabulary + 1) * static_cast<double>(config.model.hidden_size) / tensor;
  Config ends = with_layers(config, 0, probe.layers.front(), kShort);
  ends.model.vocab_size = std::min<int64_t>(config.model.vocab_size, 8192);
  const double built = (matrices * static_cast<double>(ends.model.padded_vocab_size()) + 1) *
                       static_cast<double>(config.model.hidden_size);
  const double low = run(ends, {.tensor = tensor}).peak;
  ends.data.sequence_length = ends.train.tokens_per_step = kLong;
  const double high = run(ends, {.tensor = tensor}).peak;
  probe.ends.per_token = std::max(0.0, (high - low) / (kLong - kShort));
  probe.ends.fixed = low - probe.ends.per_token * kShort - probe.bytes_per_element * built / tensor;
  return probe;
}

}  // namespace og
