#!/usr/bin/env bash
# Preparation through the real program: long lines in tokenizer training, the same file at any number of threads, progress, flat memory, and
# what Ctrl-C and SIGTERM leave behind.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
data=("$ONEGATHER" data)
head -c 30000 /usr/share/common-licenses/GPL-3 >text.txt

# Tokenizer training uses what it says it uses.
tr '\n' ' ' <text.txt >long.txt # one line, seven times what the library takes
expect "a long line is used in parts" 0 'trained on 1 lines, 30000 bytes; 1 long lines taken in parts' \
  "${data[@]}" prepare long.txt --train-tokenizer long --vocab-size 400
expect "and gives as many pieces as asked for" 0 '400 pieces \(400 asked for\)' "${data[@]}" prepare long.txt --train-tokenizer long --vocab-size 400
{ cat text.txt; printf '\na line with \xe2\x96\x85 in it\n'; } >reserved.txt
expect "a line that the library cannot take is told" 0 '; 1 lines, 21 bytes left out' "${data[@]}" prepare reserved.txt --train-tokenizer reserved --vocab-size 400
yes 'one two three' | head -n 1000001 >lines.txt
expect "the library's warnings are passed on" 0 'warning: SentencePiece: Too many sentences are loaded' "${data[@]}" prepare lines.txt --train-tokenizer lines --vocab-size 270
if ls ./*.part >/dev/null 2>&1; then fail "nothing temporary is left" "$(ls ./*.part)"; else pass "nothing temporary is left"; fi

# The same bits at any number of threads.
for i in $(seq 40); do tail -c +$((i * 97)) text.txt; done >many.txt
for i in $(seq 3000); do printf '{"text": "%s line %d of many"}\n' "$(((i * i) % 977))" "$i"; done >many.jsonl
for tokenizer in bytes sentencepiece:long.model; do
  for threads in 1 2 5; do
    expect "$tokenizer on $threads threads" 0 '3001 documents' env OMP_NUM_THREADS=$threads "${data[@]}" prepare many.txt many.jsonl --tokenizer $tokenizer --output $threads.tokens
  done
  cmp -s 1.tokens 2.tokens && cmp -s 1.tokens 5.tokens && pass "$tokenizer: one file" || fail "$tokenizer: one file"
done

# Memory does not grow with the text: 111 bytes a byte would be 3.5 GiB for the larger.
peak() { ( ulimit -v 1000000; "${data[@]}" prepare "$1" --tokenizer sentencepiece:long.model --output "$1.tokens" ) >"$1.log" 2>&1; status "$1 in 1 GB of address space" 0 $? "$1.log"; }
for i in $(seq 8); do cat many.txt; done >text8.txt
for i in 1 2 3 4; do cat text8.txt; done >text32.txt
peak text8.txt
peak text32.txt
said "progress says the time left" 'preparing text32.txt: [0-9]+% of [0-9.]+ MiB  [0-9.]+ [KM]iB/s  ETA 0:' text32.txt.log
ONEGATHER_COLUMNS=80 "${data[@]}" prepare text8.txt --tokenizer sentencepiece:long.model --output bar.tokens >bar.txt 2>&1
if [ "$(tr '\r' '\n' <bar.txt | grep -c 'ETA')" -gt 3 ] && [ "$(grep -c '' bar.txt)" -eq 1 ]; then
  pass "on a terminal it is one line, rewritten"
else
  fail "on a terminal it is one line, rewritten" "$(tr '\r' '\n' <bar.txt | tail -n 5)"
fi

# until_there FILE: waits until a file matches.
until_there() { for _ in $(seq 600); do compgen -G "$1" >/dev/null && return; sleep 0.05; done; fail "$1 appears within half a minute"; }
rm -f text32.txt.tokens
for signal in INT TERM USR1; do
  (trap - INT; exec "${data[@]}" prepare text32.txt --tokenizer sentencepiece:long.model --output stopped.tokens) >stopped.txt 2>&1 </dev/null &
  pid=$!
  until_there 'stopped.tokens.*.part'
  kill -$signal $pid
  before=$(date +%s)
  wait $pid
  status "SIG$signal ends preparation with 130" 130 $? stopped.txt
  within "at once" $(($(date +%s) - before)) 3
  if compgen -G 'stopped*.part' >/dev/null || [ -e stopped.tokens ]; then fail "nothing is left" "$(ls stopped*)"; else pass "nothing is left"; fi
done
"${data[@]}" prepare text32.txt --train-tokenizer half --vocab-size 8000 >half.txt 2>&1 </dev/null &
pid=$!
sleep 1.5 # anywhere in reading or training
kill -TERM $pid
wait $pid
status "SIGTERM ends the training of a tokenizer" 130 $? half.txt
if compgen -G 'half.model*' >/dev/null; then fail "without half a model"; else pass "without half a model"; fi

# First use inside train, alone and under mpirun.
train=("$ONEGATHER" train tiny.yaml train.num_steps=2 data.tokenizer=sentencepiece:long.model data.train=text32.txt)
export ONEGATHER_CACHE=$work/cache
"${train[@]}" run.dir=alone >alone.txt 2>&1 </dev/null &
pid=$!
until_there 'cache/*.part'
kill -TERM $pid
wait $pid
status "SIGTERM during first use in train" 130 $? alone.txt
said "which says what it was" 'interrupted while data was prepared' alone.txt
mpirun -np 2 --oversubscribe --bind-to none "${train[@]}" run.dir=two >two.txt 2>&1 </dev/null &
pid=$!
until_there 'cache/*.part'
kill -USR1 $pid # mpirun passes it on to its ranks
wait $pid
status "and under mpirun" 130 $? two.txt
if compgen -G 'cache/*' >/dev/null; then fail "nothing half made is in the cache" "$(ls cache)"; else pass "nothing half made is in the cache"; fi
finish
