#include "framework/plan/probe/exchange.h"

#include <algorithm>
#include <array>
#include <bit>

#include "framework/nn/registry.h"
#include "framework/plan/probe/rows.h"
#include "parallel/sequence/states.h"

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

}  // namespace

int probed_sequence(const Config& config, const LayerProbe& kind, int sequence, const SequenceOptions& options) {
  int ranks = 2;
  const bool recurrence = kind_of(config.model.mixers.at(kind.mixer)) == MixerKind::recurrence;
  if (!recurrence && options.softmax == SoftmaxMethod::ulysses)
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
  const bool full = kind_of(config.model.mixers.at(kind.mixer)) == MixerKind::softmax;
  for (Exchange& x : out.layer) x.of_keys = x.axis == Axis::sequence && full;
  return out;
}

ExchangeCost cost_of(const Exchange& x, const SequenceOptions& options, int ranks, int hosts, const Link& inside,
                     const Link& link, double rows, double tokens) {
  const double probed = x.ranks, P = ranks;
  const double received = x.row_bytes * rows + x.token_bytes * tokens;
  const double each = received / x.calls;  // bytes received by one call at the probed size
  const bool of_states = x.site == Sites::mixer_forward || x.site == Sites::mixer_backward, of_keys = x.of_keys;
  switch (x.verb) {
    case Verb::all_gather:
    case Verb::reduce_scatter: {
      const double n = each / (probed - 1);
      if (of_states && options.linear == LinearMethod::hierarchical && hosts > 1) {
        // Inside a host, one summary a host across, a state to the host's other ranks.
        const int local = (ranks + hosts - 1) / hosts;
        return {x.calls, x.calls * n * (local - 1 + hosts - 1 + (local > 1 ? 1 : 0)),
                x.calls * (all_gather_seconds(inside, local, n) + all_gather_seconds(link, hosts, n) +
                           (local > 1 ? inside.message(n) : 0))};
      }
      return {x.calls, x.calls * n * (P - 1), x.calls * all_gather_seconds(link, ranks, n)};
    }
    case Verb::all_reduce: {
      const double n = each * probed / (2 * (probed - 1));
      return {x.calls, x.calls * 2 * n * (P - 1) / P, x.calls * all_reduce_seconds(link, ranks, n)};
    }
    case Verb::all_to_all: {
      const double n = each * probed / (probed - 1);
      return {x.calls, x.calls * n * (P - 1) / P, x.calls * all_to_all_seconds(link, ranks, n)};
    }
    default:
      break;
  }
  // Messages, counted over two ranks. A ring goes round; gradients of a softmax layer's keys travel one hop more, home.
  double hops = 1;
  if (of_keys && options.softmax == SoftmaxMethod::ring) hops = x.calls > 1 ? (2 * P - 1) / 3 : P - 1;
  if (of_states && options.linear == LinearMethod::ring) hops = P - 1;
  if (of_states && options.linear == LinearMethod::scan)
    hops = (std::bit_width(static_cast<unsigned>(ranks - 1)) + 1.0) / 2;
  // In a chain all but the ends receive and send.
  const bool chain_of_states =
      of_states && (options.linear == LinearMethod::lasp1 || options.linear == LinearMethod::zeco);
  const double calls = chain_of_states && ranks > 2 ? 2 * x.calls : hops * x.calls;
  double seconds = hops * x.calls * link.message(each);
  if (chain_of_states) {
    const int blocks = x.blocks > 0 ? x.blocks : options.linear == LinearMethod::zeco ? kChainBlocks : 1;
    seconds = chain_seconds(link, ranks, received, blocks);
  }
  return {calls, hops * received, seconds};
}

}  // namespace og
