#!/usr/bin/env bash
# What a run says about itself: collectives of training steps apart from all others in summary.json, the first screen, progress lines.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

# summary NAME RUN EXPRESSION: python's verdict on RUN/summary.json, parsed as j; m: the lines of metrics.jsonl; calls(LIST, SITE).
summary() {
  if report=$(python3 -c "
import json
j = json.load(open('$2/summary.json'))
m = [json.loads(line) for line in open('$2/metrics.jsonl')]
def calls(name, site, **has): return sum(r['calls'] for r in j[name] if r['site'] == site and all(r[k] == has[k] for k in has))
assert $3, json.dumps([{k: r[k] for k in r if k in ('axis', 'verb', 'site', 'calls', 'phase')} for k in ('collectives', 'collectives_elsewhere') for r in j[k]])[:2000]" 2>&1); then
    pass "$1"
  else
    fail "$1" "$(tail -n 1 <<<"$report")"
  fi
}

# Of tiny.yaml's four layers three are linear; a step of eight rows is eight micro steps. Evaluation, checkpoints and samples run the same layers.
linear=3 micro=8
run=(parallel.sequence=2 train.eval_every=2 checkpoint.every=2 train.schedule.final_ratio=1)
# one_each WHAT RUN: one AllGather a linear layer, micro step and direction, read off the summary.
one_each() {
  for site in mixer.forward mixer.backward; do
    summary "$1: calls / (steps x micro steps x layers) of $site is 1" "$2" \
      "calls('collectives', '$site', verb='all_gather') / (j['steps_since_start'] * $micro * $linear) == 1 and calls('collectives', '$site') == calls('collectives', '$site', axis='sequence', verb='all_gather')"
  done
  summary "$1: the steps' seconds are those of metrics.jsonl" "$2" \
    "abs(sum(x['comm_seconds'] for x in m[-j['steps_since_start']:]) / sum(r['seconds'] for r in j['collectives']) - 1) < 1e-9"
}
train_tiny whole 2 "${run[@]}" train.num_steps=6
summary "six steps" whole "j['steps_since_start'] == 6 and len(m) == 6"
one_each "two ranks" whole
said "a start says which method was chosen" '^sequence over 2 ranks on 1 host: linear layers by lasp2, softmax layers by [a-z_]+$' whole.txt
if grep -Eq '0\.000 ms|\{0\}|x 1 |estimated' whole.txt; then fail "no groups of one rank, no costs of nothing" "$(head -n 4 whole.txt)"; else pass "no groups of one rank, no costs of nothing"; fi
summary "the other collectives are told apart" whole \
  "{r['phase'] for r in j['collectives_elsewhere']} == {'startup', 'reporting', 'evaluation', 'checkpoint', 'sampling'} and all('phase' not in r for r in j['collectives'])"
summary "an evaluation's layers are its own" whole \
  "calls('collectives_elsewhere', 'mixer.forward', phase='evaluation') > 0 and calls('collectives_elsewhere', 'mixer.forward', phase='sampling') > 0 and calls('collectives_elsewhere', 'mixer.backward') == 0"
summary "checkpoints and samples are no steps" whole "calls('collectives', 'checkpoint') == calls('collectives', 'startup') == 0"
train_tiny recomputed 2 "${run[@]}" train.num_steps=3 train.recompute=block
one_each "recompute" recomputed
# The states that arrived are kept: what runs again gathers none.
summary "what is computed again has its own rows" recomputed \
  "calls('collectives', 'recompute') > 0 and calls('collectives', 'recompute', axis='sequence', verb='all_gather') == 0"
train_tiny recomputed 2 "${run[@]}" train.num_steps=7 train.recompute=block
summary "a resumed run counts its own steps" recomputed "j['step'] == 7 and j['steps_since_start'] == 4 and len(m) == 7"
one_each "resumed" recomputed
train_tiny alone 1 train.num_steps=2 train.eval_every=2
one_each "alone" alone
expect "a dry run says what it would cost by others, in a unit that shows it" 0 'estimated wait of a linear layer for other ranks: lasp2 (none|[1-9][0-9.]* us), ' \
  ranks 2 "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" data.train=[text.jsonl] data.eval=[text.jsonl] parallel.sequence=2 --dry-run

# OMP_NUM_THREADS, which is 1 here, is the default of all that has --threads, and an option is stronger.
expect "bench op runs on OMP_NUM_THREADS" 0 '^1 thread; ' "$ONEGATHER" bench op rope
expect "or on what it is told" 0 '^2 threads; ' "$ONEGATHER" bench op rope --threads 2
layer=("$ONEGATHER" bench sequence --heads 1 --head-dim 16 --lengths 256 --methods lasp2 --repeats 1)
expect "bench sequence too" 0 '^1 rank x 3 threads +length ' env OMP_NUM_THREADS=3 "${layer[@]}" --json layer.json
said "and keeps it" '"threads": 3' layer.json
expect "also there an option is stronger" 0 '^1 rank x 2 threads +length ' env OMP_NUM_THREADS=3 "${layer[@]}" --threads 2
expect "without either it has one" 0 '^1 rank x 1 thread +length ' env -u OMP_NUM_THREADS "${layer[@]}"
expect "doctor measures on it" 0 '^f32 products .*1024-cube, 3 threads' env OMP_NUM_THREADS=3 "$ONEGATHER" doctor
for command in mixer "bench sequence"; do
  # shellcheck disable=SC2086  # two words
  expect "$command --help has it as the default" 0 '--threads INT=3 ' env OMP_NUM_THREADS=3 "$ONEGATHER" $command --help
  said "with its reason" 'OMP_NUM_THREADS, else 1' out.txt
done

# Limits are measured beside the op: what busy neighbours take they take from both.
neighbours=()
for _ in 1 2; do
  timeout 120 bash -c 'while :; do :; done' &
  neighbours+=($!)
done
expect "bench op beside two busy neighbours" 0 '^\{.*"ops"' "$ONEGATHER" bench op silu_multiply --threads 2 --json
kill "${neighbours[@]}"
wait "${neighbours[@]}" 2>/dev/null
if report=$(tail -n 1 out.txt | python3 -c "
import json, sys
ops = json.load(sys.stdin)['ops']
assert [o['op'] for o in ops] == ['silu_multiply forward', 'silu_multiply backward'] and all(0 < o[k] <= 1 for o in ops for k in ('gemm_fraction', 'memory_fraction')), ops" 2>&1); then
  pass "no share of a limit is over 100 %"
else
  fail "no share of a limit is over 100 %" "$(tail -n 1 <<<"$report")"
fi
finish
