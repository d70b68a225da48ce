#!/usr/bin/env bash
# ZeRO-1: the losses and gradient norms of one rank at every layout, moments on each rank a fraction of what they were, and
# checkpoints that load with parallel.zero 0 and 1 at any layout.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
train=("$ONEGATHER" train tiny.yaml train.max_grad_norm=0.5)

expect "one rank trains" 0 'done' "${train[@]}" run.dir=one
if column grad_norm one/metrics.jsonl | awk '$1 > 0.5 { n++ } END { exit !(n > 5) }'; then
  pass "clipping is active"
else
  fail "clipping is active" "$(column grad_norm one/metrics.jsonl | tr '\n' ' ')"
fi

layouts=(
  "2 parallel.data=2" "4 parallel.data=2 parallel.sequence=2 parallel.expert=2"
  "8 parallel.data=2 parallel.sequence=2 parallel.tensor=2 parallel.expert=2"
)
[ "${ONEGATHER_FULL:-0}" = 1 ] && layouts+=(
  "2 parallel.sequence=2 parallel.expert=2" "2 parallel.tensor=2" "3 parallel.sequence=3"
  "4 parallel.data=2 parallel.tensor=2 parallel.expert=4" "8 parallel.data=4 parallel.sequence=2 parallel.expert=4"
)
for layout in "${layouts[@]}"; do
  read -r n keys <<<"$layout"
  name=zero-$(tr -dc '0-9a-z=' <<<"$keys" | tr = -)
  # shellcheck disable=SC2086
  expect "$n ranks $keys" 0 'done' ranks "$n" "${train[@]}" parallel.zero=1 run.dir="$name" $keys
  close "loss of one rank" loss 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
  close "gradient norm of one rank" grad_norm 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
done
summary=$name/summary.json
for verb in reduce_scatter:gradients all_gather:weights; do
  if tr -d ' \n' <"$summary" | grep -q "\"verb\":\"${verb%:*}\",\"site\":\"${verb#*:}\""; then
    pass "counted: $verb"
  else
    fail "counted: $verb" "$(grep -c site "$summary") rows"
  fi
done

# Saved with one setting after 10 of 20 steps, gone on with the other on fewer ranks, and back.
part() { # NAME RANKS key=value...: to step 10, as if it had crashed after the save
  local name=$1 n=$2
  shift 2
  expect "$name: saves at step 10" 0 'done' ranks "$n" "${train[@]}" run.dir="$name" checkpoint.every=10 checkpoint.keep=9 "$@"
  rm -r "$name"/checkpoints/step-00000020 "$name/summary.json"
}
part four 4 parallel.zero=1 parallel.data=2 parallel.sequence=2 parallel.expert=2
part two 2 parallel.zero=0 parallel.sequence=2
cp -r four four-again
for move in "four 2 parallel.zero=0 parallel.data=2" "two 4 parallel.zero=1 parallel.sequence=2 parallel.tensor=2 parallel.expert=4" \
  "four-again 3 parallel.zero=1 parallel.sequence=3"; do
  read -r name n keys <<<"$move"
  # shellcheck disable=SC2086
  expect "$name goes on with $n ranks $keys" 0 'resumed.*step 10' ranks "$n" "${train[@]}" run.dir="$name" $keys
  close "with the same losses" loss 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
  close "and gradient norms" grad_norm 1e-9 one/metrics.jsonl "$name/metrics.jsonl"
done

# moments FILE: what the plan says this rank holds of them, in bytes.
moments() { sed -n 's/.* and \([0-9.]* [KMG]\?i\?B\) of AdamW.*/\1/p' "$1" | tr -d ' ' | sed 's/B$//' | numfmt --from=auto; }
for zero in 0 1; do
  ranks 4 "$ONEGATHER" train tiny.yaml --dry-run parallel.data=4 parallel.zero=$zero >plan-$zero.txt 2>&1
done
whole=$(moments plan-0.txt) piece=$(moments plan-1.txt)
if awk -v a="$whole" -v b="$piece" 'BEGIN { exit !(a > 0 && b > 0 && a / b > 3.95 && a / b < 4.05) }'; then
  pass "the plan: $piece bytes of moments on each of 4 ranks, $whole without"
else
  fail "the plan tells the moments of each rank" "$whole" "$piece" "$(grep AdamW plan-?.txt)"
fi
expect "stages 2 and 3 are refused by name" 2 'parallel.zero' "${train[@]}" parallel.zero=2
finish
