#include "framework/plan/probe/exchange.h"

#include <algorithm>
#include <array>

#include "framework/nn/registry.h"
#include "framework/plan/probe/rows.h"

namespace og {

namespace {

constexpr int64_t kShort = 64, kLong = 128;  // tokens a rank

using Exchanges = std::vector<Exchange>;

// Exchanges on the sequence and tensor axes, counted at two lengths. The other axes cost what gradients and experts do.
std::array<Exchanges, 2> counted(const Config& config, int64_t layers, const LayerProbe& kind, const Degrees& degrees) {
  const int64_t ranks = degrees.sequence;
  const auto rows =
      probe_rows(probe_config(config, layers, kind.mixer, kind.channel), degrees, {ranks * kShort, ranks * kLong});
  std::array<Exchanges, 2> out;
  for (size_t i : {0, 1})
    for (const CollectiveCount& c : rows[i].collectives)
      for (const auto& [axis, size] : {std::pair{Axis::sequence, degrees.sequence}, {Axis::tensor, degrees.tensor}})
        if (c.axis == name_of(axis) && c.verb != Verb::barrier)
          out[i].push_back({axis, c.site, c.verb, size, static_cast<double>(c.calls), static_cast<double>(c.bytes)});
  return out;
}

const Exchange* same_call(const Exchanges& all, const Exchange& x) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Exchange& y) {
    return y.axis == x.axis && y.site == x.site && y.verb == x.verb;
  });
  return found == all.end() ? nullptr : &*found;
}

// a - b, call by call; what is nothing is left out.
Exchanges minus(const Exchanges& a, const Exchanges& b) {
  Exchanges out;
  for (Exchange x : a) {
    if (const Exchange* y = same_call(b, x)) x.calls -= y->calls, x.row_bytes -= y->row_bytes;
    if (x.calls > 0) out.push_back(x);
  }
  return out;
}

// From the bytes at two lengths, a line over a rank's tokens.
Exchanges as_lines(Exchanges at_short, const Exchanges& at_long) {
  for (Exchange& x : at_short) {
    const Exchange* y = same_call(at_long, x);
    if (!y) continue;
    x.token_bytes = (y->row_bytes - x.row_bytes) / (kLong - kShort);
    x.row_bytes -= x.token_bytes * kShort;
  }
  return at_short;
}

// What the layer's method exchanges grows as the method says; keys travel by it also where a region is run again.
void follow_method(Exchange& x, MixerKind kind, const SequenceOptions& options) {
  if (x.axis != Axis::sequence || kind == MixerKind::window) return;
  const auto follow = [&](const MethodExchange& e) {
    if (e.verb == x.verb) x.cost = e.cost, x.meanwhile = e.meanwhile;
  };
  if (kind == MixerKind::recurrence) {
    if (x.site == Sites::mixer_forward || x.site == Sites::mixer_backward) follow(row_of(options.linear).exchange);
    return;
  }
  const SoftmaxRow& method = row_of(options.softmax);
  if (x.site == Sites::attention_forward || x.site == Sites::recompute) follow(method.forward);
  if (x.site != Sites::attention_backward) return;
  follow(method.backward);
  if (method.gradients) follow(*method.gradients);
}

}  // namespace

int probed_sequence(const Config& config, const LayerProbe& kind, int sequence, const SequenceOptions& options) {
  int ranks = 2;
  const bool recurrence = kind_of(config.model.mixers.at(kind.mixer)) == MixerKind::recurrence;
  if (!recurrence && row_of(options.softmax).whole_heads)
    while (sequence % ranks != 0) ++ranks;
  return ranks;
}

LayerExchanges probe_exchanges(const Config& config, const LayerProbe& kind, int tensor, int sequence,
                               const SequenceOptions& options) {
  Config small = config;
  small.parallel.sequence_method = name_of(options.linear);
  small.parallel.softmax_sequence_method = name_of(options.softmax);
  small.model.vocab_size = kProbeVocabulary;
  few_experts(small, kind);
  const Degrees degrees{.sequence = sequence, .tensor = tensor};
  const auto one = counted(small, 1, kind, degrees), two = counted(small, 2, kind, degrees);
  const Exchanges layer = minus(two[0], one[0]), layer_long = minus(two[1], one[1]);
  LayerExchanges out{as_lines(layer, layer_long), as_lines(minus(one[0], layer), minus(one[1], layer_long))};
  for (Exchange& x : out.layer) follow_method(x, kind_of(config.model.mixers.at(kind.mixer)), options);
  return out;
}

ExchangeCost cost_of(const Exchange& x, const GroupLinks& links, double rows, double tokens) {
  // What the law says of one byte over the ranks that were probed tells how often it was exchanged, and of what.
  const ExchangeCost probed = x.cost({.ranks = x.ranks}, 1);
  const double times = x.calls / probed.calls;
  const ExchangeCost one = x.cost(links, (x.row_bytes * rows + x.token_bytes * tokens) / (times * probed.bytes));
  return {times * one.calls, times * one.bytes, times * one.seconds};
}

}  // namespace og
