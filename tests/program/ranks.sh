#!/usr/bin/env bash
# What happens to a run: interrupted, a rank killed, all killed while saving, resumed elsewhere, ranks that disagree, numbers that go bad.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
unset OMP_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_btl_vader_single_copy_mechanism # the script's task
launch=("$root/launch/mpirun.sh" tiny.yaml --ranks 2 parallel.sequence=2 parallel.expert=2 train.num_steps=80 checkpoint.every=7)

# ranks_of PID: the processes of the ranks that a launch/mpirun.sh started.
ranks_of() { pgrep -P "$(pgrep -P "$1" -x mpirun)"; }
# same NAME A B: the losses of two runs are equal to the last digit.
same() {
  if [ "$(lines "$2")" -ge 80 ] && cmp -s <(column loss "$2") <(column loss "$3"); then
    pass "$1"
  else
    fail "$1" "$(lines "$2") and $(lines "$3") lines" "$(diff <(column loss "$2") <(column loss "$3") | head -n 4)"
  fi
}

expect "launch/mpirun.sh trains on two ranks" 0 'done' "${launch[@]}" run.dir=whole
said "what was shown lies in the run folder" '^done: 80 steps' whole/launch.log
mkdir "a b"
"$root/launch/mpirun.sh" tiny.yaml --ranks 2 train.num_steps=2 "run.dir=a b/x" 2>printed.txt
rm -r "a b"
expect "the printed command can be pasted" 0 'done: 2 steps' env -u OMPI_ALLOW_RUN_AS_ROOT -u OMPI_ALLOW_RUN_AS_ROOT_CONFIRM bash -c "$(sed -n 's/^+ //p' printed.txt)"
# lscpu of a machine with two memory nodes of two cores: each rank gets cores of its own if the run takes most of them; too many ranks share them all.
mkdir numa
printf '#!/bin/sh\nfor i in 0 1 2 3; do echo $i,$i,$((i %% 2)); done\n' >numa/lscpu
chmod +x numa/lscpu
binding() { (PATH=$PWD/numa:$PATH && . "$root/launch/environment.sh" && processors=4 && binding_of "$@" && echo "${binding[*]}"); }
expect "ranks are bound near their memory" 0 '^--map-by slot:PE=2 --bind-to core$' binding 2 2
expect "more ranks than cores are not" 0 '^--bind-to none --oversubscribe$' binding 5 1
expect "nor those that leave half of the cores" 0 '^--bind-to none --oversubscribe$' binding 2 1
expect "ports: too few" 2 'ONEGATHER_PORTS 20000-20001: 3 are needed on this host.* 2 are free' env ONEGATHER_PORTS=20000-20001 "${launch[@]}"
expect "ports: not a range" 2 'expected FIRST-LAST, found 20000' env ONEGATHER_PORTS=20000 "${launch[@]}"
# Two hosts that are this one, reached without a network.
printf '#!/bin/sh\nexec sh -c "$2"\n' >here-shell
chmod +x here-shell
printf 'localhost\nlocalhost\n' >pair
mkdir without-ip
ln -s /usr/bin/* without-ip/
rm without-ip/ip
hosts=(env "ONEGATHER_RSH=$PWD/here-shell" "${launch[@]:0:2}" --hosts pair)
expect "several hosts without ip: what to install" 2 'ip is missing.*iproute2, or name the network with --interface' env "PATH=$PWD/without-ip" "${hosts[@]}"
expect "no network to the others" 2 'no network found that leads to localhost \(found 127.*--interface' "${hosts[@]}"
expect "launch/mpirun.sh: a user's mistake keeps its status" 2 'num_step.*num_steps' "${launch[@]}" train.num_step=3
expect "launch/mpirun.sh: no number" 2 'whole number' "$root/launch/mpirun.sh" tiny.yaml --ranks many

ONEGATHER_TEST_PAUSE=20 "${launch[@]}" run.dir=stopped >stopped.txt 2>&1 &
child=$!
after stopped/metrics.jsonl 10
kill -TERM $child
wait $child
status "interrupted under mpirun: 130" 130 $? stopped.txt
expect "goes on from there" 0 'resumed' "${launch[@]}" run.dir=stopped
same "the interrupted run's losses are the uninterrupted run's" whole/metrics.jsonl stopped/metrics.jsonl

ONEGATHER_TEST_PAUSE=20 "${launch[@]}" run.dir=killed >killed.txt 2>&1 &
child=$!
after killed/metrics.jsonl 10
begin=$SECONDS
kill -KILL "$(ranks_of $child | tail -n 1)"
wait $child
status "a rank killed: 5" 5 $? killed.txt
said "the message names the rank" 'rank [01] died' killed.txt
within "all stop within seconds" $((SECONDS - begin)) 10
expect "goes on from the last checkpoint" 0 'resumed.*step (7|14) ' "${launch[@]}" run.dir=killed
same "the killed run's losses are the uninterrupted run's" whole/metrics.jsonl killed/metrics.jsonl

# Four ranks over two axes, the third of them killed. Nothing stays behind in shared memory.
four=("$root/launch/mpirun.sh" tiny.yaml --ranks 4 parallel.data=2 parallel.sequence=2 parallel.expert=4 "$endless" checkpoint.every=7)
# Of another run, which lives: a file that is not ours to remove.
other=/dev/shm/vader_segment.other$$.$(id -u).abcd.0
touch "$other"
# The run's own, which its ranks know by a number.
job_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^OMPI_MCA_ess_base_jobid=//p'; }
segments() { find /dev/shm -name "vader_segment.*.$(id -u).$(printf %x "$job").*" 2>/dev/null | wc -l; }
"${four[@]}" "run.dir=$PWD/four" >four.txt 2>&1 &
child=$!
after four/metrics.jsonl 10
job=$(job_of "$(ranks_of $child | head -n 1)")
if [ "$(segments)" -gt 0 ]; then pass "four ranks share memory"; else fail "four ranks share memory" "no segment of job $job in $(ls /dev/shm)"; fi
begin=$SECONDS
kill -KILL "$(for pid in $(ranks_of $child); do grep -qz '^OMPI_COMM_WORLD_RANK=2$' /proc/"$pid"/environ && echo "$pid"; done)"
wait $child
status "one of four ranks killed: 5" 5 $? four.txt
said "the message names rank 2" 'rank 2 died' four.txt
within "all four stop within seconds" $((SECONDS - begin)) 10
child=''
none_left() { [ "$(segments)" -eq 0 ]; }
awaits "no shared memory stays behind" none_left && pass "no shared memory stays behind"
if [ -e "$other" ]; then pass "another run's is left alone"; else fail "another run's is left alone"; fi
rm -f "$other"
if pgrep -f "run.dir=$PWD/[f]our" >/dev/null; then fail "no rank stays behind" "$(pgrep -af "run.dir=$PWD/[f]our")"; else pass "no rank stays behind"; fi

# Killed as a whole, again and again, while it saves every step. A start goes at most ten steps on, so that lines of the one before do not count.
for n in 4 18 32 46; do
  ONEGATHER_TEST_PAUSE=$((n + 10)) "${launch[@]}" run.dir=saving checkpoint.every=1 >saving.txt 2>&1 &
  child=$!
  after saving/metrics.jsonl $n
  # shellcheck disable=SC2046
  kill -KILL $(ranks_of $child)
  wait $child
  expect "killed while saving, about step $n: the newest checkpoint is whole" 0 'step' "$ONEGATHER" inspect saving
done
expect "and the run goes on" 0 'resumed' "${launch[@]}" run.dir=saving checkpoint.every=1
same "its losses are the uninterrupted run's" whole/metrics.jsonl saving/metrics.jsonl

# The signals that a terminal and a batch system send: to the script, to a bare mpirun, to the program alone.
for signal in INT USR1; do
  # A script's background jobs ignore SIGINT unless told otherwise.
  env --default-signal=INT "${launch[@]}" "$endless" run.dir=$signal >$signal.txt 2>&1 &
  child=$!
  after $signal/metrics.jsonl 10
  kill -$signal $child
  wait $child
  status "SIG$signal to launch/mpirun.sh: 130" 130 $? $signal.txt
  "$ONEGATHER" train tiny.yaml run.dir=alone-$signal "$endless" >alone.txt 2>&1 &
  child=$!
  after alone-$signal/metrics.jsonl 10
  kill -$signal $child
  wait $child
  status "SIG$signal to the program: 130" 130 $? alone.txt
  expect "SIG$signal: what it saved is whole" 0 'step' "$ONEGATHER" inspect alone-$signal
done

# Batch systems repeat SIGTERM while the checkpoint is being written.
"$ONEGATHER" train tiny.yaml run.dir=twice "$endless" checkpoint.every=0 >twice.txt 2>&1 &
child=$!
after twice/metrics.jsonl 10
for _ in 1 2 3; do kill -TERM $child; done
wait $child
status "SIGTERM, repeated: 130" 130 $? twice.txt
expect "SIGTERM, repeated: it saved" 0 'step' "$ONEGATHER" inspect twice

# Before the ranks are up, and while they come up: 130 at once and nothing trained, or after a step that was saved.
mpirun_is_up() { pgrep -P "$child" -x mpirun >/dev/null; }
ranks_are_up() { mpirun_is_up && [ "$(ranks_of "$child" | wc -l)" -ge 2 ]; }
ranks_have_met() { grep -q 'ranks over MPI' early.txt; }
for moment in "catches 15 launch/mpirun.sh" mpirun_is_up ranks_are_up ranks_have_met; do
  "${launch[@]}" "$endless" "run.dir=early-${moment%% *}" >early.txt 2>&1 &
  child=$!
  # shellcheck disable=SC2086
  awaits "SIGTERM early: $moment" ${moment/catches/catches $child}
  kill -TERM $child
  wait $child
  status "SIGTERM as soon as ${moment%% *}: 130" 130 $? early.txt
done
# A terminal that goes away.
env --default-signal=HUP "${launch[@]}" "$endless" "run.dir=$PWD/hangup" >hangup.txt 2>&1 &
child=$!
after hangup/metrics.jsonl 10
kill -HUP $child
wait $child
status "SIGHUP to launch/mpirun.sh: 130" 130 $? hangup.txt
if pgrep -f "run.dir=$PWD/[h]angup" >/dev/null; then fail "SIGHUP: no rank stays behind" "$(pgrep -af "run.dir=$PWD/[h]angup")"; else pass "SIGHUP: no rank stays behind"; fi

# Saved at one layout, loaded at another.
ONEGATHER_TEST_PAUSE=30 "${launch[@]}" run.dir=half >half.txt 2>&1 &
child=$!
after half/metrics.jsonl 20
kill -TERM $child
wait $child
expect "two ranks' checkpoint goes on on one" 0 'resumed' "$ONEGATHER" train tiny.yaml train.num_steps=80 run.dir=half
close "with the same losses" loss 1e-9 whole/metrics.jsonl half/metrics.jsonl

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_NUM_THREADS=1
expect "ranks that disagree on the config" 5 'ranks 1: .*seed: 1.*seed: 9' mpirun --oversubscribe --bind-to none \
  -np 1 "$ONEGATHER" train tiny.yaml parallel.data=2 run.dir=apart : -np 1 "$ONEGATHER" train tiny.yaml parallel.data=2 train.seed=9 run.dir=apart
# The version tells two changed trees of one commit apart, and a clean one from both.
mkdir -p tree/framework
version() { cmake -D SOURCE="$PWD/tree" -D OUTPUT="$PWD/commit.h" -P "$root/framework/program/commit.cmake" && cat commit.h; }
git -C tree init -q && echo one >tree/framework/a.cpp && git -C tree add -A && git -C tree -c user.name=x -c user.email=x@x commit -qm x
version >versions && echo two >tree/framework/a.cpp && version >>versions && echo three >tree/framework/a.cpp && version >>versions &&
  git -C tree checkout -q . && echo new >tree/framework/b.cpp && version >>versions && rm tree/framework/b.cpp && version >>versions
if [ "$(sort -u versions | wc -l)-$(grep -c dirty versions)" = 4-3 ]; then pass "two changed trees of one commit have two versions"; else fail "two changed trees of one commit have two versions" "$(cat versions)"; fi
commit=$("$ONEGATHER" --version | sed -n 's/^onegather \([0-9a-f]\{8,\}\).*/\1/p')
if [ -n "$commit" ]; then
  sed "s/$commit/$(tr 0-9a-f 1-9a-f0 <<<"$commit")/g" "$ONEGATHER" >other-build
  chmod +x other-build
  expect "ranks of different builds" 5 "ranks? 1.*$commit" mpirun --oversubscribe --bind-to none \
    -np 1 "$ONEGATHER" train tiny.yaml parallel.data=2 run.dir=builds : -np 1 ./other-build train tiny.yaml parallel.data=2 run.dir=builds
