#include "framework/plan/probe/layer.h"

#include <algorithm>
#include <array>

#include "framework/plan/probe/rows.h"
#include "framework/train/session.h"
#include "parallel/layers/vocabulary.h"

namespace og {

namespace {

constexpr int64_t kShort = 64, kLong = 128;   // tokens a rank; powers of two, so that size classes round them alike
constexpr int64_t kManyElements = 2'000'000;  // a layer with more elements in its experts is probed with few of them

// A layer's own memory: nothing run again.
Config plain(Config config) {
  config.train.recompute = "none";
  return config;
}

void probe_layer(const Config& whole, LayerProbe& kind, int tensor) {
  Config config = whole;
  config.model.vocab_size = kProbeVocabulary;
  const double expert_scale = few_experts(config, kind);
  const Options& channel = config.model.channels.at(kind.channel);
  if (channel.type == "moe")
    kind.routed_bytes = static_cast<double>(channel.integer("num_experts_per_tok") * config.model.hidden_size *
                                            size_of(resolve_precision(config.train.precision).dtype));

  // Elements by how they are shared, and FLOPs at the real length, from the records of one layer on one rank.
  const auto self = make_self_comm();
  {
    const Config one = probe_config(config, 1, kind.mixer, kind.channel);
    Session session(one, *self, {}, Weights::shapes);
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

  double peaks[2][2];  // [layers - 1][short, long]
  for (int64_t layers : {1, 2}) {
    const auto rows =
        probe_rows(probe_config(config, layers, kind.mixer, kind.channel), {.tensor = tensor}, {kShort, kLong});
    for (size_t i : {0, 1}) peaks[layers - 1][i] = rows[i].peak_bytes;
  }
  const double more[2] = {peaks[1][0] - peaks[0][0], peaks[1][1] - peaks[0][1]};  // what a second layer adds
  kind.saved_per_token = (more[1] - more[0]) / (kLong - kShort);
  kind.layer_fixed = more[0] - kind.saved_per_token * kShort;
  kind.working.per_token = (peaks[0][1] - peaks[0][0]) / (kLong - kShort) - kind.saved_per_token;
  kind.working.fixed = peaks[0][0] - kind.layer_fixed - (kind.saved_per_token + kind.working.per_token) * kShort;

  // As LASP-2 and LASP-2H gather them.
  config.parallel.sequence_method = name_of(LinearMethod{});
  config.parallel.softmax_sequence_method = name_of(SoftmaxMethod{});
  const auto split =
      probe_rows(probe_config(config, 1, kind.mixer, kind.channel), {.sequence = 2, .tensor = tensor}, {2 * kShort});
  for (const CollectiveCount& c : split.front().collectives) {
    if (c.axis != name_of(Axis::sequence) || c.verb != Verb::all_gather) continue;
    if (c.site == Sites::mixer_forward) kind.state_bytes = static_cast<double>(c.bytes);
    if (c.site == Sites::attention_forward) kind.keys_bytes = static_cast<double>(c.bytes) / kShort;
  }
}

}  // namespace

double few_experts(Config& config, const LayerProbe& kind) {
  Options& channel = config.model.channels.at(kind.channel);
  if (channel.type != "moe") return 1;
  const int64_t experts = channel.integer("num_experts"), visited = channel.integer("num_experts_per_tok");
  if (3 * config.model.hidden_size * channel.integer("moe_intermediate_size") * experts <= kManyElements) return 1;
  channel.values["num_experts"] = visited;
  return static_cast<double>(experts) / static_cast<double>(visited);
}

namespace {

constexpr int64_t kEnds[] = {2048, 4096};  // vocabularies between which the ends are a line

// Peak of the ends alone at both lengths, without their weights and gradients.
std::array<double, 2> ends_bytes(const Config& config, const LayerProbe& any, int64_t vocabulary, int tensor,
                                 double bytes_of_weights) {
  Config ends = probe_config(plain(config), 0, any.mixer, any.channel);
  ends.model.vocab_size = vocabulary;
  const auto rows = probe_rows(ends, {.tensor = tensor}, {kShort, kLong});
  return {rows[0].peak_bytes - bytes_of_weights, rows[1].peak_bytes - bytes_of_weights};
}

void probe_ends(const Config& config, ModelProbe& probe, int tensor) {
  const auto hidden = static_cast<double>(config.model.hidden_size);
  const auto whole = static_cast<double>(config.model.padded_vocab_size());
  double bytes[2][2], width[2];  // [vocabulary][length]
  for (size_t v : {0, 1}) {
    ModelConfig model = config.model;
    // A small one as it is, and half of it.
    const int64_t step = int64_t{64} * tensor;
    model.vocab_size =
        whole > 4096 ? (kEnds[v] + step - 1) / step * step
                     : std::max(step, (v == 0 ? model.vocab_size / 2 + step - 1 : model.vocab_size) / step * step);
    const auto rows = static_cast<double>(model.padded_vocab_size());
    width[v] = rows / tensor;
    const double built = (probe.end_matrices * rows / tensor + 1) * hidden;
    const auto measured =
        ends_bytes(config, probe.layers.front(), model.vocab_size, tensor, probe.bytes_per_element * built);
    std::copy(measured.begin(), measured.end(), bytes[v]);
  }
  const double apart = width[1] - width[0], longer = kLong - kShort;
  EndsLine& e = probe.ends;
  e.width = whole / tensor;
  const double slope[2] = {(bytes[0][1] - bytes[0][0]) / longer, (bytes[1][1] - bytes[1][0]) / longer};
  e.per_logit = apart > 0 ? std::max(0.0, (slope[1] - slope[0]) / apart) : 0;
  e.per_token = std::max(0.0, slope[1] - e.per_logit * width[1]);
  const double fixed[2] = {bytes[0][0] - slope[0] * kShort, bytes[1][0] - slope[1] * kShort};
  const double per_row = apart > 0 ? std::max(0.0, (fixed[1] - fixed[0]) / apart) : 0;
  e.fixed = fixed[1] + per_row * (e.width - width[1]);
}

}  // namespace

double EndsLine::at(double tokens) const {
  return fixed + per_token * tokens + per_logit * width * std::min(tokens, static_cast<double>(kLossBlockRows));
}

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
    probe.order.push_back(static_cast<size_t>(found - probe.layers.begin()));
  }
  for (LayerProbe& kind : probe.layers) probe_layer(plain(config), kind, tensor);

  probe.end_matrices = config.model.tie_word_embeddings ? 1 : 2;
  probe.norm_elements = static_cast<double>(config.model.hidden_size);
  probe.matrix_elements = static_cast<double>(config.model.padded_vocab_size() * config.model.hidden_size);
  probe.head_flops = 2.0 * static_cast<double>(config.model.vocab_size * config.model.hidden_size);
  double bytes = 0, elements = 0;
  for (const LayerProbe& kind : probe.layers) bytes += kind.layer_fixed, elements += kind.built_elements;
  if (elements > 0) probe.bytes_per_element = bytes / elements;
  // Layers were probed between the ends of a small vocabulary.
  for (LayerProbe& kind : probe.layers)
    kind.working.fixed -= probe.bytes_per_element * (probe.end_matrices * kProbeVocabulary / tensor + 1) *
                          static_cast<double>(config.model.hidden_size);
  probe_ends(config, probe, tensor);
  return probe;
}

}  // namespace og
