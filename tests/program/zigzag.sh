#!/usr/bin/env bash
# Head-tail order through the program: losses and gradient norms of one rank (f64 to 1e-9 over 20 steps, f32 to 1e-5 at the first step), two
# summaries a rank in one AllGather; what it does not go with is refused by name.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

train() { train_tiny "$@"; }

references
for layout in "2 sequence=2" "3 sequence=3" "4 sequence=4 expert=4" "4 sequence=2 tensor=2" "4 data=2 sequence=2 expert=4"; do
  read -r n degrees <<<"$layout"
  for method in all_gather_kv ring; do
    # shellcheck disable=SC2046
    equal "zigzag, $method, $degrees" "$n" parallel.sequence_order=zigzag parallel.softmax_sequence_method=$method $(keys "$degrees")
  done
done
# Begun in zigzag order with cut moments on two ranks, gone on with on three by another method in the plain order.
train constant 1 train.schedule.final_ratio=1
train moved 2 parallel.sequence=2 parallel.sequence_order=zigzag parallel.zero=1 train.num_steps=9 train.schedule.final_ratio=1
train moved 3 parallel.sequence=3 parallel.sequence_method=ring train.schedule.final_ratio=1
said "zigzag: resumed" 'resumed' moved.txt
close "from zigzag and ZeRO-1 to ring on three ranks: f64 losses" loss 1e-9 constant/metrics.jsonl moved/metrics.jsonl
refuse() { # NAME MESSAGE key=value...
  expect "$1" 2 "$2" ranks 2 "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" parallel.sequence=2 parallel.sequence_order=zigzag "${@:3}"
}
refuse "rows that do not cut into equal shards" 'sequence_length = 46 does not divide by them; the nearest: 44 and 48' \
  data.sequence_length=46 train.tokens_per_step=368
refuse "a chain of states" 'parallel.sequence_method: lasp2, found lasp1' parallel.sequence_method=lasp1
refuse "whole heads" 'ulysses, which gives every rank whole heads, is balanced without it' parallel.softmax_sequence_method=ulysses
refuse "segments" 'zigzag is not built with train.segment_length' train.segment_length=16
finish
