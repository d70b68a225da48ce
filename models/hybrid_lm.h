// HybridLM: a decoder-only language model whose layers are any mixture of sequence mixers (linear attention, softmax
// attention,
// ...) and channel parts (gated MLP, mixture of experts), as two patterns of letters say. Pre-norm residual blocks:
//   x = x + mixer(norm(x));  x = x + channel(norm(x))
// with RMS norms, a final norm and a vocabulary head (tied or not).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/nn/layer.h"
#include "framework/nn/options.h"
#include "parallel/step/pipeline_stages.h"

namespace og {

struct ModelConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 512;
  int64_t num_hidden_layers = 8;
  std::string layer_pattern;    // letters of `mixers`, repeated over the layers
  std::string channel_pattern;  // letters of `channels`, likewise
  std::map<char, Options> mixers;
  std::map<char, Options> channels;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;

  const Options& mixer(int64_t layer) const { return at(mixers, layer_pattern, layer); }
  const Options& channel(int64_t layer) const { return at(channels, channel_pattern, layer); }
  // Rows of the embedding and head in memory: vocab_size rounded up to a multiple of 64, so that every tensor degree
  // that divides 64 cuts it evenly. Rows past vocab_size are never predicted.
  int64_t padded_vocab_size() const { return (vocab_size + 63) / 64 * 64; }

 private:
  static const Options& at(const std::map<char, Options>& letters, const std::string& pattern, int64_t layer);
};

struct Block {
  Parameter* input_norm = nullptr;
  Parameter* post_norm = nullptr;
  std::unique_ptr<SequenceMixer> mixer;
  std::unique_ptr<ChannelPart> channel;
  std::vector<Value> parameters;  // all of this block's leaves
};

class HybridLM {
 public:
  // Creates and initialises all parameters in the store: the same values at every layout.
  HybridLM(ParameterStore& store, ModelConfig config);

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return store_.dtype(); }
  ParameterStore& store() { return store_; }
  Context& context() { return store_.context(); }
  Mesh& mesh() { return store_.mesh(); }

  // The layers as chunks, one after another. The first one embeds, the last one has the final norm and the head.
  PipelineStages stages() const { return PipelineStages(store_.mesh()); }
  bool has_head() const { return stages().owns(stages().chunks() - 1); }
  // x: hidden states before the chunk (of chunk 0: not read) -> after it; after the last, behind the final norm.
  Value run_chunk(StepContext& step, int chunk, const Value& x, const Tensor& tokens_BT,
                  std::vector<MixerState>* states, SideOutputs& side);
  // Waits for the hidden states before the chunk, which the stage of the chunk before sends: a leaf (its gradient goes
  // back) or a constant. Absent before chunk 0.
  Value receive(StepContext& step, int chunk, bool leaf) const;
  // Sum of -log p of the hidden states behind the last chunk, as loss() gives it.
  Value loss_of(StepContext& step, const Value& hidden, const Tensor& targets_BT, Tensor* token_losses = nullptr);

  // Hidden states after the final norm, [B, T, hidden], whole on every tensor rank (invariant, or with
  // mesh.sequence_norms replicated). tokens_BT: i32, this rank's piece of the rows.
  // With a pipeline: without gradients, and absent on every stage but the last.
  // states: null, or one MixerState a layer.
  Value hidden(StepContext& step, const Tensor& tokens_BT, std::vector<MixerState>* states, SideOutputs& side);

  // Sum of -log p over this rank's valid targets, [1], partial over data and sequence. targets_BT: i32, -1 for none.
  // With a pipeline: without gradients, and 0 on every stage but the last.
  // token_losses: if given, [B, T] with each token's own -log p (0 where there is no target).
  Value loss(StepContext& step, const Tensor& tokens_BT, const Tensor& targets_BT, std::vector<MixerState>* states,
             SideOutputs& side, Tensor* token_losses = nullptr);

  // Logits of the given hidden rows [N, hidden], complete on every tensor rank: [N, vocab_size]. On the last stage.
  Tensor logits(StepContext& step, const Value& hidden_ND);

  // After the optimizer step.
  void end_step();

  // Called with the index of a block (-1: embedding, num_hidden_layers: final norm) and its output, to find where
  // numbers go bad.
  std::function<void(int64_t layer, const Tensor& output)> on_layer_output;

  std::vector<Block>& blocks() { return blocks_; }

 private:
  std::vector<Value> run_block(StepContext& step, Block& block, const Value& x, MixerState* state, SideOutputs& side);

  ParameterStore& store_;
  ModelConfig config_;
  Parameter* embedding_;
  Parameter* final_norm_;
  Parameter* head_;
  std::vector<Block> blocks_;
  std::vector<int64_t> chunk_begin_;  // the first layer of each chunk, and their number
};

}  // namespace og
