#!/usr/bin/env bash
# What launch/mpirun.sh takes as its first word, and what it shows of mpirun's words.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 5000 /usr/share/common-licenses/GPL-3 >text.txt
unset OMP_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_btl_vader_single_copy_mechanism # the script's task
launch="$root/launch/mpirun.sh"

# mistake NAME STATUS ARGUMENTS...: the program's status, and its message is the last that is shown.
mistake() {
  local name=$1 status=$2 pattern=$3
  shift 3
  expect "$name" "$status" "$pattern" "$launch" "$@"
  if grep -q '^+ mpirun\|^+ .* mpirun' out.txt && tail -n 1 out.txt | grep -Eq "$pattern" && [ "$(grep -Ec "$pattern" out.txt)" -eq 1 ]; then
    pass "$name: mpirun adds nothing"
  else
    fail "$name: mpirun adds nothing" "$(tail -n 12 out.txt)"
  fi
}
mistake "a misspelt key" 2 'num_step: unknown key; did you mean train.num_steps' tiny.yaml train.num_step=3
mistake "a degree that does not fit" 2 'parallel: data 1 x sequence 3 .* nearest that works on 2 ranks' tiny.yaml parallel.sequence=3
mistake "any other first word is a config" 2 'evall: no such config file' evall run
mistake "an unknown option of eval" 2 'unknown option --dta; did you mean --data' eval run --dta text.txt
expect "train is no first word" 2 'train is what is done without a word' "$launch" train tiny.yaml
mistake "missing data" 3 'absent.txt: no such' tiny.yaml data.train=[absent.txt]

expect "a config: trains" 0 'done: 3 steps' "$launch" tiny.yaml train.num_steps=3
expect "eval" 0 '^tokens +[0-9]+ in [0-9]+ rows of 48' "$launch" eval run --data text.txt
said "eval: on two ranks" '2 ranks over MPI' out.txt
expect "eval: --ranks" 0 '3 ranks over MPI' "$launch" eval run --ranks 3 --data text.txt
expect "generate" 0 '4 tokens, ' "$launch" generate run --prompt the --tokens 4
said "generate: on two ranks" '2 ranks over MPI' out.txt
if [ "$(grep -c '^the' out.txt)" -eq 1 ]; then pass "generate: one speaks"; else fail "generate: one speaks" "$(cat out.txt)"; fi
expect "bench" 0 'tokens a step' "$launch" bench step tiny.yaml --steps 1 --warmup 1
# One process does what has no ranks; --ranks of plan is its own.
expect "data" 0 '^text.tokens: 1 document, 5001 tokens' "$launch" data prepare text.txt --output text.tokens --ranks 3
said "data: by one process" '^\+ .*mpirun -np 1 .* data prepare text.txt --output text.tokens $' out.txt
expect "data under a bare mpirun: by rank 0 alone" 0 '^text.tokens: checks|^text.tokens: 1 document' env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
  mpirun -np 2 --oversubscribe "$ONEGATHER" data inspect text.tokens
if [ "$(grep -c '1 document, 5001 tokens' out.txt)" -eq 1 ]; then pass "data under a bare mpirun: told once"; else fail "data under a bare mpirun: told once" "$(cat out.txt)"; fi
expect "plan" 0 'nodes x|sequence' "$launch" plan tiny.yaml --cluster "$root/configs/clusters/h100.yaml" --ranks 8 --rows 1
said "plan: its own ranks, by one process" '^\+ .*mpirun -np 1 .* plan tiny.yaml .* --ranks 8 $' out.txt
expect "help says what comes first" 0 'bench\|eval\|generate\|plan\|data' "$launch" --help
expect "nothing to do" 2 'launch/mpirun.sh CONFIG' "$launch"