else
  echo "not run: ranks of different builds (this one knows no commit)"
fi
# threads NAME EXPECTED COMMAND...: of one step of two ranks.
threads() { expect "threads: $1" 0 " $2 threads? a rank" "${@:3}" train.num_steps=1 train.threads=auto "run.dir=threads-$2-$RANDOM"; }
one_step=("$ONEGATHER" train tiny.yaml parallel.sequence=2)
cpu=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
threads "OMP_NUM_THREADS says how many" 3 ranks 2 -x OMP_NUM_THREADS=3 "${one_step[@]}"
unset OMP_NUM_THREADS
threads "the processors, shared by the ranks of the host" $(($(nproc) < 4 ? 1 : $(nproc) / 2)) ranks 2 "${one_step[@]}"
threads "one processor under taskset" 1 taskset -c "$cpu" "$ONEGATHER" train tiny.yaml
[ "$(nproc)" -lt 2 ] || threads "a processor for each rank is not shared" 1 mpirun -np 2 --bind-to core "${one_step[@]}"
[ "$(nproc)" -lt 2 ] || threads "all of them alone" "$(nproc)" "$ONEGATHER" train tiny.yaml
export OMP_NUM_THREADS=1

# What srun sets: a shell that it started is one task without MPI; two tasks without MPI would be two runs of one rank.
expect "in a shell that srun started: alone" 0 'one rank' env SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 "$ONEGATHER" train tiny.yaml train.num_steps=1 run.dir=shell
expect "two tasks of srun without MPI: refused" 5 'srun started 2 ranks, but its --mpi does not fit' env SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0 \
  "$ONEGATHER" train tiny.yaml train.num_steps=1 run.dir=shells
