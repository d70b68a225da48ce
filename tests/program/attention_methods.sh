#!/usr/bin/env bash
# Softmax layers by every method over a split sequence: a hybrid of gated linear attention, full attention and a window
# gives the losses and gradient norms of one rank: f64 to 1e-9 over 20 steps, f32 to 1e-5 at the first step.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

make_text
cat >hybrid.yaml <<'Y'
model:
  hidden_size: 32
  num_hidden_layers: 3
  layer_pattern: GNW
  channel_pattern: P
  mixers:
    G: {type: gla, num_heads: 4, head_k_dim: 8, head_v_dim: 8}
    N: {type: attention, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8}
    W: {type: attention, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, sliding_window: 5}
  channels:
    P: {type: mlp, intermediate_size: 48}
data: {train: [text.txt], eval: [text.txt], tokenizer: bytes, sequence_length: 45}
train:
  num_steps: 20
  tokens_per_step: 180
  optimizer: {type: adamw, learning_rate: 3.0e-3}
  schedule: {type: cosine, warmup_steps: 5}
  precision: f64
  threads: 1
checkpoint: {every: 0, keep: 2}
run: {dir: run, log_every: 100}
Y

train() { train_on "$1" "$2" "$ONEGATHER" train hybrid.yaml "${@:3}"; } # NAME RANKS key=value...


references
methods=$(choices parallel.softmax_sequence_method)
expect "the program names its methods" 0 'all_gather_kv .*ulysses' echo "$methods"
for method in $methods; do
  for layout in "2 sequence=2" "4 sequence=4" "4 sequence=2 tensor=2"; do
    read -r n degrees <<<"$layout"
    # shellcheck disable=SC2046
    equal "$method, $degrees" "$n" parallel.softmax_sequence_method=$method $(keys "$degrees")
  done
  train "$method-recompute" 2 parallel.softmax_sequence_method=$method parallel.sequence=2 train.recompute=block &&
    close "$method, recomputed: f64 loss" loss 1e-9 one/metrics.jsonl "$method-recompute/metrics.jsonl"
done

used "all_gather_kv gathers and scatters" reduce_scatter attention.backward all_gather_kvsequence4
used "ring sends to its neighbour" send_recv attention.backward ringsequence4
used "ulysses exchanges heads" all_to_all attention.backward ulyssessequence4

# The window's two query heads would not divide by 4 ranks, but it never uses the method; the full layer's four do not by 3.
expect "heads that do not divide are refused" 2 'model.mixers.N: .*4 a tensor rank do not divide by parallel.sequence = 3' \
  ranks 3 "$ONEGATHER" train hybrid.yaml parallel.sequence=3 parallel.softmax_sequence_method=ulysses
train auto 2 parallel.sequence=2 && said "auto says what it chose" '^sequence over 2 ranks on 1 host: linear layers by lasp2, softmax layers by ulysses$' auto.txt
expect "and why, before a run" 0 '^  estimated time of a softmax layer: ulysses [0-9.]+ [mu]s, ' ranks 2 "$ONEGATHER" train hybrid.yaml parallel.sequence=2 --dry-run
expect "auto leaves out what is not possible" 0 '^  estimated time of a softmax layer: [^u]+ [mu]s, [^u]+ [mu]s(; another.*)?$' \
  ranks 3 "$ONEGATHER" train hybrid.yaml parallel.sequence=3 --dry-run
train auto-three 3 parallel.sequence=3 && said "and chooses among the others" 'softmax layers by (all_gather_kv|ring)$' auto-three.txt
expect "an unknown method" 2 'did you mean ring' \
  ranks 2 "$ONEGATHER" train hybrid.yaml parallel.sequence=2 parallel.softmax_sequence_method=rong
finish
