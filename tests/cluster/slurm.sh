#!/usr/bin/env bash
# launch/slurm.sbatch on a real Slurm (slurmctld, munge, one slurmd a host of up.sh): from submission to the end, over a time limit in an
# array, a dead daemon, a dead node, a cut link, a stopped and a killed rank, and with the wrong MPI plugin. Every run that was stopped must end with the losses of one that was not.
export TMPDIR=/var/tmp # every node has a /tmp of its own
. "$(dirname "${BASH_SOURCE[0]}")/../program/expect.sh"
cluster=$root/tests/cluster
export ONEGATHER_CLUSTER=${ONEGATHER_CLUSTER:-onegather}-slurm
not_run() {
  echo "not run: Slurm ($1)"
  finish
  exit
}
[ "$(id -u)" -eq 0 ] && command -v ip >/dev/null && command -v tc >/dev/null && unshare -n true 2>/dev/null || not_run "needs root, network namespaces, iproute2"
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || not_run "needs slurm-wlm and munge"
slurm=$work/slurm
trap '"$cluster/slurm_up.sh" "$slurm" --down; "$cluster/up.sh" --down; rm -rf "$work"' EXIT
"$cluster/up.sh" 2 >up.txt 2>&1 || not_run "$(tail -n 1 up.txt)"
"$cluster/slurm_up.sh" "$slurm" 2 >up.txt 2>&1 || not_run "$(head -n 1 up.txt)"
mkdir build
cp "$ONEGATHER" build/onegather # where every node sees it, wherever the tree lies
unset ONEGATHER
cp -r "$root/launch" .
cp "$root/tests/program/configs/tiny.yaml" .
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
unset OMP_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
h1() { "$cluster/enter.sh" h1 "cd $work && export SLURM_CONF=$slurm/slurm.conf ${ENVIRONMENT:-}; $*"; }

# submit NAME [SBATCH OPTIONS --] ARGUMENTS...: job: the number of a job of two nodes with two ranks each, run.dir NAME.
submit() {
  local name=$1 options=()
  shift
  while [[ ${1:-} = --* ]]; do options+=("$1"); shift; done
  job=$(h1 sbatch --parsable --nodes 2 --ntasks-per-node 2 --cpus-per-task 1 --output "$name.txt" "${options[@]}" launch/slurm.sbatch \
    tiny.yaml parallel.sequence=4 parallel.expert=2 checkpoint.every=10 run.timeout_seconds=8 "run.dir=$name" "$@")
}
state() { h1 squeue -h -j "$1" -t all -o %T 2>/dev/null | head -n 1; }
# ends NAME STATE SECONDS: the job gets there in time.
ends() {
  local begin=$SECONDS now=''
  while [ $((SECONDS - begin)) -lt "$3" ]; do
    now=$(state "$job")
    case $now in COMPLETED | FAILED | CANCELLED | TIMEOUT) break ;; esac
    sleep 0.5
  done
  if [ "$now" = "$2" ]; then pass "$1: $2 after $((SECONDS - begin)) s"; else fail "$1" "$now after $((SECONDS - begin)) s, expected $2" "$(tail -n 5 ./*.txt)"; fi
}
same() { close "$1: the losses of one rank that was never stopped" loss 1e-9 one/metrics.jsonl "$2/metrics.jsonl"; }
steps=120
expect "one rank, never stopped" 0 'done' build/onegather train tiny.yaml train.num_steps=$steps run.dir=one

# An array whose tasks end differently: the number of a task is that of its steps. The last one, whose job number is the array's too, is over its time
# limit before it is done; Slurm warns it within its first minute, in which it pauses and the next job runs beside it.
two=(tiny.yaml parallel.sequence=2 checkpoint.every=0 run.log_every=1)
ENVIRONMENT='ONEGATHER_TEST_PAUSE=10'
array=$(h1 sbatch --parsable --nodes 1 --nodelist h1 --ntasks 2 --cpus-per-task 1 --array=5,90000 --time=2 --signal=B:USR1@60 --output='array-%a.txt' \
  launch/slurm.sbatch "${two[@]}" 'train.num_steps={task}' run.dir=array)
h1 scontrol update "jobid=${array}_5" timelimit=9
ENVIRONMENT=''

submit plain train.num_steps=$steps
ends "from submission to the end" COMPLETED 120
same "four ranks on two nodes" plain
said "the exact command is printed" '^\+ OMP_NUM_THREADS=1 .*srun --mpi=pmix --ntasks 4 ' plain.txt

h1 launch/slurm.sbatch tiny.yaml >alone.txt 2>&1
status "outside a job: 2" 2 $? alone.txt
said "outside a job: how to submit" '^sbatch \[sbatch options\]' alone.txt

