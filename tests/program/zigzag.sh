#!/usr/bin/env bash
# Head-tail order through the program: losses and gradient norms of one rank (f64 to 1e-9 over 20 steps, f32 to 1e-5 at the first step), two
# summaries a rank in one AllGather; what it does not go with is refused by name.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
make_text
make_jsonl

train() { train_on "$1" "$2" "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" data.train=[text.jsonl] data.eval=[text.jsonl] "${@:3}"; } # NAME RANKS key=value...

train one 1
train single 1 train.precision=f32 train.num_steps=1
for layout in "2 sequence=2" "3 sequence=3" "4 sequence=4 expert=4" "4 sequence=2 tensor=2" "4 data=2 sequence=2 expert=4"; do
  read -r n degrees <<<"$layout"
  for method in all_gather_kv ring; do
    keys="parallel.sequence_order=zigzag parallel.softmax_sequence_method=$method parallel.${degrees// / parallel.}"
    name=$method-$(tr -d ' =' <<<"$degrees")
    # shellcheck disable=SC2086
    train "$name" "$n" $keys || continue
    close "zigzag, $method, $degrees: f64 loss" loss 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
    close "zigzag, $method, $degrees: f64 gradient norm" grad_norm 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
    # shellcheck disable=SC2086
    train "$name-f32" "$n" $keys train.precision=f32 train.num_steps=1 || continue
    close "zigzag, $method, $degrees: f32 first loss" loss 1e-5 single/metrics.jsonl "$name-f32/metrics.jsonl" 1
    close "zigzag, $method, $degrees: f32 first gradient norm" grad_norm 1e-5 single/metrics.jsonl "$name-f32/metrics.jsonl" 1
  done
done
refuse() { # NAME MESSAGE key=value...
  expect "$1" 2 "$2" ranks 2 "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" parallel.sequence=2 parallel.sequence_order=zigzag "${@:3}"
}
refuse "rows that do not cut into equal shards" 'sequence_length = 46 does not divide by them; the nearest: 44 and 48' \
  data.sequence_length=46 train.tokens_per_step=368
refuse "a chain of states" 'parallel.sequence_method: lasp2, found lasp1' parallel.sequence_method=lasp1
refuse "whole heads" 'ulysses, which gives every rank whole heads, is balanced without it' parallel.softmax_sequence_method=ulysses
refuse "segments" 'zigzag is not built with train.segment_length' train.segment_length=16
finish
