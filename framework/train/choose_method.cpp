#include "framework/train/choose_method.h"

#include <algorithm>
#include <cmath>

#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/nn/mixers/attention.h"
#include "framework/nn/registry.h"
#include "parallel/comm/hosts.h"

namespace og {

namespace {

constexpr double kRate = 5e10;   // FLOP/s of a rank: an order of magnitude, like the links
constexpr double kMargin = 0.8;  // a method is taken before the first listed if it costs less than this share of that
constexpr double kElement = 4;   // bytes

// Both kinds of layers of a model, the largest of each kind.
struct Layers {
  LayerTraffic linear, softmax;
  bool has_linear = false, has_softmax = false;
};

Layers layers_of(const Config& config, int tensor, int ranks) {
  Layers out;
  const double length = static_cast<double>(config.train.segment_length > 0
                                                ? std::min(config.train.segment_length, config.data.sequence_length)
                                                : config.data.sequence_length);
  const double rows = static_cast<double>(config.train.micro_batch_size), tokens = rows * length / ranks;
  const auto grow = [](LayerTraffic& most, const LayerTraffic& x) {
    most.summary_bytes = std::max(most.summary_bytes, x.summary_bytes);
    most.stream_bytes = std::max(most.stream_bytes, x.stream_bytes);
    most.key_bytes = std::max(most.key_bytes, x.key_bytes);
    most.local_seconds = std::max(most.local_seconds, x.local_seconds);
    most.whole_heads = most.whole_heads && x.whole_heads;
  };
  for (const auto& [letter, options] : config.model.mixers) {
    if (config.model.layer_pattern.find(letter) == std::string::npos) continue;
    const MixerType& type = mixer_type(options);
    const MixerKind kind = type.kind(options);
    if (kind == MixerKind::window) continue;  // it takes a halo by every method
    if (kind == MixerKind::softmax) {
      const AttentionSizes sizes(options, config.model.hidden_size);
      const int64_t heads = sizes.heads / tensor, keys = sizes.key_heads_of_rank(tensor), width = sizes.head_dim;
      LayerTraffic x;
      x.key_bytes = kElement * tokens * static_cast<double>(2 * keys * width);
      x.stream_bytes = x.key_bytes + kElement * tokens * static_cast<double>(2 * heads * width);
      x.local_seconds = tokens * 4 * static_cast<double>(heads * width) * length / 2 / kRate;
      x.whole_heads = heads % ranks == 0;
      grow(out.softmax, x);
      out.has_softmax = true;
      continue;
    }
    const ScanShape scan = type.scan_shape(options, tensor);
    const Recurrence& recurrence = scan.recurrence;
    const auto heads = static_cast<double>(scan.heads), K = static_cast<double>(scan.key_size),
               V = static_cast<double>(scan.value_size);
    const auto transition = static_cast<double>(recurrence.transition_size(scan.key_size));
    LayerTraffic x;
    x.summary_bytes = kElement * rows * heads * (K * V + transition);
    x.key_bytes =
        kElement * tokens * heads * (K + V + (recurrence.gate == Gate::diagonal ? K : 1) + (recurrence.delta ? 1 : 0));
    x.stream_bytes = x.key_bytes + kElement * tokens * heads * (K + V);
    x.local_seconds = tokens * scan.flops_per_token() / 2 / kRate;  // half of the work needs no entry state
    grow(out.linear, x);
    out.has_linear = true;
  }
  return out;
}

// The first method listed, unless another is clearly cheaper. costs: "lasp2 none, scan 50 us, ..".
template <class Method, class Row, class Cost>
Method cheapest(std::span<const Row> rows, Cost&& cost, std::string& costs) {
  size_t best = 0;
  std::vector<std::pair<double, std::string>> all;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double seconds = cost(rows[i]);
    if (!std::isfinite(seconds)) continue;
    if (seconds < (best == 0 ? kMargin : 1) * cost(rows[best])) best = i;
    all.emplace_back(seconds, rows[i].name);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < std::min<size_t>(4, all.size()); ++i)
    costs += fmt::format("{}{} {}", i == 0 ? "" : ", ", all[i].second,
                         all[i].first == 0 ? "none" : human_time(all[i].first));
  if (best == 0 && all[0].second != rows[0].name)
    costs += fmt::format("; another is taken where it costs under {:.0f} % of it", 100 * kMargin);
  return static_cast<Method>(best);
}

}  // namespace

SequenceChoice choose_sequence_methods(const Config& config, Mesh& mesh) {
  const int ranks = mesh.sequence().size();
  return choose_sequence_methods(config, mesh.tensor().size(),
                                 {.ranks = ranks, .hosts = ranks > 1 ? mesh.sequence().hosts().count() : 1});
}

SequenceChoice choose_sequence_methods(const Config& config, int tensor, const GroupLinks& links) {
  SequenceChoice choice{config.parallel.sequence_options(), "", ""};
  const int ranks = links.ranks;
  if (ranks == 1) return choice;
  const Layers layers = layers_of(config, tensor, ranks);
  const bool zigzag = choice.options.order == SequenceOrder::zigzag;
  if (layers.has_linear && config.parallel.sequence_method == "auto" && !zigzag) {
    std::string costs;
    choice.options.linear = cheapest<LinearMethod>(
        linear_methods(), [&](const LinearRow& m) { return method_seconds(m, links, layers.linear); }, costs);
    choice.reason = fmt::format("linear layers by {}", name_of(choice.options.linear));
    choice.costs = fmt::format("  estimated wait of a linear layer for other ranks: {}\n", costs);
  }
  if (layers.has_softmax && config.parallel.softmax_sequence_method == "auto" && config.train.segment_length == 0) {
    std::string costs;
    choice.options.softmax = cheapest<SoftmaxMethod>(
        softmax_methods(),
        [&](const SoftmaxRow& m) { return method_seconds(m, links, layers.softmax, choice.options.order); }, costs);
    choice.reason +=
        fmt::format("{}softmax layers by {}", choice.reason.empty() ? "" : ", ", name_of(choice.options.softmax));
    choice.costs += fmt::format("  estimated time of a softmax layer: {}\n", costs);
  }
  if (!choice.reason.empty())
    choice.reason =
        fmt::format("sequence over {} on {}: {}", counted(ranks, "rank"), counted(links.hosts, "host"), choice.reason);
  return choice;
}

}  // namespace og
