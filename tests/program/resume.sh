#!/usr/bin/env bash
# A resumed run is the uninterrupted run: to the last digit at the same layout in every precision, to rounding at another; what a crash leaves
# in metrics.jsonl is cut; --init takes weights alone.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
steps=12
train=("$ONEGATHER" train tiny.yaml train.num_steps=$steps)
layout=(parallel.sequence=2 parallel.expert=2)

# steps_are NAME FILE: its steps are 1 to the last, each once.
steps_are() {
  if cmp -s <(column step "$2") <(seq $steps); then pass "$1"; else fail "$1" "steps: $(column step "$2" | tr '\n' ' ')"; fi
}
# same NAME A B: equal losses and gradient norms to the last digit.
same() {
  if [ "$(column loss "$2" | wc -l)" -eq $steps ] && cmp -s <(column loss "$2") <(column loss "$3") &&
    cmp -s <(column grad_norm "$2") <(column grad_norm "$3"); then
    pass "$1"
  else
    fail "$1" "$(diff <(column loss "$2") <(column loss "$3") | head -n 4)"
  fi
}
# from STEP RUN COPY: the run as it was when it had saved that step and then crashed: later checkpoints gone, later lines of metrics there,
# the last one torn.
from() {
  rm -rf "$3"
  cp -r "$2" "$3"
  local checkpoint
  for checkpoint in "$3"/checkpoints/*; do
    [ "$(basename "$checkpoint" | tr -dc 0-9 | sed 's/^0*//')" -gt "$1" ] && rm -r "$checkpoint"
  done
  rm -f "$3/summary.json"
  head -n $(($1 + 2)) "$2/metrics.jsonl" >"$3/metrics.jsonl"
  printf '{"step": %d, "loss": 5.1' $(($1 + 3)) >>"$3/metrics.jsonl"
}

for precision in f64 f32 bf16; do
  for n in 1 2; do
    keys=(train.precision=$precision checkpoint.every=4 checkpoint.keep=9)
    [ $n -eq 2 ] && keys+=("${layout[@]}")
    name=$precision-$n
    expect "$name trains" 0 'done' ranks $n "${train[@]}" run.dir="$name" "${keys[@]}"
    from 4 "$name" "$name-from4"
    expect "$name goes on from step 4" 0 'resumed.*step 4' ranks $n "${train[@]}" run.dir="$name-from4" "${keys[@]}"
    steps_are "$name: lines after step 4 and the torn one were cut" "$name-from4/metrics.jsonl"
    same "$name: the losses of the uninterrupted run" "$name/metrics.jsonl" "$name-from4/metrics.jsonl"
    from 8 "$name-from4" "$name-from8"
    expect "$name goes on again, from step 8" 0 'resumed.*step 8' ranks $n "${train[@]}" run.dir="$name-from8" "${keys[@]}"
    same "$name: resumed twice" "$name/metrics.jsonl" "$name-from8/metrics.jsonl"
  done
done

# Saved on two sequence ranks with the experts over them, loaded elsewhere.
from 4 f64-2 cut
for other in "1" "2 parallel.tensor=2" "2 parallel.data=2" "3 parallel.sequence=3" "4 parallel.sequence=2 parallel.tensor=2 parallel.expert=4"; do
  read -r n keys <<<"$other"
  rm -rf moved && cp -r cut moved
  # shellcheck disable=SC2086
  expect "moves to $n ranks $keys" 0 'resumed.*step 4' ranks "$n" "${train[@]}" run.dir=moved $keys
  close "and goes on with the same losses, $n ranks $keys" loss 1e-9 f64-2/metrics.jsonl moved/metrics.jsonl
done

