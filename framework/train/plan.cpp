#include "framework/train/plan.h"

#include <algorithm>
#include <cmath>

#include "framework/train/config_problems.h"
#include "framework/train/sequence_choice.h"
#include "parallel/pipeline_schedule.h"

namespace og {

namespace {

// AdamW reads weight, gradient and two moments and writes weight and moments; the gradient is written before.
constexpr double kOptimizerBytes = 32;
constexpr double kOptimizerState = 8, kWeight = 4, kGradient = 4;  // bytes of an element
constexpr double kElement = 4;                                     // bytes of an activation or gradient that travels
constexpr int kMostTensor = 8;

class Sum {
 public:
  Sum(const Config& config, const Cluster& cluster, const Degrees& degrees, const SequenceOptions& sequence,
      int sequence_hosts, const ModelProbe& probe, std::vector<const LayerExchanges*> exchanges)
      : config_(config),
        cluster_(cluster),
        d_(degrees),
        sequence_(sequence),
        sequence_hosts_(sequence_hosts),
        probe_(probe),
        exchanges_(std::move(exchanges)) {
    f_.degrees = degrees;
    f_.sequence = sequence;
    // A machine without GPUs: a rank computes with all the cores that its share of the machine has.
    width_ = std::max(1.0, static_cast<double>(cluster.devices()) / degrees.world());
    rows_ = static_cast<double>(config.train.micro_batch_size);
    const double length = static_cast<double>(config.data.sequence_length);
    // Segments are micro steps of fewer tokens, all but the last of a row run forward twice.
    const double segment = config.train.segment_length > 0 ? static_cast<double>(config.train.segment_length) : length;
    segments_ = std::ceil(length / segment);
    tokens_ = rows_ * length / segments_ / degrees.sequence;
    micro_ = static_cast<double>(config.rows_per_step()) / (rows_ * degrees.data) * segments_;
    stages_ = degrees.pipeline;
  }

  Forecast run() {
    memory();
    compute();
    collectives();
    f_.overhead_seconds = cluster_.overhead_seconds;
    f_.bubble_seconds =
        (f_.compute_seconds + f_.exposed_seconds) * (stages_ - 1) / (micro_ * config_.parallel.virtual_stages);
    f_.tokens_per_second = static_cast<double>(config_.train.tokens_per_step) / f_.step_seconds();
    f_.fits = f_.memory.total() <= cluster_.memory_bytes * width_;
    return f_;
  }

 private:
  bool recomputes() const { return config_.train.recompute == "block"; }
  double elements(const LayerProbe& k) const { return k.dense + k.tensor_cut / d_.tensor + k.expert / d_.expert; }

  void memory() {
    double own = probe_.ends_elements / d_.tensor, saved = 0, most = 0, states = 0, gathered = 0;
    for (const LayerProbe& k : probe_.layers) {
      const double count = static_cast<double>(k.count) / stages_;
      own += count * elements(k);
      const double input = kElement * static_cast<double>(config_.model.hidden_size) * tokens_;
      saved += count * (recomputes() ? input : k.saved_per_token * tokens_);
      double working = std::max(0.0, k.working.at(tokens_));
      if (recomputes()) working += k.saved_per_token * tokens_;
      most = std::max(most, working);
      states += count * k.state_bytes * rows_ * (d_.sequence > 1 ? 1 : 0);
      // At the borders of segments: a state before and one after; keys of the row on every rank, and their gradients.
      if (segments_ > 1)
        states += count * rows_ * (2 * segments_ * k.state_bytes) +
                  count * 2 * k.keys_bytes * tokens_ * segments_ * d_.sequence;
      gathered = std::max(gathered,
                          d_.sequence > 1 ? (k.state_bytes * rows_ + 2 * k.keys_bytes * tokens_) * d_.sequence : 0.0);
    }
    elements_ = own;
    saved_ = saved;
    // Buckets: a copy of every gradient that is summed over ranks, there while backward gives up activations.
    double summed = d_.data * d_.sequence > 1 ? probe_.ends_elements / d_.tensor : 0;
    for (const LayerProbe& k : probe_.layers) {
      const double count = static_cast<double>(k.count) / stages_;
      if (d_.data * d_.sequence > 1) summed += count * (k.dense + k.tensor_cut / d_.tensor);
      if (d_.data * d_.sequence * d_.tensor > d_.expert) summed += count * k.expert / d_.expert;
    }
    f_.memory.weights = kWeight * own;
    f_.memory.gradients = kGradient * own;
    // ZeRO-1 cuts the moments over the ranks that sum the gradients.
    double moments = own;
    if (config_.parallel.zero > 0) {
      double expert = 0;
      for (const LayerProbe& k : probe_.layers) expert += static_cast<double>(k.count) / stages_ * k.expert / d_.expert;
      moments = (own - expert) / (d_.data * d_.sequence) + expert * d_.expert / (d_.data * d_.sequence * d_.tensor);
    }
    f_.memory.optimizer = kOptimizerState * moments;
    // In flight at the first stage, of all chunks of the layers that it holds.
    const auto chunks = config_.parallel.virtual_stages;
    const double in_flight = static_cast<double>(
        most_in_flight(pipeline_actions(0, d_.pipeline, chunks, static_cast<int64_t>(std::ceil(micro_)))));
    f_.memory.activations = saved * in_flight / chunks;
    f_.memory.states = states;
    const double staged = std::max(0.0, kGradient * summed - f_.memory.activations);
    f_.memory.buffers = std::max(most + gathered + staged, probe_.ends.at(tokens_)) +
                        std::max(0.0, probe_.bytes_per_element - kWeight - kGradient) * own;
  }

