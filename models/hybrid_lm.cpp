#include "models/hybrid_lm.h"

#include <algorithm>

#include "framework/autograd/recompute.h"
#include "framework/nn/registry.h"
#include "framework/nn/tensor_region.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/shape.h"
#include "parallel/layers/vocabulary.h"

namespace og {

const Options& ModelConfig::at(const std::map<char, Options>& letters, const std::string& pattern, int64_t layer) {
  OG_CHECK(!pattern.empty(), "empty layer pattern");
  const char letter = pattern[static_cast<size_t>(layer) % pattern.size()];
  auto found = letters.find(letter);
  OG_CHECK(found != letters.end(), "layer pattern letter {} is not defined", letter);
  return found->second;
}

HybridLM::HybridLM(ParameterStore& store, ModelConfig config) : store_(store), config_(std::move(config)) {
  const Shape vocabulary{config_.padded_vocab_size(), config_.hidden_size};
  const Init normal = Init::normal(config_.initializer_range);
  const PipelineStages stages(store.mesh());
  chunk_begin_ = split_evenly(config_.num_hidden_layers, stages.chunks());
  const bool tied = config_.tie_word_embeddings;
  store.elsewhere = !stages.owns(0);
  embedding_ = &store.add({.name = "model.embed_tokens.weight",
                           .global_shape = vocabulary,
                           .shard = Shard::tensor,
                           .init = normal,
                           .on_all_stages = tied});
  const auto norm = [&](const std::string& name) {
    return &store.add({.name = name,
                       .global_shape = {config_.hidden_size},
                       .init = Init::ones(),
                       .decay = false,
                       .varies_over_tensor = store.mesh().sequence_norms});
  };
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const size_t before = store.all().size();
    const auto chunk = std::upper_bound(chunk_begin_.begin(), chunk_begin_.end(), i) - chunk_begin_.begin() - 1;
    store.elsewhere = !stages.owns(static_cast<int>(chunk));
    const std::string prefix = fmt::format("model.layers.{}", i);
    LayerContext context{.store = store,
                         .prefix = prefix + ".mixer",
                         .hidden_size = config_.hidden_size,
                         .layer_index = static_cast<int>(i),
                         .num_layers = static_cast<int>(config_.num_hidden_layers),
                         .initializer_range = config_.initializer_range,
                         .rms_norm_eps = config_.rms_norm_eps};
    const Options& mixer = config_.mixer(i);
    const Options& channel = config_.channel(i);
    const MixerType* mixer_type = find_mixer_type(mixer.type);
    const ChannelType* channel_type = find_channel_type(channel.type);
    OG_CHECK(mixer_type && channel_type, "layer {}: unknown type {} or {}", i, mixer.type, channel.type);
    Block block;
    block.input_norm = norm(prefix + ".input_layernorm.weight");
    block.mixer = mixer_type->build(context, mixer);
    block.post_norm = norm(prefix + ".post_attention_layernorm.weight");
    context.prefix = prefix + ".mlp";
    block.channel = channel_type->build(context, channel);
    for (size_t p = before; p < store.all().size(); ++p) block.parameters.push_back(store.all()[p].value);
    blocks_.push_back(std::move(block));
  }
  store.elsewhere = !has_head();
  final_norm_ = norm("model.norm.weight");
  head_ =
      config_.tie_word_embeddings
          ? embedding_
          : &store.add({.name = "lm_head.weight", .global_shape = vocabulary, .shard = Shard::tensor, .init = normal});
  store.elsewhere = false;
}

std::vector<Value> HybridLM::run_block(StepContext& step, Block& block, const Value& x, MixerState* state,
                                       SideOutputs& side) {
  Tape& tape = step.tape;
  const double eps = config_.rms_norm_eps;
  Value h = rms_norm(tape, x, block.input_norm->value, eps);
  const Value mixed = add(tape, x, block.mixer->forward(step, h, state));
  h = rms_norm(tape, mixed, block.post_norm->value, eps);
  const size_t losses_before = side.losses.size();
  std::vector<Value> outputs{add(tape, mixed, block.channel->forward(step, h, side))};
  outputs.insert(outputs.end(), side.losses.begin() + static_cast<std::ptrdiff_t>(losses_before), side.losses.end());
  side.losses.resize(losses_before);
  return outputs;
}

