#!/usr/bin/env bash
# Linear layers by every method over a split sequence: diagonal, scalar and dense carries give the losses and gradient norms of one rank: f64
# to 1e-9 over 20 steps, f32 to 1e-5 at the first step.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

train() { train_tiny "$@" model.layer_pattern=GDS; }

references
methods=$(choices parallel.sequence_method)
expect "the program names its methods" 0 'lasp2 .*megatron' echo "$methods"
for method in $methods; do
  for layout in "2 sequence=2" "4 sequence=4 expert=2" "4 sequence=2 tensor=2" "3 sequence=3"; do
    read -r n degrees <<<"$layout"
    # shellcheck disable=SC2046
    equal "$method, $degrees" "$n" parallel.sequence_method=$method $(keys "$degrees")
  done
  for key in train.recompute=block parallel.overlap=false; do
    train "$method-${key##*.}" 2 parallel.sequence_method=$method parallel.sequence=2 $key &&
      close "$method, $key: f64 loss" loss 1e-9 one/metrics.jsonl "$method-${key##*.}/metrics.jsonl"
  done
  expect "$method: generates on two ranks" 0 'tokens/s' ranks 2 "$ONEGATHER" generate "${method}sequence2" --prompt the --tokens 8
done
used "lasp2 gathers" all_gather mixer.backward lasp2sequence4expert2
used "ulysses exchanges heads" all_to_all mixer.backward ulyssessequence4expert2
used "megatron gathers and scatters" reduce_scatter mixer.backward megatronsequence4expert2
for method in lasp1 zeco scan ring; do used "$method sends to neighbours" send_recv mixer.backward ${method}sequence4expert2; done
expect "decoding over a split sequence is refused" 2 'parallel.sequence: expected 1, found 2' \
  ranks 2 "$ONEGATHER" generate lasp2sequence2 --prompt the --tokens 8 parallel.sequence=2
finish