expect "a run folder that cannot be written" 3 '/proc/run' "$ONEGATHER" train tiny.yaml run.dir=/proc/run
bad=(train tiny.yaml train.precision=f32 train.optimizer.learning_rate=1000 train.schedule.warmup_steps=0 train.max_grad_norm=0 checkpoint.every=1 checkpoint.keep=99)
expect "numbers that go bad: the step and the layer" 4 'step [0-9]+: .* layer [0-9]' "$ONEGATHER" "${bad[@]}" run.dir=bad
if grep -q 'train.precision' out.txt; then fail "f32 is not told to use f32" "$(tail -n 1 out.txt)"; else pass "f32 is not told to use f32"; fi
said "but to clip" 'set train.max_grad_norm: 1.0' out.txt
expect "and in bf16" 4 'step [0-9]+: .*set train.precision: f32' "$ONEGATHER" "${bad[@]}" run.dir=bad-bf16 train.precision=bf16
expect "numbers that go bad on two ranks: the same" 4 'step [0-9]+: .* layer [0-9]' ranks 2 "$ONEGATHER" "${bad[@]}" run.dir=bad-2 parallel.sequence=2
# A rate that grows until the weights are no model: those are not saved, and what was saved before is named and good.
expect "weights that are no model any more are not saved" 4 'not saved.*checked: rising/checkpoints/step-0' "$ONEGATHER" "${bad[@]}" run.dir=rising train.schedule.warmup_steps=1000
last=$(ls -d rising/checkpoints/* | tail -n 1)
said "the newest that was saved is the one named" "checked: $last\\." out.txt
if [ "$(basename "$last" | tr -dc 0-9 | sed 's/^0*//')" -eq $(($(lines rising/metrics.jsonl) - 1)) ]; then
  pass "it is that of the last good step"
else
  fail "it is that of the last good step" "$last, $(lines rising/metrics.jsonl) lines"
fi
expect "and evaluates" 0 'loss' "$ONEGATHER" eval "$last" --data text.txt
if [ -z "$(ls -A bad/checkpoints)$(ls -A bad-2/checkpoints)" ]; then pass "a bad first step leaves no checkpoint"; else fail "a bad first step leaves no checkpoint"; fi
finish
