// What one layer of each kind of a model asks for, measured and not modelled: a training step of one and of two layers
// runs at small lengths with the program's own code, so that a mixer's memory and collectives are known without a line
// written about that mixer.
#pragma once

#include <vector>

#include "framework/train/config.h"
#include "framework/train/flops.h"

namespace og {

// Bytes as a line over the tokens of a micro step on one rank.
struct Line {
  double fixed = 0, per_token = 0;
  double at(double tokens) const { return fixed + per_token * tokens; }
};

struct LayerProbe {
  char mixer = 0, channel = 0;  // letters of the patterns
  int64_t count = 0;            // layers of this kind
  ModelFlops flops;             // of one layer, a token, forward
  // Elements of the whole layer, by how ranks share them.
  double dense = 0, tensor_cut = 0, expert = 0;
  double saved_per_token = 0;  // bytes kept for backward by one rank
  Line working;                // bytes more while the layer runs
  double layer_fixed = 0;      // bytes that do not depend on tokens: weights, gradients, optimizer
  double built_elements = 0;   // of this rank, in the layer that was probed
  // Received from one other rank of the axis.
  double state_bytes = 0;   // of a row, mixer.forward and again mixer.backward
  double keys_bytes = 0;    // of a token, keys and values of softmax layers: twice gathered, once scattered
  double routed_bytes = 0;  // of a token, rows sent to experts: there and back, and again in backward
  double tensor_bytes = 0;  // of a token, what a layer sums over tensor ranks forward, and as much backward
};

struct ModelProbe {
  std::vector<LayerProbe> layers;
  Line ends;                      // bytes without layers: embedding, head, loss
  double ends_elements = 0;       // of embedding, head, final norm
  double bytes_per_element = 16;  // weights, gradients, optimizer
  double head_flops = 0;          // a token, forward
};

// tensor: the degree that layers are probed at (ranks are threads of this process). Of a layer with very many experts
// as few as a token visits are built; what is counted per expert is scaled.
ModelProbe probe_model(const Config& config, int tensor);

}  // namespace og
