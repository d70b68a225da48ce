// What the layers of a model send over the sequence and tensor axes: counted in steps of small models on a few ranks,
// by the methods of the config, and scaled to other degrees by what each method does.
#pragma once

#include "framework/plan/cluster.h"
#include "framework/plan/probe/layer.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sequence/methods.h"

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
  // How it grows with the ranks, and what it hides behind: as the layer's method says, or as its verb does.
  ExchangeLaw cost = law_of(verb);
  Meanwhile meanwhile = Meanwhile::nothing;
};

struct LayerExchanges {
  std::vector<Exchange> layer, ends;  // ends: embedding and head
};

// Over as few sequence ranks as show what this many send: two, but where heads must divide by them.
int probed_sequence(const Config& config, const LayerProbe& kind, int sequence, const SequenceOptions& options);
// tensor: the degree. sequence: as probed_sequence() says. options: never auto.
LayerExchanges probe_exchanges(const Config& config, const LayerProbe& kind, int tensor, int sequence,
                               const SequenceOptions& options);

// The exchange over these links: calls as they are counted, bytes and seconds of all of them. Ulysses: as if its heads
// divided by the ranks.
ExchangeCost cost_of(const Exchange& exchange, const GroupLinks& links, double rows, double tokens);

}  // namespace og
