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

finish
