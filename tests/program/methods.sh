#!/usr/bin/env bash
# Linear layers by every method over a split sequence: diagonal, scalar and dense carries give the losses and gradient norms of one rank: f64
# to 1e-9 over 20 steps, f32 to 1e-5 at the first step.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
make_jsonl

train() { train_on "$1" "$2" "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" data.train=[text.jsonl] data.eval=[text.jsonl] \
  model.layer_pattern=GDS "${@:3}"; } # NAME RANKS key=value...

train one 1
train single 1 train.precision=f32 train.num_steps=1
for method in lasp2 lasp1 zeco scan hierarchical ring ulysses megatron; do
  for layout in "2 sequence=2" "4 sequence=4 expert=2" "4 sequence=2 tensor=2" "3 sequence=3"; do
    read -r n degrees <<<"$layout"
    keys="parallel.sequence_method=$method parallel.${degrees// / parallel.}"
    name=$method-$(tr -d ' =' <<<"$degrees")
    # shellcheck disable=SC2086
    train "$name" "$n" $keys || continue
    close "$method, $degrees: f64 loss" loss 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
    close "$method, $degrees: f64 gradient norm" grad_norm 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
    # shellcheck disable=SC2086
    train "$name-f32" "$n" $keys train.precision=f32 train.num_steps=1 || continue
    close "$method, $degrees: f32 first loss" loss 1e-5 single/metrics.jsonl "$name-f32/metrics.jsonl" 1
    close "$method, $degrees: f32 first gradient norm" grad_norm 1e-5 single/metrics.jsonl "$name-f32/metrics.jsonl" 1
  done
  for key in train.recompute=block parallel.overlap=false; do
    train "$method-${key##*.}" 2 parallel.sequence_method=$method parallel.sequence=2 $key &&
      close "$method, $key: f64 loss" loss 1e-9 one/metrics.jsonl "$method-${key##*.}/metrics.jsonl"
  done
  expect "$method: generates on two ranks" 0 'tokens/s' ranks 2 "$ONEGATHER" generate "$method-sequence2" --prompt the --tokens 8
done
used "lasp2 gathers" all_gather mixer.backward lasp2-sequence4expert2
used "ulysses exchanges heads" all_to_all mixer.backward ulysses-sequence4expert2
used "megatron gathers and scatters" reduce_scatter mixer.backward megatron-sequence4expert2
for method in lasp1 zeco scan ring; do used "$method sends to neighbours" send_recv mixer.backward $method-sequence4expert2; done
expect "decoding over a split sequence is refused" 2 'parallel.sequence: expected 1, found 2' \
  ranks 2 "$ONEGATHER" generate lasp2-sequence2 --prompt the --tokens 8 parallel.sequence=2
finish
