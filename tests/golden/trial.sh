#!/usr/bin/env bash
# tests/golden/trial.sh [BUILD] [NAME..]: shows that the golden files hold the layers. Changes one formula of the code at a time (a factor 2, a
# term left out, two steps swapped), builds golden_test and expects it to fail; then puts the file back. Prints a row a change; status 1 if a
# change went unseen, or its text stands no longer in the code. Takes minutes, changes files of the tree while it runs, and is no test.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=build
if [ $# -gt 0 ]; then build=$1; shift; fi
wanted=" $* "
unseen=0 file="" kept=""
put_back() { [ -n "$file" ] && printf '%s' "$kept" >"$file"; file=""; }
trap put_back EXIT
trap 'exit 130' INT TERM

trial() { # NAME FILE OLD NEW TESTS: those of golden_test that are to fail are among TESTS
  case $wanted in "  " | *" $1 "*) ;; *) return ;; esac
  local text log row failed
  text=$(cat "framework/$2"; printf x)
  text=${text%x}
  if [ "${text/"$3"/}" = "$text" ]; then
    printf '%-32s %s\n' "$1" "GONE: framework/$2 has no text $3"
    unseen=1
    return
  fi
  file=framework/$2 kept=$text
  printf '%s' "${text/"$3"/"$4"}" >"$file"
  if ! log=$(ninja -C "$build" golden_test 2>&1); then
    row="NOT BUILT: $(grep -m1 error <<<"$log")"
    unseen=1
  else
    log=$(ONEGATHER_POISON=1 "$build/golden_test" --gtest_filter="*InF64*/$5*:Golden.*" 2>&1)
    failed=$(grep -c '^\[  FAILED  \].*ms)' <<<"$log")
    row="red: $failed of $(grep -c '^\[ RUN' <<<"$log")"
    [ "$failed" -gt 0 ] || { row="UNSEEN"; unseen=1; }
  fi
  put_back
  printf '%-32s %s\n' "$1" "$row"
}

m=nn/mixers c=nn/channels
trial linear_scale $m/linear.cpp 'normalize_ ? 1.0 : 1.0 /' 'normalize_ ? 1.0 : 2.0 /' linear
trial linear_normalised_scale $m/linear.cpp 'normalize_ ? 1.0 :' 'normalize_ ? 2.0 :' linear
trial linear_normaliser_eps $m/linear.cpp 'kNormaliserEps = 1e-6' 'kNormaliserEps = 2e-6' linear
trial hedgehog_sign ops/feature_map.cpp 'scale(tape, y, -1)' 'scale(tape, y, -2)' linear_hedgehog
trial retention_scale $m/retention.cpp 'scale = 1.0 /' 'scale = 2.0 /' retention
trial retention_rope_of_k $m/retention.cpp 'h.k = rope(' 'h.v = rope(' retention
trial lightning_scale $m/lightning.cpp '.scale = 1.0}' '.scale = 2.0}' lightning
trial lightning_last_layer $m/lightning.cpp '+ 1e-5);' ');' lightning
trial lightning_linear_slope $m/lightning.cpp '8 * h / heads' '4 * h / heads' lightning
trial simple_gla_scale $m/simple_gla.cpp 'q_scale = 1.0' 'q_scale = 2.0' simple_gla
trial simple_gla_divisor $m/simple_gla.cpp '1.0 / gate_divisor_' '2.0 / gate_divisor_' simple_gla
trial gla_scale $m/gla.cpp 'q_scale = 1.0' 'q_scale = 2.0' gla
trial gla_divisor $m/gla.cpp '1.0 / gate_divisor_' '2.0 / gate_divisor_' gla
trial hgrn2_scale $m/hgrn2.cpp 'q_scale = 1.0' 'q_scale = 2.0' hgrn2
trial hgrn2_silu_of_q $m/hgrn2.cpp 'apply(tape, Unary::silu, q_(step, x))' 'q_(step, x)' hgrn2
trial hgrn2_layer $m/hgrn2.cpp 'bounds_->value, layer_)' 'bounds_->value, layer_ / 2)' hgrn2
trial mamba2_scale $m/mamba2.cpp '.scale = 1.0}' '.scale = 2.0}' mamba2
trial mamba2_without_D_x $m/mamba2.cpp 'o = add(tape, o, multiply_heads(tape, x, skip_->value));' '' mamba2
trial mamba2_v_without_dt $m/mamba2.cpp 'multiply_rows(tape, x, gates.dt)' 'x' mamba2
trial mamba2_norm_before_gate $m/mamba2.cpp 'silu_multiply(tape, z, from_heads(step, o));
    return out_(step, norm(step, gated));' 'silu_multiply(tape, z, norm(step, from_heads(step, o)));
    return out_(step, gated);' mamba2
