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
finish
