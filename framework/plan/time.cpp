#include "framework/plan/time.h"

#include <algorithm>

#include "framework/nn/registry.h"
#include "parallel/sequence/cost.h"

namespace og {

namespace {

// Elements that AdamW moves for one weight. It reads the weight, the gradient and two moments, and writes the weight
// and the moments; the gradient was written before.
constexpr double kOptimizerElements = 8;

class StageTime {
 public:
  StageTime(const LayoutWork& work, size_t stage) : w_(work), d_(work.layout.degrees), stage_(work.stages[stage]) {
    compute();
    collectives();
  }
  double pace() const { return (layers_seconds_ + each_exposed_) / w_.micro_steps(); }  // seconds of a micro step
  double seconds() const { return time_.compute_seconds + time_.exposed_seconds; }      // seconds of the whole step
  const TimeForecast& time() const { return time_; }

 private:
  double busiest(const LayerProbe& k) const {
    const bool causal = kind_of(w_.config.model.mixers.at(k.mixer)) == MixerKind::softmax;
    return causal ? og::busiest(row_of(w_.sequence.softmax), w_.sequence.order, d_.sequence) : 1;
  }

  void compute() {
    const Cluster& c = w_.cluster;
    // Forward is one pass, backward two. Segments run forward twice, except the last: 4 - 1 / segments passes, and each
    // moves activations through memory. Recompute runs forward twice everywhere: 4 passes. But the first of them leaves
    // its activations in cache, in buffers that the next block uses again, so it adds no memory traffic.
    const double walks = 4 - 1 / w_.segments, passes = w_.recomputes() ? 4 : walks, t = d_.tensor,
                 width = w_.places.width();
    double products = stage_.has_head ? 3 * w_.probe.head_flops / t : 0, mixers = 0, attention = 0, saved = 0;
    for (size_t i = 0; i < w_.probe.layers.size(); ++i) {
      const LayerProbe& k = w_.probe.layers[i];
      const double count = stage_.layers(i);
      products += count * passes * (k.flops.products + k.flops.experts) / t;
      mixers += count * passes * k.flops.mixers / t;
      attention += count * passes * k.flops.attention / t * busiest(k);
      saved += count * k.saved_per_token;
    }
    const double all = w_.tokens * w_.micro_steps();
    layers_seconds_ = all * (products / c.products + mixers / c.mixers + attention / c.attention) / width +
                      all * saved * walks / 3 * c.activation_passes / (c.memory * width);
    mixers_seconds_ = w_.tokens * mixers / c.mixers / width;
    attention_seconds_ = w_.tokens * attention / c.attention / width;
    optimizer_seconds_ = kOptimizerElements * w_.element * w_.optimizer_elements(stage_) / (c.memory * width);
    time_.compute_seconds = layers_seconds_ + optimizer_seconds_;
  }

  // The ranks of a call lie `stride` apart. window: seconds of local work that one call can hide behind.
  void add(const char* axis, Verb verb, Site site, double calls, double bytes, int ranks, int stride, double window) {
    if (ranks <= 1 || bytes <= 0 || calls <= 0) return;
    const ExchangeCost one = law_of(verb)(w_.places.links(ranks, stride), bytes);
    put(axis, verb, site, calls, calls * one.bytes, calls * one.seconds, calls * window);
  }

  void put(const std::string& axis, Verb verb, Site site, double calls, double bytes, double seconds, double window) {
    const double exposed = std::max(0.0, seconds - window);
    auto& all = time_.collectives;
    auto row = std::find_if(all.begin(), all.end(), [&](const CollectiveForecast& c) {
      return c.axis == axis && c.verb == verb && c.site == site;
    });
    if (row == all.end()) row = all.insert(row, {axis, site, verb, 0, 0, 0, 0});
    row->calls += calls;
    row->bytes += bytes;
    row->seconds += seconds;
    row->exposed += exposed;
    time_.exposed_seconds += exposed;
  }

  // Local work that one layer's exchange can hide behind: the half of a linear layer's scan that needs no other rank,
  // or of a softmax layer's scores what its method works on meanwhile. scan, scores: forward; backward twice that.
  double window(const Exchange& x, double scan, double scores) const {
    if (!w_.sequence.overlap) return 0;
    const double share = share_of(x.meanwhile, d_.sequence);
    if (x.site == Sites::mixer_forward) return share * scan / 2;
    if (x.site == Sites::mixer_backward) return share * scan;
    if (x.site == Sites::attention_forward) return share * scores;
    if (x.site == Sites::attention_backward) return share * 2 * scores;
    return 0;
  }

