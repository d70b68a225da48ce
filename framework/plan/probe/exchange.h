// What the layers of a model send over the sequence and tensor axes: counted in steps of small models on a few ranks,
// by the methods of the config, and scaled to other degrees by what each method does.
#pragma once

#include "framework/plan/cluster.h"
#include "framework/plan/probe/layer.h"
#include "parallel/mesh/mesh.h"

namespace og {

// One kind of call, of one layer (or of embedding and head) and one micro step.
struct Exchange {
  Axis axis;  // sequence or tensor
  Site site;
  Verb verb;
  int ranks = 0;  // over which it was counted
  double calls = 0;
  // Received by the rank that gets most: of a row, and of each of a rank's tokens.
  double row_bytes = 0, token_bytes = 0;
  int blocks = 0;        // blocks in a chain of states; 0: as the method cuts them
  bool of_keys = false;  // keys and values of a softmax layer, also where they travel again (Sites::recompute)
};

struct LayerExchanges {
  std::vector<Exchange> layer, ends;  // ends: embedding and head
};

// Over as few sequence ranks as show what this many send: two, but where heads must divide by them.
int probed_sequence(const Config& config, const LayerProbe& kind, int sequence, const SequenceOptions& options);
// tensor: the degree. sequence: as probed_sequence() says. options: never auto.
LayerExchanges probe_exchanges(const Config& config, const LayerProbe& kind, int tensor, int sequence,
                               const SequenceOptions& options);

// An exchange of this many ranks. Ulysses: as if its heads divided by them.
struct ExchangeCost {
  double calls = 0, bytes = 0, seconds = 0;
};
// `link`: between ranks of the group; sequence groups lie on `hosts` hosts.
ExchangeCost cost_of(const Exchange& exchange, const SequenceOptions& options, int ranks, int hosts, const Link& inside,
                     const Link& link, double rows, double tokens);

}  // namespace og
