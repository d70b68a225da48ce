#!/usr/bin/env bash
# Mixtures of experts through the real program: every way of balancing, scoring and dropping gives at any layout what one rank gives, and the
# balancing biases survive a checkpoint.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt

variants=(
  "bias balance=bias scoring_func=sigmoid bias_update_rate=0.01"
  "shared balance=none num_shared_experts=1 routed_scaling_factor=2.5 norm_topk_prob=false"
  "capacity capacity_factor=0.6"
  "micro aux_loss_scope=micro_step num_experts_per_tok=3"
)
for variant in "${variants[@]}"; do
  read -r name options <<<"$variant"
  keys=()
  for option in $options; do keys+=("model.channels.M.$option"); done
  # One micro step a step and no data ranks: then aux_loss_scope micro_step too is the same at every layout.
  [ "$name" = micro ] && keys+=(train.tokens_per_step=192 train.micro_batch_size=4)
  train=("$ONEGATHER" train tiny.yaml "${keys[@]}")
  expect "$name: one rank" 0 'done' "${train[@]}" run.dir="$name"
  second=(parallel.data=2 parallel.tensor=2 parallel.expert=4)
  [ "$name" = micro ] && second=(parallel.sequence=2 parallel.tensor=2 parallel.expert=4)
  expect "$name: two ranks" 0 'done' ranks 2 "${train[@]}" run.dir="$name-2" parallel.sequence=2 parallel.expert=2
  expect "$name: four ranks" 0 'done' ranks 4 "${train[@]}" run.dir="$name-4" "${second[@]}"
  for n in 2 4; do
    for key in loss grad_norm aux_loss; do
      case $name-$key in bias-aux_loss | shared-aux_loss) continue ;; esac # there is none
      close "$name: $key on $n ranks" $key 1e-9 "$name/metrics.jsonl" "$name-$n/metrics.jsonl"
    done
  done
done

# Drops are counted, and the same tokens are dropped everywhere.
dropped=$(column tokens_dropped capacity/metrics.jsonl | awk '{ n += $1 } END { print n + 0 }')
if [ "$dropped" -gt 0 ]; then pass "capacity: tokens are dropped"; else fail "capacity: tokens are dropped" "none in 20 steps"; fi
for n in 2 4; do
  if cmp -s <(column tokens_dropped capacity/metrics.jsonl) <(column tokens_dropped capacity-$n/metrics.jsonl); then
    pass "capacity: as many on $n ranks"
  else
    fail "capacity: as many on $n ranks" "$(column tokens_dropped capacity-$n/metrics.jsonl | tr '\n' ' ')"
  fi
done

# The biases move without a gradient, travel in the checkpoint, and a resumed run goes on with them.
bias=("$ONEGATHER" train tiny.yaml model.channels.M.balance=bias model.channels.M.scoring_func=sigmoid model.channels.M.bias_update_rate=0.01)
expect "bias: the checkpoint holds the biases" 0 'gate.bias' grep -o 'model.layers.0.mlp.gate.bias' "$(ls -d bias/checkpoints/* | tail -n 1)/index.json"
expect "bias: saved along the way" 0 'done' "${bias[@]}" run.dir=through checkpoint.every=8 checkpoint.keep=9
rm -r through/checkpoints/*16* through/checkpoints/*20* through/summary.json
expect "bias: resumed on two ranks" 0 'resumed' ranks 2 "${bias[@]}" run.dir=through parallel.sequence=2 parallel.expert=2
close "bias: the resumed run's losses" loss 1e-9 bias/metrics.jsonl through/metrics.jsonl
expect "bias: another rate changes the run" 0 'done' "${bias[@]}" run.dir=still model.channels.M.bias_update_rate=0
if cmp -s <(column loss bias/metrics.jsonl) <(column loss still/metrics.jsonl); then
  fail "bias: the biases act" "the losses with and without moving biases are the same"
else
  pass "bias: the biases act"
fi
finish
