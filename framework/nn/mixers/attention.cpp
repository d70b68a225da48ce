#include "framework/nn/mixers/attention.h"

#include <algorithm>

#include "framework/nn/parts/heads.h"
#include "framework/nn/parts/linear.h"
#include "framework/ops/linear.h"
#include "framework/ops/norm.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/rope.h"
#include "framework/ops/rows.h"
#include "parallel/sequence/attention.h"
#include "parallel/sequence/methods.h"

namespace og {

namespace {

struct Sizes : AttentionSizes {
  double rope_theta;
  bool bias, norm;

  Sizes(const Options& options, int64_t hidden_size)
      : AttentionSizes(options, hidden_size),
        rope_theta(options.is_null("rope_theta") ? 0 : options.real("rope_theta")),
        bias(options.boolean("qkv_bias")),
        norm(options.boolean("qk_norm")) {}
};

// x W^T into key or value heads. Cut over tensor like any column-parallel projection; but with fewer heads than tensor
// ranks each rank has the whole W and takes the rows of the one head that its query heads read.
class KeyProjection {
 public:
  KeyProjection(const LayerContext& context, const std::string& name, const Sizes& sizes) {
    const int64_t tensor = context.tensor_size(), width = sizes.key_heads * sizes.head_dim;
    if (sizes.key_heads % tensor == 0) {
      cut_ = ColumnLinear(context, name, width, sizes.bias);
      return;
    }
    const int64_t head = context.store.mesh().tensor().rank() / (tensor / sizes.key_heads);
    begin_ = head * sizes.head_dim;
    end_ = begin_ + sizes.head_dim;
    const auto add = [&](const char* suffix, const Shape& shape, Init init, bool decay) {
      return &context.store.add({.name = context.prefix + "." + name + suffix,
                                 .global_shape = shape,
                                 .init = std::move(init),
                                 .decay = decay,
                                 .varies_over_tensor = true});
    };
    weight_ = add(".weight", {width, context.hidden_size}, Init::normal(context.initializer_range), true);
    weight_->record.role = ParameterRole::product;
    if (sizes.bias) bias_ = add(".bias", {width}, Init::zeros(), false);
  }

  Value operator()(StepContext& step, const Value& x) const {
    if (!weight_) return cut_(step, x);
    const Value y = linear(step.tape, x, own_slice(step.tape, weight_->value, begin_, end_, Axis::tensor));
    if (!bias_) return y;
    return add_bias(step.tape, y, own_slice(step.tape, bias_->value, begin_, end_, Axis::tensor));
  }

 private:
  ColumnLinear cut_;
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  int64_t begin_ = 0, end_ = 0;
};

class AttentionMixer final : public SequenceMixer {
 public:
  AttentionMixer(const LayerContext& context, const Options& options)
      : sizes_(options, context.hidden_size),
        eps_(context.rms_norm_eps),
        q_(context, "q_proj", sizes_.heads * sizes_.head_dim, sizes_.bias),
        k_(context, "k_proj", sizes_),
        v_(context, "v_proj", sizes_),
        out_(context, "o_proj", sizes_.heads * sizes_.head_dim) {
    if (!sizes_.norm) return;
    const auto add = [&](const char* name) {
      return &context.store.add({.name = context.prefix + "." + name,
                                 .global_shape = {sizes_.head_dim},
                                 .init = Init::ones(),
                                 .decay = false,
                                 .varies_over_tensor = true});
    };
    q_norm_ = add("q_norm.weight");
    k_norm_ = add("k_norm.weight");
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    const Value q = positioned(step, to_heads(step, q_(step, x), sizes_.head_dim), q_norm_);
    const Value k = positioned(step, to_heads(step, k_(step, x), sizes_.head_dim), k_norm_);
    const Value v = to_heads(step, v_(step, x), sizes_.head_dim);
    const SequenceAttentionOptions options{.attention = {.window = sizes_.window}};
    return out_(step, from_heads(step, sequence_attention(step.tape, q, k, v, options, step.seq, state)));
  }

 private:
  Value positioned(StepContext& step, const Value& heads, const Parameter* norm) const {
    const Value x = norm ? rms_norm(step.tape, heads, norm->value, eps_) : heads;
    return sizes_.rope_theta > 0 ? rope(step.tape, x, step.seq.start_BT, sizes_.rope_theta) : x;
  }