  void exchange(const Exchange& x, double times, double window) {
    const bool tensor = x.axis == Axis::tensor;
    const int ranks = tensor ? d_.tensor : d_.sequence, stride = tensor ? 1 : d_.tensor;
    if (times == 0 || ranks == 1 || x.row_bytes * w_.rows + x.token_bytes * w_.tokens <= 0) return;
    const ExchangeCost cost = cost_of(x, w_.places.links(ranks, stride), w_.rows, w_.tokens);
    put(name_of(x.axis), x.verb, x.site, times * cost.calls, times * cost.bytes, times * cost.seconds, times * window);
  }

  void sum_gradients(const char* axis, double bytes, int ranks, int stride, double window) {
    if (w_.layout.zero == 0) return add(axis, Verb::all_reduce, Sites::gradients, 1, bytes, ranks, stride, window);
    add(axis, Verb::reduce_scatter, Sites::gradients, 1, bytes / ranks, ranks, stride, window);
    // A bucket's weights travel while the next ones are updated.
    add(axis, Verb::all_gather, Sites::weights, 1, bytes / ranks, ranks, stride, optimizer_seconds_);
  }

  void collectives() {
    const int t = d_.tensor, e = d_.expert;
    const double micro = w_.micro_steps();
    double linear = 0, softmax = 0;
    for (size_t i = 0; i < w_.probe.layers.size(); ++i) {
      linear += w_.probe.layers[i].state_bytes > 0 ? stage_.layers(i) : 0;
      softmax += w_.probe.layers[i].keys_bytes > 0 ? stage_.layers(i) : 0;
    }
    if (!w_.exchanges.empty())
      for (const Exchange& x : w_.exchanges.front()->ends)
        exchange(x, (stage_.embeds + stage_.has_head) / 2.0 * micro, 0);
    for (size_t i = 0; i < w_.probe.layers.size(); ++i) {
      const LayerProbe& k = w_.probe.layers[i];
      const double calls = stage_.layers(i) * micro;
      const double scan = linear > 0 ? mixers_seconds_ / linear / 3 : 0;
      const double scores = softmax > 0 ? attention_seconds_ / softmax / 3 : 0;
      if (!w_.exchanges.empty())
        for (const Exchange& x : w_.exchanges[i]->layer) exchange(x, calls, window(x, scan, scores));
      const double rows = k.routed_bytes * w_.tokens / t;
      for (const Site site :
           {Sites::moe_dispatch, Sites::moe_combine, Sites::moe_combine_backward, Sites::moe_dispatch_backward})
        add("expert", Verb::all_to_all, site, calls, rows, e, 1, 0);
    }
    if (d_.pipeline > 1) {
      const double bytes = w_.hidden_bytes(), chunks = static_cast<double>(stage_.chunks.size());
      const int apart = d_.data * d_.sequence * t;
      add("pipeline", Verb::send_recv, Sites::pipeline_forward, micro * (chunks - stage_.embeds), bytes, 2, apart, 0);
      add("pipeline", Verb::send_recv, Sites::pipeline_backward, micro * (chunks - stage_.has_head), bytes, 2, apart,
          0);
    }
    each_exposed_ = time_.exposed_seconds;
    // Gradients are reduced while the last micro step's backward runs, which is two thirds of it. The gradients that
    // come last hide behind nothing: 0.6. Parameters that all stages hold are summed over the stages too.
    const bool shared = d_.pipeline > 1 && w_.probe.end_matrices == 1;
    const double ends = w_.element * stage_.end_elements(w_.probe) / t, window = layers_seconds_ / micro * 0.6;
    const double dense = w_.element * w_.dense_elements(stage_);
    sum_gradients("data+sequence", dense + (shared ? 0 : ends), d_.tokens(), t, window);
    if (shared) sum_gradients("data+sequence+pipeline", ends, d_.tokens() * d_.pipeline, t, 0);
    sum_gradients("experts' copies", w_.element * w_.expert_elements(stage_), d_.expert_data(), e, window);
  }

  const LayoutWork& w_;
  const Degrees d_;
  const Stage& stage_;
  TimeForecast time_;
  double layers_seconds_ = 0, optimizer_seconds_ = 0,
         each_exposed_ = 0;                            // per step, without the optimizer and gradients
  double mixers_seconds_ = 0, attention_seconds_ = 0;  // per micro step
};

}  // namespace

TimeForecast forecast_time(const LayoutWork& w) {
  double slowest = -1, sum = 0, pace = 0;
  TimeForecast time;
  for (size_t s = 0; s < w.stages.size(); ++s) {
    const StageTime stage(w, s);
    sum += stage.pace();
    if (stage.seconds() <= slowest) continue;
    slowest = stage.seconds();
    pace = stage.pace();
    time = stage.time();
  }
  // Segments fill and drain the pipeline row by row.
  const double fills = w.segments > 1 ? w.micro_rows : 1;
  time.bubble_seconds = fills * (sum - pace) / w.layout.virtual_stages;
  time.overhead_seconds = w.cluster.overhead_seconds;
  return time;
}

}  // namespace og
