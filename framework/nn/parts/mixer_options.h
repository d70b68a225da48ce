// Option tables that mixers share, and what their values mean.
#pragma once

#include <string>
#include <vector>

#include "framework/core/problem.h"
#include "framework/nn/options.h"
#include "framework/nn/parts/output.h"

namespace og {

std::vector<OptionSpec> head_options(int64_t num_heads, int64_t head_k_dim, int64_t head_v_dim);
OptionSpec norm_option(const char* fallback);
OptionSpec gate_option(const char* fallback);
OptionSpec conv_option(bool fallback);
OptionSpec gate_divisor_option();
OutputNorm norm_of(const Options& options);
OutputGate gate_of(const Options& options);
// num_heads must be a multiple of the tensor degree.
std::optional<Problem> heads_problem(const Options& options, int64_t hidden_size, int tensor_degree);

}  // namespace og
