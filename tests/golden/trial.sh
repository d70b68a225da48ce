#!/usr/bin/env bash
# tests/golden/trial.sh [--texts | BUILD [NAME..]]: shows that the golden files hold the layers. Changes one formula of the code at a time (a factor 2, a
# term left out, two steps swapped), builds golden_test and expects it to fail; then puts the file back. Prints a row a change; status 1 if a
# change went unseen, or its text stands no longer in the code. Takes minutes, changes files of the tree while it runs, and is no test.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=build only_texts=""
if [ "${1:-}" = --texts ]; then only_texts=1; shift; fi
if [ $# -gt 0 ]; then build=$1; shift; fi
wanted=" $* "
unseen=0 file="" kept=""
put_back() { [ -n "$file" ] && printf '%s' "$kept" >"$file"; file=""; }
trap put_back EXIT
trap 'exit 130' INT TERM

trial() { # NAME FILE OLD NEW TYPES: of each type, a word of TYPES, some test of golden_test is to fail
  case $wanted in "  " | *" $1 "*) ;; *) return ;; esac
  local text log row="" failed type
  text=$(cat "framework/$2"; printf x)
  text=${text%x}
  if [ "${text/"$3"/}" = "$text" ]; then
    printf '%-32s %s\n' "$1" "GONE: framework/$2 has no text $3"
    unseen=1
    return
  fi
  [ -z "$only_texts" ] || return
  file=framework/$2 kept=$text
  printf '%s' "${text/"$3"/"$4"}" >"$file"
  if ! log=$(ninja -C "$build" golden_test 2>&1); then
    row="NOT BUILT: $(grep -m1 error <<<"$log")"
    unseen=1
  else
    for type in $5; do
      log=$(ONEGATHER_POISON=1 "$build/golden_test" --gtest_filter="*InF64*/$type*:Golden.*" 2>&1)
      failed=$(grep -c '^\[  FAILED  \].*ms)' <<<"$log")
      row+="$type red: $failed of $(grep -c '^\[ RUN' <<<"$log")  "
      [ "$failed" -gt 0 ] || { row+="UNSEEN  "; unseen=1; }
    done
  fi
  put_back
  printf '%-32s %s\n' "$1" "$row"
}

m=nn/mixers c=nn/channels p=nn/parts
trial default_scale $m/recurrence_type.cpp ': 1.0 / std::sqrt(' ': 2.0 / std::sqrt(' 'gla simple_gla retention'
trial linear_scale $m/linear.cpp '? 1.0 : 1.0 /' '? 1.0 : 2.0 /' linear
trial linear_normalised_scale $m/linear.cpp '? 1.0 : 1.0 /' '? 2.0 : 1.0 /' linear
trial linear_normaliser_eps $m/linear.cpp 'kNormaliserEps = 1e-6' 'kNormaliserEps = 2e-6' linear
trial hedgehog_sign ops/feature_map.cpp 'scale(tape, y, -1)' 'scale(tape, y, -2)' linear_hedgehog
trial hedgehog_keys $m/linear.cpp 'map, s.k, k_map ? k_map->value' 'map, s.k, q_map ? q_map->value' linear_hedgehog
trial retention_decay $m/retention.cpp 'exp2(-5.0 -' 'exp2(-6.0 -' retention
trial retention_rope_of_k $m/retention.cpp 's.k = rope(' 's.q = rope(' retention
trial lightning_scale $m/lightning.cpp '.default_scale = unit_scale' '.default_scale = nullptr' lightning
trial lightning_last_layer $m/lightning.cpp '+ 1e-5);' ');' lightning
trial lightning_geometric_slope $m/lightning.cpp 'exp2(-8 *' 'exp2(-4 *' lightning
trial lightning_linear_slope $m/lightning.cpp '8 * h / heads' '4 * h / heads' lightning_linear
trial lightning_silu $m/lightning.cpp '.activation = Unary::silu' '.activation = Unary::identity' lightning
trial simple_gla_divisor $m/simple_gla.cpp '1.0 / divisor' '2.0 / divisor' simple_gla
trial gla_divisor $m/gla.cpp '1.0 / divisor' '2.0 / divisor' gla
trial hgrn2_scale $m/hgrn2.cpp 'q_scale = 1.0' 'q_scale = 2.0' hgrn2
trial hgrn2_silu_of_q $m/hgrn2.cpp 'apply(tape, Unary::silu, q_(step, x))' 'q_(step, x)' hgrn2
trial hgrn2_key $m/hgrn2.cpp 'apply(tape, Unary::one_minus_exp, g)' 'apply(tape, Unary::exp, g)' hgrn2
trial hgrn2_layer $m/hgrn2.cpp 'bounds_->value, layer_)' 'bounds_->value, layer_ / 2)' hgrn2
trial mamba2_scale $m/mamba2.cpp '.g = gates.g}, 1.0}' '.g = gates.g}, 2.0}' mamba2
trial mamba2_without_D_x $m/mamba2.cpp 'o = add(tape, o, multiply_heads(tape, x, skip_->value));' '' mamba2
trial mamba2_v_without_dt $m/mamba2.cpp 'multiply_rows(tape, x, gates.dt)' 'x' mamba2
trial mamba2_norm_before_gate $m/mamba2.cpp 'silu_multiply(tape, z, from_heads(step, o));
    return out_(step, norm(step, gated));' 'silu_multiply(tape, z, norm(step, from_heads(step, o)));
    return out_(step, gated);' mamba2
