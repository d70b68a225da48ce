#!/usr/bin/env bash
# The same YAML at any degrees gives the losses and gradient norms of one rank: f64 to 1e-9 over 20 steps; f32 to 1e-5 at the
# first step and, since Adam and top-k routing amplify rounding, the losses of 20 steps to 1e-3.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

make_text
make_jsonl

train() { train_on "$1" "$2" "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" data.train=[text.jsonl] data.eval=[text.jsonl] "${@:3}"; } # NAME RANKS key=value...

layouts=(
  "2 parallel.sequence=2" "2 parallel.data=2" "2 parallel.tensor=2" "2 parallel.sequence=2 parallel.expert=2"
  "4 parallel.sequence=2 parallel.tensor=2 parallel.expert=4" "4 parallel.data=2 parallel.sequence=2 parallel.expert=2"
  "3 parallel.sequence=3" "8 parallel.data=2 parallel.sequence=2 parallel.tensor=2 parallel.expert=8"
)
[ "${ONEGATHER_FULL:-0}" = 1 ] && layouts+=(
  "8 parallel.sequence=8 parallel.expert=4" "4 parallel.tensor=4 parallel.expert=2" "8 parallel.sequence=4 parallel.tensor=2"
  "4 parallel.sequence=4 train.recompute=block" "4 parallel.data=4 parallel.expert=4 train.micro_batch_size=2"
)

short=$ONEGATHER_TEST_SAMPLE
unset ONEGATHER_TEST_SAMPLE
train one 1
for layout in "${layouts[@]}"; do
  read -r n keys <<<"$layout"
  name=f64-$n-$(tr ' ' '\n' <<<"$keys" | sed 's/.*\.//' | tr -d '\n' | tr '=' '-')
  # shellcheck disable=SC2086
  train "$name" "$n" $keys || continue
  close "f64 loss, $n ranks, $keys" loss 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
  close "f64 gradient norm, $n ranks, $keys" grad_norm 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
done

# Tensors take nothing from the system from the third step on where every step routes the same number of rows to a rank.
for name in one f64-2-sequence-2 f64-2-data-2 f64-2-tensor-2; do
  if grep -q '"buffer_growths": *0[,}]' $name/summary.json; then
    pass "no buffer grows: $name"
  else
    fail "no buffer grows: $name" "$(grep -o '"buffer_growths": *[0-9]*' $name/summary.json)"
  fi
done

# The host looks at a step's numbers once; experts on several ranks may have it look once more a layer and micro step.
export ONEGATHER_TEST_SAMPLE=$short
train dense 2 parallel.data=2 model.channel_pattern=P train.num_steps=3
for name in one dense; do
  if grep -Eq '"host_reads_per_step": *1(\.0)?[,}]' $name/summary.json; then
    pass "one host read a step: $name"
  else
    fail "one host read a step: $name" "$(grep -o '"host_reads_per_step": *[^,}]*' $name/summary.json)"
  fi
done

train single 1 train.precision=f32
for layout in "${layouts[@]}"; do
  read -r n keys <<<"$layout"
  name=f32-$n-$(tr ' ' '\n' <<<"$keys" | sed 's/.*\.//' | tr -d '\n' | tr '=' '-')
  # shellcheck disable=SC2086
  train "$name" "$n" train.precision=f32 $keys || continue
  close "f32 first loss, $n ranks, $keys" loss 1e-5 single/metrics.jsonl "$name/metrics.jsonl" 1
  close "f32 first gradient norm, $n ranks, $keys" grad_norm 1e-5 single/metrics.jsonl "$name/metrics.jsonl" 1
  close "f32 losses of 20 steps, $n ranks, $keys" loss 1e-3 single/metrics.jsonl "$name/metrics.jsonl"
done
finish
