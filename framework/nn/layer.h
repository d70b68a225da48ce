// What a layer of the model is: a mixer or a channel part. A layer creates its parameters in its constructor and runs
// on a tape; it asks nobody about ranks, shards or documents (the SeqContext and the typed collectives know).
//
// Placement of hidden states x [B, T, D]: data varying, sequence varying, tensor invariant; with mesh.sequence_norms
// they are [N, D], tensor varying (tensor_region.h). A layer returns the same.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "framework/autograd/tape.h"
#include "framework/nn/parameter.h"
#include "framework/nn/step_sums.h"
#include "framework/ops/mixer_state.h"
#include "parallel/sequence/context.h"

namespace og {

// What all layers need to build themselves.
struct LayerContext {
  ParameterStore& store;
  std::string prefix;  // "model.layers.3.mixer"
  int64_t hidden_size = 0;
  int layer_index = 0;
  int num_layers = 1;
  double initializer_range = 0.02;
  double rms_norm_eps = 1e-6;

  Parameter& add(const std::string& name, const Shape& shape, Init init, Shard shard = Shard::none, int dim = 0,
                 bool decay = true) const {
    return store.add({.name = prefix + "." + name,
                      .global_shape = shape,
                      .shard = shard,
                      .shard_dim = dim,
                      .init = std::move(init),
                      .decay = decay});
  }
  // A projection's matrix, cut over tensor along dim.
  Parameter& add_product(const std::string& name, const Shape& shape, int dim) const {
    return store.add({.name = prefix + "." + name,
                      .global_shape = shape,
                      .shard = Shard::tensor,
                      .shard_dim = dim,
                      .init = Init::normal(initializer_range),
                      .role = ParameterRole::product});
  }
  int64_t tensor_size() const { return store.mesh().tensor().size(); }
};

// Rows that are trained in segments: what must be known of the whole row.
struct SegmentedRow {
  int64_t length = 0;
  // How often each expert was chosen in the segments so far, i32. All segments of a row share one tensor and add to it.
  // After the last segment has been routed it holds the counts of the whole row, where every segment reads them.
  struct Choices {
    Tensor of_rows_BE;   // for capacities: a count for each row of the batch, summed over the ranks that share the row
    Tensor of_scope_GE;  // for the balance loss: the same, or [1, E], one count over all rows of all data ranks
  };
  std::map<const void*, Choices> choices{};  // by channel part
};

// Per micro step, shared by all layers.
struct StepContext {
  Tape& tape;
  Mesh& mesh;
  const SeqContext& seq;
  // Rows in the whole optimizer step, over all ranks and micro steps: auxiliary losses are a mean over them.
  int64_t rows_in_step = 1;
  bool training = true;
  SegmentedRow* row = nullptr;  // null: seq is the whole row
  bool recompute = false;       // keep only each block's input for backward

  StepContext on(Tape& other) const { return {other, mesh, seq, rows_in_step, training, row, recompute}; }
  int64_t row_length() const { return row ? row->length : seq.length; }
};

// Loss terms that layers produce on the side, and what is logged of them.
struct SideOutputs {
  std::vector<Value> losses;  // scalars [1], this rank's part; added to the loss as they are (coefficients applied)
  StepSums sums;              // layers add to aux_loss, z_loss, tokens_dropped, expert_load and expert_layers
};

class SequenceMixer {
 public:
  virtual ~SequenceMixer() = default;
  // state: null in ordinary training.
  virtual Value forward(StepContext& step, const Value& x_BTD, MixerState* state) = 0;
};

class ChannelPart {
 public:
  virtual ~ChannelPart() = default;
  virtual Value forward(StepContext& step, const Value& x_BTD, SideOutputs& side) = 0;
  // After the optimizer step (bias-based balancing moves its biases here). Collective.
  virtual void end_step() {}
};

}  // namespace og
