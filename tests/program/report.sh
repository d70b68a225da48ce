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
said "small costs have a unit in which they are seen" 'a layer: .*lasp2 [0-9.]+ us' whole.txt
if grep -Eq '0\.000 ms|\{0\}|x 1 ' whole.txt; then fail "no groups of one rank, no costs of nothing" "$(head -n 4 whole.txt)"; else pass "no groups of one rank, no costs of nothing"; fi
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
expect "bench op runs on OMP_NUM_THREADS" 0 '^1 threads; ' "$ONEGATHER" bench op rope
expect "or on what it is told" 0 '^2 threads; ' "$ONEGATHER" bench op rope --threads 2
finish