trial mamba2_eps $m/mamba2.cpp 'eps_(1e-5)' 'eps_(2e-5)' 'mamba2 mamba2_groups'
trial delta_scale $m/delta_net.cpp 'q_scale = 1.0' 'q_scale = 2.0' 'delta_net gated_delta_net'
trial delta_beta $m/delta_net.cpp '? 2.0 : 1.0' '? 1.0 : 1.0' 'delta_net gated_delta_net'
trial delta_unit_keys $m/delta_net.cpp 'h.k = l2_norm(tape, h.k, kL2Eps);' '' 'delta_net gated_delta_net'
trial delta_unit_queries $m/delta_net.cpp 'h.q = l2_norm(tape, h.q, kL2Eps);' '' 'delta_net gated_delta_net'
trial delta_l2_eps $m/delta_net.cpp 'kL2Eps = 1e-6' 'kL2Eps = 2e-6' 'delta_net gated_delta_net'
trial time_step_decay $m/time_step.cpp 'Unary::neg_exp' 'Unary::exp' 'gated_delta_net mamba2'
trial time_step_softplus $m/time_step.cpp 'Unary::softplus' 'Unary::squared_relu' 'gated_delta_net mamba2'
trial attention_window $m/attention.cpp '.window = sizes_.window}' '.window = 2 * sizes_.window}' attention_window
trial attention_scale $m/attention.cpp '{.window = sizes_.window}' '{.scale = 1.0, .window = sizes_.window}' attention
trial attention_rope_base $m/attention.cpp 'step.seq.start_BT, sizes_.rope_theta)' 'step.seq.start_BT, 2 * sizes_.rope_theta)' attention
trial attention_norm_after_rope $m/attention.cpp 'const Value x = norm ? rms_norm(step.tape, heads, norm->value, eps_) : heads;
    return sizes_.rope_theta > 0 ? rope(step.tape, x, step.seq.start_BT, sizes_.rope_theta) : x;' \
  'const Value x = sizes_.rope_theta > 0 ? rope(step.tape, heads, step.seq.start_BT, sizes_.rope_theta) : heads;
    return norm ? rms_norm(step.tape, x, norm->value, eps_) : x;' attention
trial column_bias $p/linear.cpp 'bias_ ? add_bias(step.tape, y, bias_->value) : y' 'y' 'simple_gla attention'
trial low_rank_bias $p/linear.cpp 'return add_bias(step.tape, linear(step.tape, low, up_->value), bias_->value)' \
  'return linear(step.tape, low, up_->value)' gla
trial short_conv_without_silu $p/heads.cpp 'kConvWidth, false, ConvActivation::silu' 'kConvWidth, false, ConvActivation::identity' \
  'delta_net gla_conv'
trial output_gates_swapped $p/output.cpp 'gate_type_ == OutputGate::silu' 'gate_type_ == OutputGate::sigmoid' 'gla lightning'
trial output_norm_eps $p/output.cpp 'norm_weight_->value, eps_) : o' 'norm_weight_->value, 2 * eps_) : o' 'gla delta_net'
trial merged_norm_eps $p/output.cpp 'global_width_, eps_)' 'global_width_, 2 * eps_)' 'lightning hgrn2 gla_merged'
trial mlp_gate_and_up_swapped $c/mlp.cpp 'linear(tape, in, gate_->value), linear(tape, in, up_->value)' \
  'linear(tape, in, up_->value), linear(tape, in, gate_->value)' mlp
trial moe_gate_and_up_swapped $c/moe.cpp 'silu_multiply(tape, gate, up)' 'silu_multiply(tape, up, gate)' moe
trial moe_factor $c/moe.cpp 'options_.routed_scaling_factor);' '2 * options_.routed_scaling_factor);' moe
trial moe_norm_topk $c/moe.cpp 'options_.norm_topk_prob, options_' '!options_.norm_topk_prob, options_' moe
trial moe_scores $c/moe.cpp 'options_.scoring_func)' 'Scoring::softmax)' moe_sigmoid
trial moe_choice_without_bias $c/moe.cpp 'bias_ ? bias_->value.tensor() : Tensor()' 'Tensor()' moe_bias
trial moe_balance_loss kernels/ref/balance.cpp 'static_cast<double>(num_experts) * weight' '2.0 * weight' moe
trial moe_balance_scope $c/moe.cpp 'if (options_.aux_loss_scope ==' 'if (options_.aux_loss_scope !=' 'moe_micro_step moe_sigmoid'
trial moe_z_loss $c/moe.cpp 'options_.z_loss_coef / tokens' '2 * options_.z_loss_coef / tokens' moe
trial moe_capacity $c/moe.cpp 'const auto capacity = ' 'const auto capacity = 1 + ' moe_capacity
trial moe_without_shared $c/moe.cpp 'shared_ ? add(tape, y, shared) : y' 'shared_ ? add(tape, y, y) : y' moe_sigmoid_shared
exit $unseen
