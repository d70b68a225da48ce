#include "framework/nn/parts/mixer_options.h"

namespace og {

std::vector<OptionSpec> head_options(int64_t num_heads, int64_t head_k_dim, int64_t head_v_dim) {
  return {OptionSpec::integer("num_heads", num_heads, 1, "heads"),
          OptionSpec::integer("head_k_dim", head_k_dim, 1, "key width of a head"),
          OptionSpec::integer("head_v_dim", head_v_dim, 1, "value width of a head")};
}

OptionSpec norm_option(const char* fallback) {
  return OptionSpec::choice("output_norm", fallback, {"none", "per_head", "merged"}, "RMS norm of the read-out");
}

OptionSpec gate_option(const char* fallback) {
  return OptionSpec::choice("output_gate", fallback, {"none", "silu", "sigmoid"}, "gate on the read-out");
}

OptionSpec conv_option(bool fallback) {
  return OptionSpec::boolean("short_conv", fallback, "depthwise causal convolution of width 4 and silu on q, k and v");
}

OptionSpec gate_divisor_option() {
  return OptionSpec::real("gate_logit_normalizer", 16.0, 1e-6, "the log of the decay is divided by it");
}

OutputNorm norm_of(const Options& options) {
  const std::string& s = options.choice("output_norm");
  return s == "none" ? OutputNorm::none : s == "merged" ? OutputNorm::merged : OutputNorm::per_head;
}

OutputGate gate_of(const Options& options) {
  const std::string& s = options.choice("output_gate");
  return s == "none" ? OutputGate::none : s == "silu" ? OutputGate::silu : OutputGate::sigmoid;
}

std::optional<Problem> heads_problem(const Options& options, int64_t, int tensor_degree) {
  const int64_t heads = options.integer("num_heads");
  if (heads % tensor_degree == 0) return std::nullopt;
  return Problem{fmt::format("num_heads: {} is not a multiple of parallel.tensor = {}", heads, tensor_degree)};
}

}  // namespace og