# Only mpirun's own lines are hidden, and only of statuses that the program has explained.
rule=$(printf -- '-%.0s' $(seq 74))
# shown: what is shown of standard input; kept: what of it lies in the run folder; news: what the script is told.
shown() { (. "$root/launch/environment.sh" && . "$root/launch/watch.sh" && rm -f kept news && kept=kept news=news && relay); }
block() {
  printf '%s\n' "$rule" 'Primary job  terminated normally, but 1 process returned' 'a non-zero exit code. Per user-direction, the job has been aborted.' "$rule" "$rule" \
    'mpirun detected that one or more processes exited with non-zero status, thus causing' "$2" 'the job to be terminated. The first process to do so was:' '' \
    '  Process name: [[17271,1],0]' "  Exit code:    $1" "$rule"
}
# same NAME EXPECTED: what was shown is that.
same() { if cmp -s expected shown; then pass "$1"; else fail "$1" "$(diff expected shown)"; fi; }
{ echo before; block 2 'error: a line of the program'; printf '%s\n' '----' after; } | shown >shown
printf '%s\n' before 'error: a line of the program' ---- after >expected
same "a line of the program within the block is shown"
{ block 139 ''; } | shown >shown
block 139 '' | tail -n +5 >expected
same "another program's status is shown"
printf '%s\n' "$rule" 'mpirun noticed that process rank 1 with PID 7 on node x exited on signal 9 (Killed).' "$rule" >expected
shown <expected >shown
same "a rank ended by a signal is shown"
printf 'a bar 1/2\ra bar 2/2' >expected
shown <expected >shown
same "text without a newline at the end"
# What the program tells the script is not shown, also where a bar stands before it.
printf 'a bar 1/2\x1eonegather failed\n\ra bar 2/2\nnext\n\x1eonegather folder a b/x\n' | shown >shown
printf 'a bar 1/2\ra bar 2/2\nnext\n' >expected
same "what the script is told is not shown"
printf 'failed\nfolder a b/x\n' | cmp -s - news && pass "it is told" || fail "it is told" "$(cat news)"
printf 'a bar 2/2\nnext\n' | cmp -s - kept && pass "bars are not kept" || fail "bars are not kept" "$(cat kept)"
# The bar does not wait for its newline, which is written when the bar has been seen.
mkfifo bar seen
(printf 'step 1'; read -r _ <seen; printf '\rstep 2\n') >bar &
shown <bar >shown &
child=$!
if awaits "the bar goes on at once" test -s shown; then
  if [ "$(cat shown)" = 'step 1' ]; then pass "the bar goes on at once"; else fail "the bar goes on at once" "$(cat shown)"; fi
fi
echo >seen
wait
child=''

# The scripts are told by lines of their own: a program whose every log line reads otherwise is launched, watched and stopped as this one.
cat >other-words <<'END'
#!/usr/bin/env bash
exec "$REAL" "$@" 2> >(trap '' USR1; exec sed -u '/^\x1e/!y/abcdefghijklmnopqrstuvwxyz/bcdefghijklmnopqrstuvwxyza/' >&2)
END
chmod +x other-words
expect "told where a script listens" 0 $'^\x1eonegather folder run$' env ONEGATHER_RUN=1 "$ONEGATHER" train tiny.yaml --dry-run
expect "not told to a person" 0 '^mesh' "$ONEGATHER" train tiny.yaml --dry-run
if grep -q $'\x1e' out.txt; then fail "no line for scripts" "$(grep $'\x1e' out.txt)"; else pass "no line for scripts"; fi
export REAL=$ONEGATHER
ONEGATHER="$PWD/other-words" ONEGATHER_START_SECONDS=3 ONEGATHER_TEST_PAUSE=2 "$launch" tiny.yaml "$endless" run.dir=reworded >reworded.txt 2>&1 &
child=$!
after reworded/metrics.jsonl 2
sleep 4
kill -TERM $child
wait $child
status "other words: not ended at its start, 130 when stopped" 130 $? reworded.txt
said "other words: what was shown lies in the run folder" '^tupqqfe bu tufq [0-9]+ ' reworded/launch.log
child=''
# An mpirun that does not end: because of a failure that was told, and where a person alone can read of one.
mkdir stuck
cat >stuck/mpirun <<'END'
#!/usr/bin/env bash
printf '\x1eonegather ranks 2\n%b' "$TELL" >&2
exec sleep "$LASTS"
END
chmod +x stuck/mpirun
PATH=$PWD/stuck:$PATH LASTS=60 TELL='\x1eonegather failed\n' "$launch" tiny.yaml >told.txt 2>&1 &
told=$!
PATH=$PWD/stuck:$PATH LASTS=8 TELL='onegather: rank 1 failed and stops the others: x\n2 ranks over MPI\n' "$launch" tiny.yaml >read.txt 2>&1
status "what people read ends nothing" 0 $? read.txt
wait $told
status "a failure that is told ends mpirun" 5 $? told.txt
said "and says so" 'mpirun does not end within 5 s of the failure' told.txt

# Shared memory of a job is removed by the name that Open MPI gives it, with no zeros before the number.
segments=(/dev/shm/vader_segment.test$$.$(id -u).{abcd.0,abcd.1,abcde.0,0000abcd.0})
touch "${segments[@]}"
(. "$root/launch/watch.sh" && job=$((0xabcd)) && remove_segments)
if [ ! -e "${segments[0]}" ] && [ ! -e "${segments[1]}" ] && [ -e "${segments[2]}" ] && [ -e "${segments[3]}" ]; then
  pass "shared memory of this job alone is removed"
else
  fail "shared memory of this job alone is removed" "left: $(ls "${segments[@]}" 2>/dev/null)"
fi
rm -f "${segments[@]}"
finish