# A folder has its final name only when it is whole, so one without its index was damaged: it is refused, not passed over in silence.
from 8 f64-1 damaged
newest=$(ls -d damaged/checkpoints/*/ | sort | tail -n 1)
rm "$newest/index.json"
expect "a checkpoint without its index is refused by name" 3 "$(basename "$newest")" "${train[@]}" run.dir=damaged

expect "a finished run says so" 0 'finished|already|complete' "${train[@]}" run.dir=f64-1
expect "--init starts at step 0" 0 'done' "${train[@]}" run.dir=begun --init f64-1
steps_are "with its own steps" begun/metrics.jsonl
first=$(column loss begun/metrics.jsonl | head -n 1) fresh=$(column loss f64-1/metrics.jsonl | head -n 1)
if awk -v a="$first" -v b="$fresh" 'BEGIN { exit !(a > 0 && a < b - 0.1) }'; then
  pass "from the trained weights"
else
  fail "from the trained weights" "first loss $first, untrained $fresh"
fi
expect "--init of nothing" 3 'nowhere' "${train[@]}" run.dir=other --init nowhere

# A branch: --resume of an earlier checkpoint in its own folder. What lies above is set aside by name; the same command and a plain start go on
# with the branch, and its newest save is kept whatever checkpoint.keep says.
branch=("$ONEGATHER" train tiny.yaml train.precision=f64 checkpoint.every=1)
saved() { (cd "$1/checkpoints" && ls -d step-* | tr -dc '0-9\n' | sed 's/^0*//' | tr '\n' ' '); }
# holds NAME RUN STEPS
holds() { if [ "$(saved "$2")" = "$3 " ]; then pass "$1"; else fail "$1" "found $(saved "$2"), expected $3"; fi; }
cp -r f64-1 branched
rewind=("${branch[@]}" run.dir=branched checkpoint.keep=1 --resume branched/checkpoints/step-00000004)
expect "--dry-run says what would happen" 0 'set aside when the run begins: branched/checkpoints/step-00000012' "${rewind[@]}" train.num_steps=6 --dry-run
holds "and changes nothing" branched "4 8 12"
expect "--resume of an earlier checkpoint sets aside what lies above" 0 'set aside: 2 checkpoints .*abandoned-at-step-00000004' "${rewind[@]}" train.num_steps=6
holds "its newest save stays" branched 6
steps=6 steps_are "its metrics are the branch's" branched/metrics.jsonl
expect "what was set aside is whole" 0 'all as saved' "$ONEGATHER" inspect branched/checkpoints/abandoned-at-step-00000004/step-00000012
steps_are "with its metrics" branched/checkpoints/abandoned-at-step-00000004/metrics.jsonl
expect "the same command goes on with the branch, its source being gone" 0 'resumed from branched/checkpoints/step-00000006' "${rewind[@]}" train.num_steps=8
expect "so does a plain start" 0 'resumed from branched/checkpoints/step-00000008' "${branch[@]}" run.dir=branched train.num_steps=12
steps_are "and every step is there once" branched/metrics.jsonl

# A checkpoint of one folder resumed into another: the same command goes on there; another run's checkpoints do not pass for its own.
into=("${branch[@]}" run.dir=into --resume f64-1/checkpoints/step-00000004)
expect "resumed into another folder" 0 'resumed from f64-1' "${into[@]}" train.num_steps=6
expect "on two ranks the same command goes on from its own progress" 0 'resumed from into/checkpoints/step-00000006' ranks 2 "${into[@]}" train.num_steps=8 "${layout[@]}"
cp -r f64-1/checkpoints/step-00000004 moved-away
expect "a copy of what was named is the same" 0 'resumed from into/checkpoints/step-00000008' "${branch[@]}" run.dir=into --resume moved-away train.num_steps=9
expect "another checkpoint is not: it begins there" 0 'resumed from f64-1/checkpoints/step-00000008' "${branch[@]}" run.dir=into --resume f64-1/checkpoints/step-00000008 train.num_steps=10
said "and sets aside what does not descend from it" 'set aside: 2 checkpoints.*step-00000009' out.txt
expect "--init with checkpoints says what it does" 0 'the run began with these weights and goes on from begun' "${branch[@]}" run.dir=begun train.num_steps=13 --init f64-1
expect "and with those of another run" 0 'init f64-2 is not used: begun holds checkpoints' "${branch[@]}" run.dir=begun train.num_steps=14 --init f64-2
expect "beside --resume" 0 'init f64-2 is not used: the checkpoint of --resume' "${branch[@]}" run.dir=both train.num_steps=5 --resume f64-1/checkpoints/step-00000004 --init f64-2

# A mistake leaves no folder; files may lie elsewhere if their content is the same, whatever bytes are in their names.
for wrong in "--resume f64-1/checkpoints/step-5" "--init nowhere" "--resume nowhere --dry-run" "--resume f64-1 train.seed=9"; do
  # shellcheck disable=SC2086
  expect "refused: $wrong" 3 '(--resume|--init) [^ ]+: no such folder$|train.seed' "${branch[@]}" run.dir=mistyped $wrong
done
expect "a step without its zeros: the name that is meant" 3 'step-8: no such folder; did you mean f64-1/checkpoints/step-00000008\?$' \
  "${branch[@]}" run.dir=mistyped --resume f64-1/checkpoints/step-8
if [ -e mistyped ]; then fail "and no folder is made" "$(ls mistyped)"; else pass "and no folder is made"; fi
for none in '""' '"  "'; do expect "run.dir of no name: $none" 2 'run.dir: expected a folder' "${branch[@]}" run.dir="$none"; done
strange=$(printf 'caf\351.txt')
cp text.txt "$strange"
expect "a file name that is not UTF-8" 0 'done' "${branch[@]}" run.dir=strange "data.train=[$strange]" train.num_steps=1
expect "survives the checkpoint" 0 'resumed from strange' "${branch[@]}" run.dir=strange "data.train=[$strange]" train.num_steps=2
if LC_ALL=C grep -aq '^changed.*data.train' out.txt; then fail "as the same name" "$(tail -n 5 out.txt)"; else pass "as the same name"; fi
LC_ALL=C expect "the same data at another path is said" 0 'changed since the checkpoint: data.train.*text.txt' "${branch[@]}" run.dir=strange "data.train=[$PWD/text.txt]" train.num_steps=3
expect "once" 0 'resumed' "${branch[@]}" run.dir=strange "data.train=[$PWD/text.txt]" train.num_steps=4
if grep -aq '^changed.*data.train' out.txt; then fail "not again" "$(tail -n 5 out.txt)"; else pass "not again"; fi
head -c 19000 text.txt >fewer.txt
expect "other data is refused" 3 'data.train.*not what the checkpoint' "${branch[@]}" run.dir=strange data.train=[fewer.txt] train.num_steps=5
finish