  Sizes sizes_;
  double eps_;
  ColumnLinear q_;
  KeyProjection k_, v_;
  RowLinear out_;
  Parameter *q_norm_ = nullptr, *k_norm_ = nullptr;
};

double flops_per_token(const Options& options, int64_t hidden_size, int64_t sequence_length) {
  const AttentionSizes sizes(options, hidden_size);
  // Keys that a query sees, on average over the positions of a row: 1, 2, .. up to the window.
  const auto length = static_cast<double>(std::max<int64_t>(1, sequence_length));
  const double window = sizes.window > 0 ? std::min(static_cast<double>(sizes.window), length) : length;
  const double keys = (window * (window + 1) / 2 + (length - window) * window) / length;
  return 4 * static_cast<double>(sizes.heads * sizes.head_dim) * keys;
}

std::optional<Problem> problem(const Options& options, int64_t hidden_size, int tensor_degree) {
  const Sizes sizes(options, hidden_size);
  if (options.is_null("head_dim") && hidden_size % sizes.heads != 0)
    return Problem{fmt::format("num_attention_heads: {} does not divide hidden_size = {}; set head_dim", sizes.heads,
                               hidden_size)};
  if (sizes.heads % sizes.key_heads != 0)
    return Problem{
        fmt::format("num_key_value_heads: {} does not divide num_attention_heads = {}", sizes.key_heads, sizes.heads)};
  if (sizes.rope_theta > 0 && sizes.head_dim % 2 != 0)
    return Problem{fmt::format("head_dim: {} is odd, rotary positions need pairs (rope_theta: null turns them off)",
                               sizes.head_dim)};
  if (sizes.heads % tensor_degree != 0)
    return Problem{
        fmt::format("num_attention_heads: {} is not a multiple of parallel.tensor = {}", sizes.heads, tensor_degree)};
  if (sizes.key_heads % tensor_degree != 0 && tensor_degree % sizes.key_heads != 0)
    return Problem{fmt::format("num_key_value_heads: {} is neither a multiple nor a divisor of parallel.tensor = {}",
                               sizes.key_heads, tensor_degree)};
  return std::nullopt;
}

std::optional<Problem> sequence_problem(const Options& options, const Degrees& degrees, const SequenceOptions& method) {
  const Sizes sizes(options, 0);
  const int64_t local = sizes.heads / degrees.tensor;
  if (sizes.window > 0 || !row_of(method.softmax).whole_heads || local % degrees.sequence == 0) return std::nullopt;
  std::string others;
  for (const SoftmaxRow& row : softmax_methods())
    if (!row.whole_heads) others += fmt::format("{}{}", others.empty() ? "" : " and ", row.name);
  return Problem{fmt::format(
      "parallel.softmax_sequence_method = {} gives every rank whole query heads: {} a tensor rank do not divide by "
      "parallel.sequence = {}; {} can",
      name_of(method.softmax), local, degrees.sequence, others)};
}

}  // namespace

AttentionSizes::AttentionSizes(const Options& options, int64_t hidden_size)
    : heads(options.integer("num_attention_heads")),
      key_heads(options.is_null("num_key_value_heads") ? heads : options.integer("num_key_value_heads")),
      head_dim(options.is_null("head_dim") ? hidden_size / heads : options.integer("head_dim")),
      window(options.is_null("sliding_window") ? 0 : options.integer("sliding_window")) {}

MixerType attention_type() {
  MixerType type;
  type.name = "attention";
  const OptionSpec window =
      OptionSpec::integer("sliding_window", {}, 1, "keys that a query sees, itself included; null: all");
  OptionSpec theta = OptionSpec::real("rope_theta", 10000.0, 0, "base of the rotary positions; null or 0: none");
  theta.nullable = true;
  type.options = {
      OptionSpec::integer("num_attention_heads", 8, 1, "query heads"),
      OptionSpec::integer("num_key_value_heads", {}, 1, "key and value heads; null: as many as query heads"),
      OptionSpec::integer("head_dim", {}, 1, "width of a head; null: hidden_size / num_attention_heads"),
      theta,
      window,
      OptionSpec::boolean("qkv_bias", false, "biases on q, k and v"),
      OptionSpec::boolean("qk_norm", false, "RMS norm of each head of q and k")};
  type.kind = [](const Options& o) { return o.is_null("sliding_window") ? MixerKind::softmax : MixerKind::window; };
  type.attention_flops = flops_per_token;
  type.problem = problem;
  type.sequence_problem = sequence_problem;
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<AttentionMixer>(c, o);
  };
  type.recurrence = {.formula = "o = softmax(scale q k^T) v over the earlier tokens and the token itself",
                     .streams = qkv_streams(),
                     .options = {window},
                     .run =
                         [](const RecurrenceCall& c) {
                           SequenceAttentionOptions options;
                           options.attention.scale = c.scale;
                           if (!c.options.is_null("sliding_window"))
                             options.attention.window = c.options.integer("sliding_window");
                           return sequence_attention(c.tape, c.at("q"), c.at("k"), c.at("v"), options, c.seq, c.state);
                         },
                     .has_state = false};
  return type;
}

}  // namespace og
