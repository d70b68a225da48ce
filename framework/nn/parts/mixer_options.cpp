#include "framework/nn/parts/mixer_options.h"

namespace og {

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