  // Of causal work over contiguous pieces the last rank has (2 - 1 / P) times the mean.
  double busiest(const LayerProbe& k) const {
    const Options& mixer = config_.model.mixers.at(k.mixer);
    const bool causal = mixer.type == "attention" && mixer.is_null("sliding_window");
    const bool balanced = sequence_.softmax == SoftmaxMethod::ulysses || sequence_.order == SequenceOrder::zigzag;
    return causal && !balanced ? 2 - 1.0 / d_.sequence : 1;
  }

  void compute() {
    const double passes = recomputes() ? 4 : 4 - 1 / segments_, t = d_.tensor;
    double products = 3 * probe_.head_flops / t, mixers = 0, attention = 0;
    for (const LayerProbe& k : probe_.layers) {
      const double count = static_cast<double>(k.count) / stages_;
      products += count * passes * (k.flops.products + k.flops.experts) / t;
      mixers += count * passes * k.flops.mixers / t;
      attention += count * passes * k.flops.attention / t * busiest(k);
    }
    const double all = tokens_ * micro_;
    layers_seconds_ =
        all * (products / cluster_.products + mixers / cluster_.mixers + attention / cluster_.attention) / width_ +
        saved_ * micro_ * cluster_.activation_passes / (cluster_.memory * width_);
    mixers_seconds_ = tokens_ * mixers / cluster_.mixers / width_;
    attention_seconds_ = tokens_ * attention / cluster_.attention / width_;
    f_.compute_seconds = layers_seconds_ + kOptimizerBytes * elements_ / (cluster_.memory * width_);
  }

  // ranks lie `stride` apart; window: local work that one call can hide behind.
  void add(const char* axis, Verb verb, const char* site, double calls, double bytes, int ranks, int stride,
           double window) {
    if (ranks <= 1 || bytes <= 0) return;
    const Link& link = cluster_.link(ranks, stride);
    double seconds = 0, received = 0;
    switch (verb) {
      case Verb::all_gather:
        seconds = all_gather_seconds(link, ranks, bytes), received = bytes * (ranks - 1);
        break;
      case Verb::reduce_scatter:
        seconds = reduce_scatter_seconds(link, ranks, bytes), received = bytes * (ranks - 1);
        break;
      case Verb::all_reduce:
        seconds = all_reduce_seconds(link, ranks, bytes), received = 2 * bytes * (ranks - 1) / ranks;
        break;
      case Verb::all_to_all:
        seconds = all_to_all_seconds(link, ranks, bytes), received = bytes * (ranks - 1) / ranks;
        break;
      default:
        seconds = link.message(bytes), received = bytes;
    }
    put(axis, verb, site, calls, calls * received, calls * seconds, calls * window);
  }

