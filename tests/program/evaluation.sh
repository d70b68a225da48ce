#!/usr/bin/env bash
# What losses mean: every target of the files once, the same number by train and eval and at every layout; what is left out or not used is said;
# texts begin where documents do.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
licenses=/usr/share/common-licenses
head -c 20000 $licenses/GPL-3 >text.txt
for i in $(seq 1 9); do tail -c +$((i * 900)) $licenses/GPL-3 | head -c $((i * 37 + 11)) >part$i.txt; done
train=("$ONEGATHER" train tiny.yaml train.num_steps=4 data.eval=[part*.txt] train.eval_every=2)
value() { grep -E "^$1 " out.txt | head -n 1 | tr -s ' ' | cut -d' ' -f2; }
# same NAME A B BOUND: two numbers.
same() { if awk -v a="$2" -v b="$3" -v e="$4" 'BEGIN { d = a - b; exit !(a > 0 && d <= e && -d <= e) }'; then pass "$1 ($2)"; else fail "$1" "$2 and $3"; fi; }

# eval_loss of a run, over all rows, is what eval prints; some rows are the same rows at every layout.
expect "a run that evaluates all" 0 'evaluation: every 2 steps, 37 of 37 rows of data.eval$' "${train[@]}" train.eval_rows=0 run.dir=all
expect "eval of the same files" 0 'tokens +1773 in 37 rows of 48' "$ONEGATHER" eval all --data part*.txt
same "is the same number" "$(value loss)" "$(column eval_loss all/metrics.jsonl | tail -n 1)" 0.000001
same "the summary has it too" "$(column eval_loss all/summary.json | tail -n 1)" "$(column eval_loss all/metrics.jsonl | tail -n 1)" 0
expect "a run that evaluates seven rows" 0 'evaluation: every 2 steps, 7 of 37 rows of data.eval, spread evenly' "${train[@]}" train.eval_rows=7 run.dir=seven
for keys in "2 parallel.data=2" "2 parallel.sequence=2" "4 parallel.data=2 parallel.tensor=2"; do
  read -r n layout <<<"$keys"
  name=${layout//[^a-z0-9]/}
  # shellcheck disable=SC2086
  expect "$layout runs" 0 'done' ranks "$n" "${train[@]}" train.eval_rows=7 run.dir="$name" $layout
  close "the same evaluation at $layout" eval_loss 1e-9 seven/metrics.jsonl "$name/metrics.jsonl"
done
if [ "$(column eval_loss seven/metrics.jsonl | tail -n 1)" != "$(column eval_loss all/metrics.jsonl | tail -n 1)" ]; then
  pass "seven rows are not all"
else
  fail "seven rows are not all"
fi

# A short file has a loss: what fills the row counts for nothing.
head -c 500 text.txt >short.txt
expect "500 bytes in rows of 48" 0 'tokens +501 in 11 rows of 48' "$ONEGATHER" eval all --data short.txt
expect "500 bytes in one row" 0 'tokens +501 in 1 row of 2048' "$ONEGATHER" eval all --data short.txt --length 2048
filled=$(value loss)
expect "and in a row that they fill" 0 'tokens +501 in 1 row of 501' "$ONEGATHER" eval all --data short.txt --length 501
same "the same loss" "$filled" "$(value loss)" 0
tokens=$(sed -n '/position/,$p' out.txt | awk 'NR > 1 { n += $4 } END { print n }')
same "the positions hold all tokens" "$tokens" 501 0

# Files together are the sum of the files alone: documents do not see each other, and none is counted twice or left out.
sum=0 count=0
for i in 1 4 9; do
  expect "part$i alone" 0 'loss' "$ONEGATHER" eval all --data part$i.txt --length 400
  n=$(value tokens)
  sum=$(awk -v s="$sum" -v n="$n" -v l="$(value loss)" 'BEGIN { printf "%.9f", s + n * l }') count=$((count + n))
done
expect "three files" 0 "tokens +$count in 2 rows of 400" "$ONEGATHER" eval all --data part1.txt part4.txt part9.txt --length 400
expect "three files in one row" 0 "tokens +$count in 1 row of 2000" "$ONEGATHER" eval all --data part1.txt part4.txt part9.txt --length 2000
same "the loss of three files" "$(value loss)" "$(awk -v s="$sum" -v n="$count" 'BEGIN { printf "%.9f", s / n }')" 0.000002

# What is left out, empty or not used is said.
short=("$ONEGATHER" train tiny.yaml train.num_steps=1 train.precision=f32)
expect "the tail that fills no row" 0 'data.train: 33 of 20001 tokens are left out of every epoch: they fill no row of 48' "${short[@]}" run.dir=tail
expect "data.eval without eval_every" 0 'data.eval is given, but train.eval_every is 0' "${short[@]}" run.dir=never
expect "eval_every without data.eval" 0 'train.eval_every is 3, but no data.eval' "${short[@]}" run.dir=nothing data.eval=[] train.eval_every=3
{ printf '{"text": ""}\n{"text": ""}\n'; printf '{"text": "%s"}\n' "$(head -c 3000 text.txt | tr -dc 'a-z ')"; } >some.jsonl
printf '{"text": ""}\n%.0s' $(seq 500) >empty.jsonl
expect "empty documents" 0 'data.train: 2 of 3 documents are empty' "${short[@]}" run.dir=some data.train=[some.jsonl]
expect "nothing but empty documents" 3 'data.train: all documents \(500\) are empty' "${short[@]}" run.dir=empty data.train=[empty.jsonl]
expect "a weight in data.eval" 2 'data.eval: text.txt: weights mix the rows of data.train' "${short[@]}" run.dir=weight 'data.eval=[{path: text.txt, weight: 2}]'

# The first token of a document is learned: from an empty prompt, and from the beginning of one, a model of one line says it and stops.
for i in $(seq 200); do echo '{"text": "Zebras graze."}'; done >zebras.jsonl
expect "learns a line" 0 'done' "${short[@]}" run.dir=zebras data.train=[zebras.jsonl] data.eval=[zebras.jsonl] train.num_steps=60 train.optimizer.learning_rate=1.0e-2
for prompt in "" Zeb; do
  "$ONEGATHER" generate zebras --prompt "$prompt" --tokens 60 --temperature 0 >said.txt 2>out.txt </dev/null
  status "generates from '$prompt'" 0 $? out.txt
  if [ "$(cat said.txt)" = "Zebras graze." ]; then pass "the line, and nothing after it"; else fail "the line, and nothing after it" "$(cat said.txt)"; fi
done
said "the drawn end of the document counts, and ends the text" '^.*11 tokens,' out.txt
if [ "$(grep -A 1 'sample 1' zebras/samples.txt | tail -n 1)" = "Zebras graze.>>>" ]; then
  pass "the sample of the run is prompted with one document, and ends there too"
else
  fail "the sample of the run is prompted with one document, and ends there too" "$(cat zebras/samples.txt)"
fi
finish
