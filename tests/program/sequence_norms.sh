#!/usr/bin/env bash
# parallel.sequence_norms: hidden states cut over the tensor ranks between blocks give the losses and gradient norms of one rank, move
# no more bytes and need less memory; a run goes on with the setting changed.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
train=("$ONEGATHER" train tiny.yaml)
norms=parallel.sequence_norms=true

expect "one rank trains" 0 'done' "${train[@]}" run.dir=one $norms
layouts=(
  "2 parallel.tensor=2" "4 parallel.tensor=4 parallel.expert=2"
  "8 parallel.data=2 parallel.sequence=2 parallel.tensor=2 parallel.expert=4 parallel.zero=1"
)
[ "${ONEGATHER_FULL:-0}" = 1 ] && layouts+=(
  "4 parallel.sequence=2 parallel.tensor=2 parallel.expert=4 train.recompute=block" "4 parallel.data=2 parallel.tensor=2 train.micro_batch_size=2"
  "8 parallel.data=2 parallel.tensor=4 parallel.expert=8" "6 parallel.sequence=3 parallel.tensor=2 parallel.expert=2"
)
for layout in "${layouts[@]}"; do
  read -r n keys <<<"$layout"
  # shellcheck disable=SC2086
  expect "$n ranks $keys" 0 'done' ranks "$n" "${train[@]}" run.dir=run-"$n" $norms $keys
  close "loss of one rank" loss 1e-9 one/metrics.jsonl run-"$n"/metrics.jsonl
  close "gradient norm of one rank" grad_norm 1e-9 one/metrics.jsonl run-"$n"/metrics.jsonl
  rm -rf last && mv run-"$n" last
done

# A micro step large enough that hidden states weigh more than weights: bytes over the tensor axis, peak memory.
measured=("$ONEGATHER" train tiny.yaml train.precision=f32 train.num_steps=3 data.sequence_length=512 train.tokens_per_step=2048 train.micro_batch_size=4
  parallel.tensor=2 model.hidden_size=64)
for value in false true; do
  expect "measured with sequence_norms $value" 0 'done' ranks 2 "${measured[@]}" parallel.sequence_norms=$value run.dir=measured-$value
done
tensor_bytes() {
  tr -d ' \n' <"$1/summary.json" | grep -o '{"axis":"tensor"[^}]*"site":"tensor[^}]*}' | sed 's/.*"bytes":\([0-9]*\).*/\1/' | awk '{ s += $1 } END { print s + 0 }'
}
peak() { tr -d ' \n' <"$1/summary.json" | grep -o '"peak_memory_bytes":[0-9]*' | cut -d: -f2; }
for what in tensor_bytes peak; do
  without=$($what measured-false) with=$($what measured-true)
  if [ "$with" -gt 0 ] && [ "$with" -lt "$without" ]; then
    pass "$what: $with, $without without"
  else
    fail "$what falls" "$with, $without without"
  fi
done

expect "half a run" 0 'done' ranks 2 "${train[@]}" run.dir=moved parallel.tensor=2 $norms checkpoint.every=10 checkpoint.keep=9
rm -r moved/checkpoints/step-00000020 moved/summary.json
expect "goes on without" 0 'resumed.*step 10' ranks 2 "${train[@]}" run.dir=moved parallel.data=2
close "with the same losses" loss 1e-9 one/metrics.jsonl moved/metrics.jsonl
finish