  void put(const std::string& axis, Verb verb, const std::string& site, double calls, double bytes, double seconds,
           double window) {
    const double exposed = std::max(0.0, seconds - window);
    auto row = std::find_if(f_.collectives.begin(), f_.collectives.end(), [&](const CollectiveForecast& c) {
      return c.axis == axis && c.verb == verb && c.site == site;
    });
    if (row == f_.collectives.end()) row = f_.collectives.insert(row, {axis, site, verb, 0, 0, 0, 0});
    row->calls += calls;
    row->bytes += bytes;
    row->seconds += seconds;
    row->exposed += exposed;
    f_.exposed_seconds += exposed;
  }

  // Local work that one layer's exchange can hide behind: of a linear layer's scan or a softmax layer's scores,
  // forward.
  double window(const Exchange& x, double scan, double scores) const {
    if (!sequence_.overlap || x.axis != "sequence") return 0;
    const bool ring = x.verb == Verb::send_recv;
    if (x.site == "mixer.forward" || x.site == "mixer.backward") {
      const double passes = x.site == "mixer.forward" ? 0.5 : 1;
      switch (sequence_.linear) {
        case LinearMethod::lasp2:
        case LinearMethod::hierarchical:
          return passes * scan;
        case LinearMethod::ring:
          return 2 * passes * scan;
        default:
          return 0;
      }
    }
    if (x.verb == Verb::reduce_scatter || sequence_.softmax == SoftmaxMethod::ulysses) return 0;
    // The own block while keys are gathered; round a ring, the block before.
    if (x.site == "attention.forward") return ring ? scores : scores / d_.sequence;
    if (x.site == "attention.backward") return 2 * (ring ? scores : scores / d_.sequence);
    return 0;
  }

  void exchange(const Exchange& x, double times, double window) {
    const bool tensor = x.axis == "tensor";
    const int ranks = tensor ? d_.tensor : d_.sequence;
    if (ranks == 1 || x.row_bytes * rows_ + x.token_bytes * tokens_ <= 0) return;
    const Link& link = cluster_.link(ranks, tensor ? 1 : d_.tensor);
    const ExchangeCost cost =
        cost_of(x, sequence_, ranks, tensor ? 1 : sequence_hosts_, cluster_.inside, link, rows_, tokens_);
    put(x.axis, x.verb, x.site, times * cost.calls, times * cost.bytes, times * cost.seconds, times * window);
  }

  void sum_gradients(const char* axis, double bytes, int ranks, int stride, double window) {
    if (config_.parallel.zero == 0) {
      add(axis, Verb::all_reduce, "gradients", 1, bytes, ranks, stride, window);
      return;
    }
    add(axis, Verb::reduce_scatter, "gradients", 1, bytes / ranks, ranks, stride, window);
    add(axis, Verb::all_gather, "weights", 1, bytes / ranks, ranks, stride, window / 2);  // under the next forward
  }

  void collectives() {
    const int s = d_.sequence, t = d_.tensor, e = d_.expert;
    double linear = 0, softmax = 0;
    for (const LayerProbe& k : probe_.layers) {
      linear += k.state_bytes > 0 ? static_cast<double>(k.count) : 0;
      softmax += k.keys_bytes > 0 ? static_cast<double>(k.count) : 0;
    }
    double dense = probe_.ends_elements / t, expert = 0;
    if (!exchanges_.empty())
      for (const Exchange& x : exchanges_.front()->ends) exchange(x, micro_, 0);
    for (size_t i = 0; i < probe_.layers.size(); ++i) {
      const LayerProbe& k = probe_.layers[i];
      const double layers = static_cast<double>(k.count) / stages_, calls = layers * micro_;
      const double scan = linear > 0 ? mixers_seconds_ / linear / 3 : 0;
      const double scores = softmax > 0 ? attention_seconds_ / softmax / 3 : 0;
      if (!exchanges_.empty())
        for (const Exchange& x : exchanges_[i]->layer) exchange(x, calls, window(x, scan, scores));
      const double rows = k.routed_bytes * tokens_ / t;
      for (const char* site : {"moe.dispatch", "moe.combine", "moe.combine.backward", "moe.dispatch.backward"})
        add("expert", Verb::all_to_all, site, calls, rows, e, 1, 0);
      dense += layers * (k.dense + k.tensor_cut / t);
      expert += layers * k.expert / e;
    }
    // Gradients are reduced while the last micro step's backward runs: two thirds of it, less what comes last.
    const double window = layers_seconds_ / micro_ * 0.6;
    sum_gradients("data+sequence", kElement * dense, d_.data * s, t, window);
    sum_gradients("experts' copies", kElement * expert, d_.data * s * t / e, e, window);
    if (stages_ > 1) {
      const double bytes = kElement * static_cast<double>(config_.model.hidden_size) * tokens_;
      const int apart = d_.data * s * t;
      add("pipeline", Verb::send_recv, "pipeline.forward", micro_ * config_.parallel.virtual_stages, bytes, 2, apart,
          0);
      add("pipeline", Verb::send_recv, "pipeline.backward", micro_ * config_.parallel.virtual_stages, bytes, 2, apart,
          0);
    }
  }

