#!/usr/bin/env bash
# train.segment_length through the program: losses and gradient norms of whole rows (f64 to 1e-9 over 20 steps, f32 to 1e-5 at the first
# step), over any layout, with resume; what it does not go with is refused by name.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

train() { train_tiny "$@"; }

references
also=aux_loss
for layout in "1 sequence=1" "2 sequence=2" "4 sequence=2 tensor=2 expert=4" "4 data=2 sequence=2 expert=2" "3 sequence=3"; do
  read -r n degrees <<<"$layout"
  # shellcheck disable=SC2046
  for length in 16 20; do equal "segments of $length, $degrees" "$n" train.segment_length=$length $(keys "$degrees"); done
done
for method in $(choices parallel.sequence_method); do
  train "$method" 2 parallel.sequence=2 parallel.sequence_method=$method train.segment_length=20 &&
    close "segments by $method: f64 gradient norm" grad_norm 1e-9 one/metrics.jsonl "$method/metrics.jsonl"
done
train window 1 model.mixers.N.sliding_window=9
train window-segments 2 model.mixers.N.sliding_window=9 parallel.sequence=2 train.segment_length=16 &&
  close "a sliding window in segments: f64 gradient norm" grad_norm 1e-9 window/metrics.jsonl window-segments/metrics.jsonl
# Begun in segments, gone on with in others and in whole rows.
train constant 1 train.schedule.final_ratio=1
train moved 2 parallel.sequence=2 train.segment_length=16 train.num_steps=6 train.schedule.final_ratio=1
train moved 2 parallel.sequence=2 train.segment_length=20 train.num_steps=13 train.schedule.final_ratio=1
train moved 1 train.schedule.final_ratio=1
said "segments: resumed" 'resumed' moved.txt
close "from segments of 16 to 20 to whole rows: f64 losses" loss 1e-9 constant/metrics.jsonl moved/metrics.jsonl
train evaluated 1 train.eval_every=10
train evaluated-segments 2 train.eval_every=10 parallel.sequence=2 train.segment_length=16 &&
  close "evaluation in segments" eval_loss 1e-9 evaluated/metrics.jsonl evaluated-segments/metrics.jsonl
expect "what full softmax layers keep is said" 0 '1 full softmax layer keeps K and V of the whole row on every sequence rank, [0-9.]+ KiB in all' \
  "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" "data.train=[text.jsonl]" train.segment_length=16 --dry-run
expect "rows of another length are evaluated" 0 'rows of 50' "$ONEGATHER" eval evaluated-segments --data text.jsonl --length 50
expect "segments beside recompute" 2 'train.recompute: expected none with train.segment_length' \
  "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" train.segment_length=16 train.recompute=block
expect "segments beside a ring of keys" 2 'parallel.softmax_sequence_method: expected auto or all_gather_kv with train.segment_length' \
  "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" train.segment_length=16 parallel.softmax_sequence_method=ring
# The config that trains 2,097,152 tokens, at lengths that a test has time for, in shorter segments: the memory is that of a segment.
if [ "${ONEGATHER_FULL:-0}" = 1 ]; then
  long() { # NAME TOKENS KEYS...
    train_on "$1" 2 "$ONEGATHER" train "$root/configs/long_sequence.yaml" parallel.sequence=2 train.threads=1 train.precision=f32 train.num_steps=1 \
      checkpoint.every=0 "data.sequence_length=$2" "train.tokens_per_step=$2" "${@:3}"
  }
  long whole-16k 16384 train.segment_length=null && long segments-16k 16384 train.segment_length=4096 && long segments-32k 32768 train.segment_length=4096 && {
    for key in loss grad_norm; do close "long_sequence.yaml in segments: f32 $key of whole rows" $key 1e-5 whole-16k/metrics.jsonl segments-16k/metrics.jsonl; done
    # Beside the segment's memory: a state a border, 12 bytes a token.
    close "twice the tokens take the same memory" memory_bytes 0.01 segments-16k/metrics.jsonl segments-32k/metrics.jsonl
    memory() { column memory_bytes "$1/metrics.jsonl"; }
    if [ "$(memory whole-16k)" -gt $((2 * $(memory segments-16k))) ]; then
      pass "and whole rows more than twice as much"
    else
      fail "whole rows take more than twice as much" "$(memory whole-16k) and $(memory segments-16k) bytes"
    fi
  }
fi
finish
