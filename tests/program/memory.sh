#!/usr/bin/env bash
# Memory: what a config, a plan or a run may take is bounded, and what does not fit is the user's limit, said with what to lower.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
make_text
head -c 20000 /usr/share/common-licenses/GPL-3 >long.txt

# under GB COMMAND...: with so little address space.
under() { (ulimit -v "$(($1 * 1000000))" && exec "${@:2}"); }

# Aliases and includes that multiply.
echo 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]' >bomb.yaml
for i in 1 2 3 4 5 6 7 8; do
  printf 'a%s: &a%s [' $i $i && printf "*a$((i - 1)),%.0s" 1 2 3 4 5 6 7 8 9 && echo "*a$((i - 1))]"
done >>bomb.yaml
expect "aliases that multiply are refused with file and line" 2 'bomb.yaml:5: more than 100000 values' under 1 timeout 20 "$ONEGATHER" train bomb.yaml
for i in $(seq 0 11); do echo "include: [inc$((i + 1)).yaml, inc$((i + 1)).yaml]" >"inc$i.yaml"; done
echo 'train: {num_steps: 3}' >inc12.yaml
expect "includes that multiply are refused" 2 'include: more than 100 files' under 1 timeout 20 "$ONEGATHER" train inc0.yaml

# A model of 7B parameters, planned in a fraction of what its weights take.
cat >seven.yaml <<'YAML'
model:
  vocab_size: 32000
  hidden_size: 4096
  num_hidden_layers: 32
  layer_pattern: GGGN
  channel_pattern: P
  mixers:
    G: {type: gla, num_heads: 32, head_k_dim: 128, head_v_dim: 128}
    N: {type: attention, num_attention_heads: 32, num_key_value_heads: 8, head_dim: 128}
  channels:
    P: {type: mlp, intermediate_size: 11008}
data: {train: [text.txt], tokenizer: bytes, sequence_length: 2048}
train: {tokens_per_step: 2048, precision: f32}
YAML
expect "--dry-run of 7B in 1 GB" 0 '6.94B in all; this rank holds 25.9 GiB of weights, as much of gradients and 51.7 GiB of AdamW moments' \
  under 1 timeout 60 "$ONEGATHER" train seven.yaml --dry-run
expect "--dry-run of 70B in 1 GB" 0 '[0-9.]+B in all' under 1 timeout 60 "$ONEGATHER" train seven.yaml --dry-run \
  model.hidden_size=8192 model.num_hidden_layers=80 model.mixers.G.num_heads=64 model.mixers.N.num_attention_heads=64 model.channels.P.intermediate_size=28672

expect "a run that cannot fit is refused before it begins" 2 'not enough memory: 1 rank would take at least 105 GiB' under 20 timeout 60 "$ONEGATHER" train seven.yaml data.train=[long.txt] run.dir=seven
if [ -e seven ]; then fail "it leaves no folder behind"; else pass "it leaves no folder behind"; fi

# Memory that ends in a step: whatever asks last, a tensor or generated code, the run ends with what holds memory and what lowers it.
tail -c 35000 /usr/share/common-licenses/GPL-3 >long.txt
long=(train tiny.yaml data.train=[long.txt] train.precision=f32 train.num_steps=1 data.sequence_length=30000 train.tokens_per_step=30000)
kilobytes() { (ulimit -v "$1" && exec "${@:2}"); }
for limit in 400000 500000 560000; do
  expect "out of memory in a step, ulimit -v $limit" 2 'What lowers it: .*train.segment_length' kilobytes $limit timeout 120 "$ONEGATHER" "${long[@]}" run.dir=short
  said "with what tensors took and what this rank holds" 'Tensors took .* at most, .* Of it this rank holds at least' out.txt
done

# One rank of two: both end, within the time that a missing rank may take.
cat >little.sh <<'SH'
#!/bin/sh
[ "${OMPI_COMM_WORLD_RANK:-0}" = 1 ] && ulimit -v "$1"
shift
exec "$@"
SH
chmod +x little.sh
ranks 2 timeout 120 ./little.sh 500000 "$ONEGATHER" "${long[@]}" parallel.data=2 train.tokens_per_step=60000 run.dir=two >two.txt 2>&1
status "one rank of two out of memory: all end" 5 $? two.txt
said "the rank that ran out says so" 'rank 1 failed and stops the others: .*out of memory' two.txt
expect "two ranks, one of which cannot fit, are refused before they begin" 2 'not enough memory: (1 rank|2 ranks of this host) would .*take at least' \
  ranks 2 timeout 120 ./little.sh 20000000 "$ONEGATHER" train seven.yaml data.train=[long.txt] parallel.tensor=2 run.dir=seven2

finish
