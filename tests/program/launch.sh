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
mistake "a misspelt key" 2 'num_step: unknown key; did you mean num_steps' tiny.yaml train.num_step=3
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
shown() { (. "$root/launch/watch.sh" && without_block); }
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
# The bar does not wait for its newline.
mkfifo bar
(printf 'step 1'; sleep 3; printf '\rstep 2\n') >bar &
shown <bar >shown &
for _ in $(seq 100); do [ -s shown ] && break; sleep 0.02; done
if [ "$(cat shown)" = 'step 1' ]; then pass "the bar goes on at once"; else fail "the bar goes on at once" "$(cat shown)"; fi
wait
finish
