#include "framework/nn/parts/projection.h"

#include <cmath>

#include "framework/ops/linear.h"
#include "framework/ops/norm.h"
#include "framework/ops/shape.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/short_conv.h"

namespace og {

ColumnLinear::ColumnLinear(const LayerContext& context, const std::string& name, int64_t width, bool bias) {
  weight_ = &context.add_product(name + ".weight", {width, context.hidden_size}, 0);
  if (bias) bias_ = &context.add(name + ".bias", {width}, Init::zeros(), Shard::tensor, 0, false);
}

Value ColumnLinear::operator()(StepContext& step, const Value& x) const {
  Value y = linear(step.tape, x, weight_->value);
  return bias_ ? add_bias(step.tape, y, bias_->value) : y;
}

RowLinear::RowLinear(const LayerContext& context, const std::string& name, int64_t width) {
  weight_ = &context.add_product(name + ".weight", {context.hidden_size, width}, 1);
}

Value RowLinear::operator()(StepContext& step, const Value& y) const {
  return leave_tensor(step, linear_split(step.tape, y, weight_->value, Axis::tensor));
}

LowRankLinear::LowRankLinear(const LayerContext& context, const std::string& name, int64_t rank, int64_t width) {
  down_ = &context.store.add({.name = context.prefix + "." + name + ".down.weight",
                              .global_shape = {rank, context.hidden_size},
                              .init = Init::normal(context.initializer_range),
                              .role = ParameterRole::product,
                              .varies_over_tensor = true});
  up_ = &context.add_product(name + ".up.weight", {width, rank}, 0);
  bias_ = &context.add(name + ".up.bias", {width}, Init::zeros(), Shard::tensor, 0, false);
}

Value LowRankLinear::operator()(StepContext& step, const Value& x) const {
  const Value low = linear(step.tape, x, down_->value);
  return add_bias(step.tape, linear(step.tape, low, up_->value), bias_->value);
}

ShortConv::ShortConv(const LayerContext& context, const std::string& name, int64_t channels, int64_t width, bool bias,
                     ConvActivation activation, bool whole_on_every_tensor_rank)
    : name_(name), activation_(activation) {
  // Uniform in +-1/sqrt(width), the usual start of a depthwise convolution with `width` inputs.
  const double bound = 1.0 / std::sqrt(static_cast<double>(width));
  const Shard shard = whole_on_every_tensor_rank ? Shard::none : Shard::tensor;
  const auto create = [&](const std::string& suffix, const Shape& shape, Init init, bool decay) {
    return &context.store.add({.name = context.prefix + "." + name + suffix,
                               .global_shape = shape,
                               .shard = shard,
                               .init = std::move(init),
                               .decay = decay,
                               .varies_over_tensor = whole_on_every_tensor_rank});
  };
  weight_ = create(".weight", {channels, width}, Init::uniform(-bound, bound), true);
  if (bias) bias_ = create(".bias", {channels}, Init::zeros(), false);
}

Value ShortConv::operator()(StepContext& step, const Value& x, MixerState* state) const {
  return sequence_short_conv(step.tape, x, weight_->value, bias_ ? bias_->value : Value(), activation_, step.seq, state,
                             name_);
}

QkvProjection::QkvProjection(const LayerContext& context, const Options& options, bool short_conv, Unary activation)
    : head_k_dim_(options.integer("head_k_dim")),
      head_v_dim_(options.integer("head_v_dim")),
      convolves_(short_conv),
      activation_(activation) {
  const int64_t k_width = options.integer("num_heads") * head_k_dim_;
  const int64_t v_width = options.integer("num_heads") * head_v_dim_;
  q_ = ColumnLinear(context, "q_proj", k_width);
  k_ = ColumnLinear(context, "k_proj", k_width);
  v_ = ColumnLinear(context, "v_proj", v_width);
  if (!short_conv) return;
  constexpr int64_t kConvWidth = 4;
  q_conv_ = ShortConv(context, "q_conv1d", k_width, kConvWidth, false, ConvActivation::silu);
  k_conv_ = ShortConv(context, "k_conv1d", k_width, kConvWidth, false, ConvActivation::silu);
  v_conv_ = ShortConv(context, "v_conv1d", v_width, kConvWidth, false, ConvActivation::silu);
}

Heads QkvProjection::operator()(StepContext& step, const Value& x, MixerState* state) const {
  const auto stream = [&](const ColumnLinear& projection, const ShortConv& conv, int64_t head_dim) {
    Value y = projection(step, x);
    if (convolves_) {
      y = conv(step, y, state);
    } else if (activation_ != Unary::identity) {
      y = apply(step.tape, activation_, y);
    }
    return to_heads(step, y, head_dim);
  };
  return {stream(q_, q_conv_, head_k_dim_), stream(k_, k_conv_, head_k_dim_), stream(v_, v_conv_, head_v_dim_)};
}

MixerOutput::MixerOutput(const LayerContext& context, int64_t num_heads, int64_t head_v_dim, OutputNorm norm,
                         OutputGate gate, double eps)
    : norm_(norm), gate_type_(gate), eps_(eps), global_width_(num_heads * head_v_dim) {
  const std::string name = context.prefix + ".o_norm.weight";
  if (norm == OutputNorm::per_head)
    norm_weight_ = &context.store.add(
        {.name = name, .global_shape = {head_v_dim}, .init = Init::ones(), .decay = false, .varies_over_tensor = true});
  if (norm == OutputNorm::merged)
    norm_weight_ = &context.add("o_norm.weight", {global_width_}, Init::ones(), Shard::tensor, 0, false);
  if (gate != OutputGate::none) gate_ = ColumnLinear(context, "g_proj", global_width_);
  out_ = RowLinear(context, "o_proj", global_width_);
}

Value MixerOutput::operator()(StepContext& step, const Value& o, const Value& x) const {
  Tape& tape = step.tape;
  Value y = norm_ == OutputNorm::per_head ? rms_norm(tape, o, norm_weight_->value, eps_) : o;
  y = from_heads(step, y);
  if (norm_ == OutputNorm::merged) y = rms_norm_over_tensor(step, y, norm_weight_->value, global_width_, eps_);
  if (gate_type_ == OutputGate::silu) y = silu_multiply(tape, gate_(step, x), y);
  if (gate_type_ == OutputGate::sigmoid) y = multiply(tape, apply(tape, Unary::sigmoid, gate_(step, x)), y);
  return out_(step, y);
}

Value rms_norm_over_tensor(StepContext& step, const Value& x, const Value& weight, int64_t global_width, double eps) {
  const Value part = mean_square(step.tape, x, Axis::tensor, global_width);
  const Value whole =
      all_reduce_to_replicated(step.tape, part, Axis::tensor, step.mesh.tensor(), Sites::tensor_forward);
  return rms_apply(step.tape, x, whole, weight, eps);
}

Value to_heads(StepContext& step, const Value& x, int64_t head_dim) {
  return reshape(step.tape, x, {x.size(0), x.size(1), x.size(2) / head_dim, head_dim});
}

Value from_heads(StepContext& step, const Value& x) {
  return reshape(step.tape, x, {x.size(0), x.size(1), x.size(2) * x.size(3)});
}

std::vector<double> per_local_head(const LayerContext& context, int64_t num_heads,
                                   const std::function<double(int64_t)>& f) {
  Comm& tensor = context.store.mesh().tensor();
  const int64_t local = num_heads / tensor.size();
  std::vector<double> values;
  for (int64_t h = 0; h < local; ++h) values.push_back(f(tensor.rank() * local + h));
  return values;
}

std::vector<OptionSpec> head_options(int64_t num_heads, int64_t head_k_dim, int64_t head_v_dim) {
  using Kind = OptionSpec::Kind;
  return {
      {.name = "num_heads", .kind = Kind::integer, .fallback = num_heads, .least = 1, .help = "heads"},
      {.name = "head_k_dim", .kind = Kind::integer, .fallback = head_k_dim, .least = 1, .help = "key width of a head"},
      {.name = "head_v_dim",
       .kind = Kind::integer,
       .fallback = head_v_dim,
       .least = 1,
       .help = "value width of a head"}};
}

OptionSpec norm_option(const char* fallback) {
  return {.name = "output_norm",
          .kind = OptionSpec::Kind::choice,
          .fallback = std::string(fallback),
          .choices = {"none", "per_head", "merged"},
          .help = "RMS norm of the read-out"};
}

OptionSpec gate_option(const char* fallback) {
  return {.name = "output_gate",
          .kind = OptionSpec::Kind::choice,
          .fallback = std::string(fallback),
          .choices = {"none", "silu", "sigmoid"},
          .help = "gate on the read-out"};
}

OptionSpec conv_option(bool fallback) {
  return {.name = "short_conv",
          .kind = OptionSpec::Kind::boolean,
          .fallback = fallback,
          .help = "depthwise causal convolution of width 4 and silu on q, k and v"};
}

OptionSpec gate_divisor_option() {
  return {.name = "gate_logit_normalizer",
          .kind = OptionSpec::Kind::real,
          .fallback = 16.0,
          .least = 1e-6,
          .help = "the log of the decay is divided by it"};
}

OutputNorm norm_of(const Options& options) {
  const std::string& s = options.choice("output_norm");
  return s == "none" ? OutputNorm::none : s == "merged" ? OutputNorm::merged : OutputNorm::per_head;
}

OutputGate gate_of(const Options& options) {
  const std::string& s = options.choice("output_gate");
  return s == "none" ? OutputGate::none : s == "silu" ? OutputGate::silu : OutputGate::sigmoid;
}

std::string heads_problem(const Options& options, int64_t, int tensor_degree) {
  const int64_t heads = options.integer("num_heads");
  if (heads % tensor_degree == 0) return "";
  return fmt::format("num_heads: {} is not a multiple of parallel.tensor = {}", heads, tensor_degree);
}

}  // namespace og
