// What one layer of each kind of a model asks for, measured and not modelled: forward and backward of one and of two
// layers at small lengths with the program's own code, so that a mixer's memory is known without a line written about
// that mixer. What layers send to other ranks: plan/probe/exchange.h.
#pragma once

#include <vector>

#include "framework/config/config.h"
#include "framework/train/flops.h"

namespace og {

// Bytes as a line over the tokens of a micro step on one rank.
struct Line {
  double fixed = 0, per_token = 0;
  double at(double tokens) const { return fixed + per_token * tokens; }
};

// Bytes of embedding, head and loss beside their weights and gradients. The logits of a block of rows and what is
// formed beside the head's gradient grow with the vocabulary.
struct EndsLine {
  double fixed = 0, per_token = 0, per_logit = 0;
  double width = 0;  // rows of the head on this rank
  double at(double tokens) const;
};

struct LayerProbe {
  char mixer = 0, channel = 0;  // letters of the patterns
  int64_t count = 0;            // layers of this kind
  ModelFlops flops;             // one layer, one token, forward
  // Elements of the whole layer, by how ranks share them.
  double dense = 0, tensor_cut = 0, expert = 0;
  double saved_per_token = 0;  // bytes kept for backward by one rank
  Line working;                // bytes more while the layer runs
  double layer_fixed = 0;      // bytes that do not depend on tokens: weights and gradients
  double built_elements = 0;   // this rank's, in the layer that was probed
  double state_bytes = 0;      // per row: a linear layer's summary
  double keys_bytes = 0;       // per token: keys and values of softmax layers
  double routed_bytes = 0;     // per token, rows sent to experts: there and back, and again in backward
};

struct ModelProbe {
  std::vector<LayerProbe> layers;
  std::vector<size_t> order;  // the kind of each layer of the model
  EndsLine ends;
  double end_matrices = 2;                        // embedding and head; 1: tied
  double matrix_elements = 0, norm_elements = 0;  // embedding or head, one of them; the final norm
  double bytes_per_element = 8;                   // weights and gradients
  double head_flops = 0;                          // a token, forward
};

// tensor: the degree that layers are probed at (ranks are threads of this process). Of a layer with very many experts
// as few as a token visits are built; what is counted per expert is scaled.
ModelProbe probe_model(const Config& config, int tensor);

inline constexpr int64_t kProbeVocabulary = 256;  // while layers are probed
// Leaves of a layer with very many experts as many as a token visits. How many times fewer they are: 1 or more.
double few_experts(Config& config, const LayerProbe& kind);

}  // namespace og