  const Config& config_;
  const Cluster& cluster_;
  const Degrees d_;
  const SequenceOptions sequence_;
  const int sequence_hosts_;
  const ModelProbe& probe_;
  const std::vector<const LayerExchanges*> exchanges_;  // as probe_.layers; empty where nothing is split
  Forecast f_;
  double width_ = 1, rows_ = 1, segments_ = 1, stages_ = 1;
  double tokens_ = 0, micro_ = 1;  // of a rank at once; how often, in a step
  double elements_ = 0, saved_ = 0;
  double layers_seconds_ = 0, mixers_seconds_ = 0, attention_seconds_ = 0;  // the last two of one micro step
};

}  // namespace

const ModelProbe& Planner::probe(int tensor) {
  auto found = probes_.find(tensor);
  if (found == probes_.end()) found = probes_.emplace(tensor, probe_model(config_, tensor)).first;
  return found->second;
}

const LayerExchanges& Planner::exchanges(const LayerProbe& kind, const Degrees& d, const SequenceOptions& options) {
  const bool softmax = config_.model.mixers.at(kind.mixer).type == "attention";
  const int sequence = probed_sequence(config_, kind, d.sequence, options);
  const std::string key = fmt::format("{}{} {} {} {}", kind.mixer, kind.channel, d.tensor, sequence,
                                      softmax ? name_of(options.softmax) : name_of(options.linear));
  auto found = exchanges_.find(key);
  if (found == exchanges_.end())
    found = exchanges_.emplace(key, probe_exchanges(config_, kind, d.tensor, sequence, options)).first;
  return found->second;
}

Forecast Planner::forecast(const Degrees& d) {
  const int hosts = std::clamp(d.sequence * d.tensor / cluster_.devices_per_node, 1, d.sequence);
  const SequenceOptions options =
      d.sequence > 1 ? choose_sequence_methods(config_, d.tensor, {.ranks = d.sequence, .hosts = hosts}).options
                     : SequenceOptions{};
  const ModelProbe& model = probe(d.tensor);
  std::vector<const LayerExchanges*> sent;
  if (d.sequence * d.tensor > 1)
    for (const LayerProbe& kind : model.layers) sent.push_back(&exchanges(kind, d, options));
  return Sum(config_, cluster_, d, options, hosts, model, std::move(sent)).run();
}

std::vector<Forecast> Planner::all(int world_size) {
  int64_t experts = 1;
  for (const auto& [letter, options] : config_.model.channels)
    if (options.type == "moe" && config_.model.channel_pattern.find(letter) != std::string::npos)
      experts = std::max(experts, options.integer("num_experts"));
  const int pipeline = config_.parallel.degrees.pipeline;
  std::vector<Forecast> plans;
  for (int t = 1; t <= std::min({world_size, cluster_.devices_per_node, kMostTensor}); ++t)
    for (int s = 1; s * t <= world_size; ++s)
      for (int e = 1; e <= std::min<int64_t>(world_size, experts); ++e) {
        if (world_size % (s * t * pipeline) != 0) continue;
        const Degrees d{
            .data = world_size / (s * t * pipeline), .sequence = s, .tensor = t, .expert = e, .pipeline = pipeline};
        if (!check_degrees(d, world_size).empty()) continue;
        Config config = config_;
        config.parallel.degrees = d;
        config.parallel.data_auto = false;
        Problems problems;
        check_config(config, config_rules(world_size), problems);
        if (!problems.any()) plans.push_back(forecast(d));
      }
  std::stable_sort(plans.begin(), plans.end(), [](const Forecast& a, const Forecast& b) {
    return a.fits != b.fits ? a.fits : a.step_seconds() < b.step_seconds();
  });
  return plans;
}

}  // namespace og