trial delta_scale $m/delta_net.cpp 'q_scale = 1.0' 'q_scale = 2.0' delta_net
trial delta_beta $m/delta_net.cpp '? 2.0 : 1.0' '? 1.0 : 1.0' delta_net
trial delta_unit_keys $m/delta_net.cpp 'h.k = l2_norm(tape, h.k, kL2Eps);' '' delta_net
trial delta_l2_eps $m/delta_net.cpp 'kL2Eps = 1e-6' 'kL2Eps = 2e-6' delta_net
trial gated_delta_decay $m/time_step.cpp 'Unary::neg_exp' 'Unary::exp' gated_delta_net
trial gated_delta_softplus $m/time_step.cpp 'Unary::softplus' 'Unary::squared_relu' gated_delta_net
trial output_gates_swapped nn/parts/output.cpp 'gate_type_ == OutputGate::silu' 'gate_type_ == OutputGate::sigmoid' ''
trial output_norm_eps nn/parts/output.cpp 'norm_weight_->value, eps_) : o' 'norm_weight_->value, 2 * eps_) : o' ''
trial short_conv_without_silu nn/parts/heads.cpp 'kConvWidth, false, ConvActivation::silu' 'kConvWidth, false, ConvActivation::identity' ''
trial attention_window $m/attention.cpp '.window = sizes_.window}' '.window = 2 * sizes_.window}' attention
trial attention_scale $m/attention.cpp '{.window = sizes_.window}' '{.scale = 1.0, .window = sizes_.window}' attention
trial attention_norm_after_rope $m/attention.cpp 'const Value x = norm ? rms_norm(step.tape, heads, norm->value, eps_) : heads;
    return sizes_.rope_theta > 0 ? rope(step.tape, x, step.seq.start_BT, sizes_.rope_theta) : x;' \
  'const Value x = sizes_.rope_theta > 0 ? rope(step.tape, heads, step.seq.start_BT, sizes_.rope_theta) : heads;
    return norm ? rms_norm(step.tape, x, norm->value, eps_) : x;' attention
trial mlp_gate_and_up_swapped $c/mlp.cpp 'linear(tape, in, gate_->value), linear(tape, in, up_->value)' \
  'linear(tape, in, up_->value), linear(tape, in, gate_->value)' mlp
trial moe_factor $c/moe.cpp 'options_.routed_scaling_factor);' '2 * options_.routed_scaling_factor);' moe
trial moe_norm_topk $c/moe.cpp 'options_.norm_topk_prob, options_' '!options_.norm_topk_prob, options_' moe
trial moe_balance_loss $c/moe.cpp 'static_cast<double>(num_experts) * weight' '2.0 * weight' moe
trial moe_z_loss $c/moe.cpp 'options_.z_loss_coef / (' '2 * options_.z_loss_coef / (' moe
trial moe_capacity $c/moe.cpp 'const auto capacity = ' 'const auto capacity = 1 + ' moe
trial moe_without_shared $c/moe.cpp 'shared_ ? add(tape, y, shared) : y' 'shared_ ? add(tape, y, y) : y' moe
exit $unseen
