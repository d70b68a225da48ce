#!/usr/bin/env bash
# launch/slurm.sbatch on a real Slurm (slurmctld, munge, one slurmd a host of up.sh): from submission to the end, over a time limit, a dead
# node and a cut link, in arrays, and with the wrong MPI plugin. Every run that was stopped must end with the losses of one that was not.
export TMPDIR=/var/tmp # every node has a /tmp of its own
. "$(dirname "${BASH_SOURCE[0]}")/../program/expect.sh"
cluster=$root/tests/cluster
export ONEGATHER_CLUSTER=onegather-slurm
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
steps=200
expect "one rank, never stopped" 0 'done' build/onegather train tiny.yaml train.num_steps=$steps run.dir=one

submit plain train.num_steps=$steps
ends "from submission to the end" COMPLETED 120
same "four ranks on two nodes" plain
said "the exact command is printed" '^\+ job [0-9]+, start 1, on h\[1-2\]: srun --mpi=pmix --ntasks 4 ' plain.txt

h1 launch/slurm.sbatch tiny.yaml >alone.txt 2>&1
status "outside a job: 2" 2 $? alone.txt
said "outside a job: how to submit" '^sbatch \[sbatch options\]' alone.txt

# The warning comes up to a minute early: between 20 and 80 s after the start.
long=1200 # longer than that, on a fast machine too
# Rounding grows over so many steps: held against the same layout, bit for bit.
expect "four ranks, never stopped" 0 'done' launch/mpirun.sh tiny.yaml --ranks 4 parallel.sequence=4 parallel.expert=2 checkpoint.every=0 \
  train.num_steps=$long run.dir=one-long
submit limit --time=2 --signal=B:USR1@40 train.num_steps=$long run.log_every=1
ends "over a time limit" COMPLETED 900
said "limit: warned" 'the time limit is near: saving' limit.txt
said "limit: it queues again by itself" 'stopped before the time limit: queueing again' limit.txt
said "limit: the next start resumes" 'start 2, on' limit.txt
said "limit: from the saved step" 'resumed' limit.txt
close "limit: the losses of a run that was never stopped" loss 0 one-long/metrics.jsonl limit/metrics.jsonl

node_dies() {
  local pid
  for pid in $(ip netns pids "$ONEGATHER_CLUSTER-h2"); do kill -KILL "$pid" 2>/dev/null; done
}
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

submit cancelled train.num_steps=4000 checkpoint.every=0
after cancelled/metrics.jsonl 10
h1 scancel "$job"
ends "scancel" CANCELLED 30
if [ -n "$(ls -d cancelled/checkpoints/step-* 2>/dev/null)" ]; then pass "cancelled: it saved first"; else fail "cancelled: it saved first" "$(cat cancelled.txt)"; fi

h1 sbatch --parsable --nodes 1 --ntasks 2 --array=1-2 --output='array-%a.txt' launch/slurm.sbatch tiny.yaml parallel.sequence=2 'train.seed={task}' \
  train.num_steps=5 run.dir=array >array.txt
for _ in $(seq 120); do [ -e array-1/summary.json ] && [ -e array-2/summary.json ] && break; sleep 0.5; done
said "array: task 1 has its own folder" '"step":' array-1/metrics.jsonl
said "array: and task 2 its own seed" 'seed: 2' array-2/config.yaml

ENVIRONMENT='ONEGATHER_MPI=pmi2'
submit wrong train.num_steps=5
ends "ranks that do not find each other" FAILED 60
said "wrong --mpi: the flag is named" "srun started 4 ranks, but its --mpi does not fit this MPI, which would see 1: give srun --mpi=pmix" wrong.txt
if [ ! -e wrong/metrics.jsonl ]; then pass "wrong --mpi: nothing was trained"; else fail "wrong --mpi: nothing was trained"; fi
finish
