#!/usr/bin/env bash
# Pipelines through the program: losses, gradient norms and balance losses of one rank (f64 to 1e-9 over 20 steps, f32 to 1e-5 at the first
# step), 1F1B and interleaved, beside every other axis; checkpoints move between pipelines and other layouts; wrong use refused.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

train() { train_tiny "$@" train.eval_every=10; }

references
also='aux_loss eval_loss'
interleaved="pipeline=2 pipeline_schedule=interleaved virtual_stages=2"
for layout in "2 pipeline=2" "4 pipeline=4" "4 $interleaved sequence=2" "4 pipeline=2 tensor=2 expert=2" "8 pipeline=2 data=2 sequence=2 expert=4" \
  "8 pipeline=4 tensor=2 zero=1" "6 pipeline=3 sequence=2"; do
  read -r n degrees <<<"$layout"
  # shellcheck disable=SC2046
  equal "$degrees" "$n" $(keys "$degrees")
done
used "hidden states go on" send_recv pipeline.forward pipeline4
used "their gradients come back" send_recv pipeline.backward pipeline2

for layout in "2 pipeline=2" "4 pipeline=2 sequence=2 expert=2" "8 pipeline=4 tensor=2"; do
  read -r n degrees <<<"$layout"
  rm -rf segments
  # shellcheck disable=SC2086
  train segments "$n" train.segment_length=16 parallel.${degrees// / parallel.} || continue
  close "segments of 16 through $degrees: f64 loss" loss 1e-9 one/metrics.jsonl segments/metrics.jsonl
  close "segments of 16 through $degrees: f64 gradient norm" grad_norm 1e-9 one/metrics.jsonl segments/metrics.jsonl
done
train tied 1 model.tie_word_embeddings=true
train tied-two 4 model.tie_word_embeddings=true parallel.pipeline=2 parallel.sequence=2 &&
  close "tied embeddings: f64 gradient norm" grad_norm 1e-9 tied/metrics.jsonl tied-two/metrics.jsonl

train constant 1 train.schedule.final_ratio=1
# A run that begins on a pipeline of two, goes on on one rank and ends on a pipeline of four.
train moved 2 parallel.pipeline=2 train.num_steps=7 train.schedule.final_ratio=1
train moved 1 train.num_steps=13 train.schedule.final_ratio=1
train moved 4 parallel.pipeline=2 parallel.pipeline_schedule=interleaved parallel.virtual_stages=2 parallel.sequence=2 train.num_steps=20 train.schedule.final_ratio=1
said "it was resumed" 'resumed' moved.txt
close "from two stages to one rank to four chunks" loss 1e-9 constant/metrics.jsonl moved/metrics.jsonl
expect "a checkpoint of a pipeline is complete" 0 "checksums: all as saved" "$ONEGATHER" inspect moved
expect "and generates on one rank" 0 'tokens/s' "$ONEGATHER" generate moved --prompt the --tokens 8
expect "and on two stages" 0 'tokens/s' ranks 2 "$ONEGATHER" generate moved --prompt the --tokens 8 parallel.pipeline=2

refuse() { expect "$1" 2 "$2" ranks 2 "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" parallel.pipeline=2 "${@:3}"; }
refuse "more chunks than layers" 'need as many layers; model.num_hidden_layers = 4' parallel.pipeline_schedule=interleaved parallel.virtual_stages=3
refuse "interleaved of one chunk" 'expected 2 or more with pipeline_schedule: interleaved' parallel.pipeline_schedule=interleaved
refuse "chunks without interleaving" 'expected 1 with pipeline_schedule: 1f1b, found 2' parallel.virtual_stages=2
refuse "groups that do not fill" '7 micro steps; the nearest: 288 and 384' parallel.pipeline_schedule=interleaved parallel.virtual_stages=2 train.tokens_per_step=336
refuse "interleaved segments" 'expected 1f1b with train.segment_length' train.segment_length=16 parallel.pipeline_schedule=interleaved parallel.virtual_stages=2
finish