Value HybridLM::run_chunk(StepContext& step, int chunk, const Value& input, const Tensor& tokens_BT,
                          std::vector<MixerState>* states, SideOutputs& side) {
  Value x = input;
  if (chunk == 0) {
    x = leave_tensor(step, vocabulary_embedding_part(step.tape, step.mesh, embedding_->value, tokens_BT));
    if (on_layer_output) on_layer_output(-1, x.tensor());
  }
  const auto begin = static_cast<size_t>(chunk_begin_[static_cast<size_t>(chunk)]);
  const auto end = static_cast<size_t>(chunk_begin_[static_cast<size_t>(chunk) + 1]);
  for (size_t i = begin; i < end; ++i) {
    Block& block = blocks_[i];
    std::vector<Value> outputs;
    if (step.recompute) {
      // The context by value: backward comes when the caller's is gone.
      const Region region = [this, &block, &side, step](Tape& tape, const Value& in) {
        StepContext inner = step.on(tape);
        SideOutputs again;  // what the second pass must not log twice
        const bool second_pass = tape.pins != nullptr && tape.pins->replaying();
        return run_block(inner, block, in, nullptr, second_pass ? again : side);
      };
      outputs = recompute(step.tape, region, x, block.parameters);
    } else {
      outputs = run_block(step, block, x, states ? &(*states)[i] : nullptr, side);
    }
    x = outputs[0];
    side.losses.insert(side.losses.end(), outputs.begin() + 1, outputs.end());
    if (on_layer_output) on_layer_output(static_cast<int64_t>(i), x.tensor());
  }
  if (!stages().is_last(chunk)) return x;
  x = rms_norm(step.tape, x, final_norm_->value, config_.rms_norm_eps);
  if (on_layer_output) on_layer_output(config_.num_hidden_layers, x.tensor());
  return step.mesh.sequence_norms ? enter_tensor(step, x) : x;
}

Value HybridLM::receive(StepContext& step, int chunk, bool leaf) const {
  if (chunk == 0) return {};
  const SeqContext& seq = step.seq;
  Placement place{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};
  Shape shape{seq.num_rows, seq.local_length(), config_.hidden_size};
  if (step.mesh.sequence_norms) {
    place.set(Axis::tensor, Place::varying);
    shape = {tokens_of_tensor_ranks(step)[static_cast<size_t>(step.mesh.tensor().rank())], config_.hidden_size};
  }
  const Tensor x = step.tape.context().empty(shape, store_.dtype());
  PipelineStages(step.mesh).receive(chunk, x);
  return leaf ? Value::leaf(x, place) : Value(x, place);
}

Value HybridLM::hidden(StepContext& step, const Tensor& tokens_BT, std::vector<MixerState>* states, SideOutputs& side) {
  const PipelineStages stages(step.mesh);
  OG_CHECK(stages.count() == 1 || !step.tape.recording(), "a pipeline trains by its schedule (train/pipeline.h)");
  Value x;
  for (int chunk = 0; chunk < stages.chunks(); ++chunk) {
    if (!stages.owns(chunk)) continue;
    x = run_chunk(step, chunk, receive(step, chunk, false), tokens_BT, states, side);
    if (!stages.is_last(chunk)) stages.send(chunk, x.tensor()).wait();
  }
  return has_head() ? x : Value();
}

Value HybridLM::loss_of(StepContext& step, const Value& h, const Tensor& targets_BT, Tensor* token_losses) {
  return vocabulary_loss(step.tape, step.mesh, h, head_->value, targets_BT, config_.vocab_size, token_losses);
}

Value HybridLM::loss(StepContext& step, const Tensor& tokens_BT, const Tensor& targets_BT,
                     std::vector<MixerState>* states, SideOutputs& side, Tensor* token_losses) {
  const Value h = hidden(step, tokens_BT, states, side);
  if (h.defined()) return loss_of(step, h, targets_BT, token_losses);
  Context& cx = step.tape.context();
  if (token_losses) *token_losses = cx.zeros(targets_BT.shape(), store_.dtype());
  return Value(cx.zeros({1}, store_.dtype()));
}

Tensor HybridLM::logits(StepContext& step, const Value& hidden_ND) {
  return vocabulary_logits(step.tape, step.mesh, hidden_ND, head_->value, config_.vocab_size);
}

void HybridLM::end_step() {
  for (int chunk = 0; chunk < stages().chunks(); ++chunk) {
    if (!stages().owns(chunk)) continue;
    const auto c = static_cast<size_t>(chunk);
    for (int64_t i = chunk_begin_[c]; i < chunk_begin_[c + 1]; ++i) blocks_[static_cast<size_t>(i)].channel->end_step();
  }
}

}  // namespace og