# The array, whose pause is over by now or soon.
for _ in $(seq 600); do grep -qs 'resumed' array-90000.txt && break; sleep 0.5; done
stopped=$(sed -n 's/.*resumed from .* at step \([0-9]*\).*/\1/p' array-90000.txt | head -n 1)
steps_of_task=$((${stopped:-0} < 10 ? 10 : stopped + 10)) # warned before step 10, it pauses there now
after array-90000/metrics.jsonl $steps_of_task
said "array: warned" 'the time limit is near: saving' array-90000.txt
said "array: it queues again by itself" 'stopped before the time limit: queueing again' array-90000.txt
said "array: the next start" 'start 2, on' array-90000.txt
said "array: from the saved step" "resumed from .*step-0*$stopped at step $stopped" array-90000.txt
said "array: the other task has its own folder, and is done" 'done: 5 steps' array-5.txt
if grep -q 'start 2' array-5.txt; then fail "array: and was started once" "$(cat array-5.txt)"; else pass "array: and was started once"; fi
job=${array}_90000
h1 scancel "$job"
ends "array: scancel" CANCELLED 30
launch/mpirun.sh "${two[@]}" --ranks 2 train.num_steps=90000 run.dir=long >long.txt 2>&1 &
child=$!
after long/metrics.jsonl $steps_of_task
kill -TERM $child
wait $child
child=''
close "array: the losses of a run that was never stopped, bit for bit" loss 0 long/metrics.jsonl array-90000/metrics.jsonl $steps_of_task

node_dies() {
  local pid
  for pid in $(ip netns pids "$ONEGATHER_CLUSTER-h2"); do kill -KILL "$pid" 2>/dev/null; done
}
submit daemon train.num_steps=$steps
after daemon/metrics.jsonl 20
for pid in $(ip netns pids "$ONEGATHER_CLUSTER-h2"); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = slurmd ] && kill -KILL "$pid"; done
sleep 1
"$cluster/slurm_up.sh" "$slurm" --node 2
ends "a node's slurmd alone dies and comes back" COMPLETED 120
same "daemon" daemon

ENVIRONMENT='ONEGATHER_REQUEUE_SECONDS=2'
submit dead train.num_steps=$steps
after dead/metrics.jsonl 20
node_dies
for _ in $(seq 60); do [ "$(state "$job")" = PENDING ] && break; sleep 0.5; done
"$cluster/slurm_up.sh" "$slurm" --node 2
ends "a node dies and comes back" COMPLETED 300
said "dead: queued again" 'start 2, on' dead.txt
said "dead: resumed" 'resumed' dead.txt
same "dead" dead

submit cut train.num_steps=$steps
after cut/metrics.jsonl 20
ip -n "$ONEGATHER_CLUSTER-switch" link set port2 down
for _ in $(seq 120); do [ "$(state "$job")" = PENDING ] && break; sleep 0.5; done
ip -n "$ONEGATHER_CLUSTER-switch" link set port2 up
ends "a link is cut and mended" COMPLETED 300
said "cut: resumed" 'resumed' cut.txt
same "cut" cut
ENVIRONMENT=''

submit cancelled "$endless" checkpoint.every=0
after cancelled/metrics.jsonl 10
h1 scancel "$job"
ends "scancel" CANCELLED 30
if [ -n "$(ls -d cancelled/checkpoints/step-* 2>/dev/null)" ]; then pass "cancelled: it saved first"; else fail "cancelled: it saved first" "$(cat cancelled.txt)"; fi

# A rank that is lost where the job may not queue again: Slurm, too, has the status 5.
ENVIRONMENT='ONEGATHER_REQUEUE_SECONDS=0 ONEGATHER_REQUEUES=0'
for signal in STOP KILL; do
  submit "rank-$signal" "$endless"
  after "rank-$signal/metrics.jsonl" 10
  for pid in $(ip netns pids "$ONEGATHER_CLUSTER-h2"); do
    [ "$(readlink "/proc/$pid/exe")" = "$work/build/onegather" ] && kill "-$signal" "$pid" && break
  done
  ends "a rank gets SIG$signal, no more starts" FAILED 60
  h1 scontrol show job "$job" >"$signal.txt"
  said "SIG$signal: the job's status is 5" 'ExitCode=5:0' "$signal.txt"
  said "SIG$signal: it says so" 'ONEGATHER_REQUEUES allows no more' "rank-$signal.txt"
done
said "SIGSTOP: the collective and the silent rank are named" ' on axis [a-z+]+ at [a-z._]+: rank [0-9]+ waited .* [23] \(silent\)' rank-STOP.txt

ENVIRONMENT='ONEGATHER_MPI=pmi2'
submit wrong train.num_steps=5
ends "ranks that do not find each other" FAILED 60
said "wrong --mpi: the flag is named" "srun started 4 ranks, but its --mpi does not fit this MPI, which would see 1: give srun --mpi=pmix" wrong.txt
if [ ! -e wrong/metrics.jsonl ]; then pass "wrong --mpi: nothing was trained"; else fail "wrong --mpi: nothing was trained"; fi
finish
