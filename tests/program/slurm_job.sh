#!/usr/bin/env bash
# What launch/slurm.sbatch decides, held against stand-ins for srun and scontrol: when it queues again and by which number, with which status it
# ends, and what signals do before and after the ranks are up. The real Slurm is in tests/cluster/slurm.sh.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
mkdir bin "a tree"
ln -s "$root/launch" "a tree/launch"
# srun: what it was told to be, after SRUN_SECONDS; SIGUSR1 ends it with SRUN_SIGNALLED. With STEP_WAITS an empty step lasts, and with SRUN_DEAF it hears
# nothing, until the job has got its signals.
cat >bin/srun <<'END'
#!/usr/bin/env bash
case "$*" in
  --mpi=list) echo "MPI plugin types are..."; for i in $(seq 5000); do echo "	none"; done; echo "	pmix"; exit ;;
  *' true') touch stepping; while [ -n "${STEP_WAITS:-}" ] && [ ! -e signalled ]; do sleep 0.05; done; exit ;;
esac
# As the real one it starts deaf to SIGUSR1, and then listens.
if [ -z "${LISTENS:-}" ]; then
  echo "$*" >>started
  while [ -n "${SRUN_DEAF:-}" ] && [ ! -e signalled ]; do sleep 0.05; done
  LISTENS=1 exec env --default-signal=USR1 "$0" "$@"
fi
trap 'kill $! 2>/dev/null; exit ${SRUN_SIGNALLED:-130}' USR1
sleep "${SRUN_SECONDS:-0}" & wait
exit "${SRUN_STATUS:-0}"
END
cat >bin/scontrol <<'END'
#!/usr/bin/env bash
case $1-$2 in
  requeue-*) echo "$2" >>requeued ;;
  show-job) echo "   Command=$TREE/launch/slurm.sbatch tiny.yaml run.dir=x" ;;
  show-config) echo "TaskPlugin              = task/affinity" ;;
esac
END
# A program that tells the folder of a config as the real one does, among other words than its.
cat >bin/onegather <<'END'
#!/usr/bin/env bash
[[ "${ONEGATHER_RUN:+listens} $*" != listens*--dry-run ]] || printf 'run:\n  dir: other\n\x1eonegather folder a folder\nnothing\n' | tee /dev/stderr
END
chmod +x bin/*
unset OMP_NUM_THREADS
export TREE="$PWD/a tree"

# job NAME STATUS QUEUED-AGAIN VARIABLE=VALUE... [-- FILE SIGNAL...]: of one node and two ranks; the signals come once the file is
# there. stepping, started, requeued: what it did.
job() {
  local name=$1 expected=$2 again=$3 variables=() child file=''
  shift 3
  while [ $# -gt 0 ] && [ "$1" != -- ]; do variables+=("$1"); shift; done
  rm -f stepping started requeued signalled
  env PATH="$PWD/bin:$PATH" ONEGATHER=/bin/true SLURM_JOB_ID=7 SLURM_JOB_NODELIST=h1 SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=2 SLURM_CPUS_ON_NODE=2 \
    SLURM_SUBMIT_DIR=/nowhere "${variables[@]}" bash "$root/launch/slurm.sbatch" "${arguments[@]}" >job.txt 2>&1 &
  child=$!
  if [ $# -gt 0 ]; then
    file=$2
    shift 2
    awaits "$name: $file is there" test -e "$file"
  fi
  while [ $# -gt 0 ]; do kill "-$1" $child; shift; done
  [ -z "$file" ] || touch signalled
  wait $child
  status "$name: $expected" "$expected" $? job.txt
  if [ "$(cat requeued 2>/dev/null)" = "$again" ]; then pass "$name: queued again: ${again:-no}"; else fail "$name: queued again" "$(cat requeued 2>/dev/null), expected ${again:-no}" "$(cat job.txt)"; fi
}
arguments=(tiny.yaml 'run.dir=x{task}')
now=ONEGATHER_REQUEUE_SECONDS=0
job "done" 0 ''
said "srun's line can be pasted" '^\+ OMP_NUM_THREADS=1 .*srun --mpi=pmix --ntasks 2 --cpus-per-task 1 --cpu-bind=none .*/bin/true train tiny.yaml run.dir=x $' job.txt
job "a user's mistake" 2 '' SRUN_STATUS=2 $now
job "numbers go bad" 4 '' SRUN_STATUS=4 $now
for status in 5 137 139; do
  job "srun returns $status at once" 5 '' SRUN_STATUS=$status
  job "srun returns $status" 0 7 SRUN_STATUS=$status $now
  rm -f .onegather-*
  job "srun returns $status, no more starts" 5 '' SRUN_STATUS=$status $now ONEGATHER_REQUEUES=0
done
job "time limits do not count as failures" 0 7 SRUN_STATUS=5 $now SLURM_RESTART_COUNT=9 ONEGATHER_REQUEUES=2
job "a second failure" 0 7 SRUN_STATUS=5 $now SLURM_RESTART_COUNT=10 ONEGATHER_REQUEUES=2
job "a third is one too many" 5 '' SRUN_STATUS=5 $now SLURM_RESTART_COUNT=11 ONEGATHER_REQUEUES=2
said "and is counted" '3 times in this job; ONEGATHER_REQUEUES allows no more' job.txt
job "an array's task" 0 5_3 SRUN_STATUS=5 $now SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=3
said "its number in the arguments" 'run.dir=x3' started
arguments=(tiny.yaml)
job "an array's task in the folder that the config names" 0 '' SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=3 "ONEGATHER=$PWD/bin/onegather"
arguments=(tiny.yaml 'run.dir=x{task}')
said "and its number" 'run.dir=a folder-3$' started

job "warned" 0 7 SRUN_SECONDS=600 -- started USR1
job "warned while srun does not listen yet" 0 7 SRUN_SECONDS=600 SRUN_DEAF=1 -- started USR1
job "warned, a rank did not listen yet" 0 7 SRUN_SECONDS=600 SRUN_SIGNALLED=138 -- started USR1
job "warned before srun" 0 7 SLURM_RESTART_COUNT=1 STEP_WAITS=1 -- stepping USR1
if [ ! -e started ]; then pass "the ranks were not started"; else fail "the ranks were not started" "$(cat started)"; fi
job "cancelled" 130 '' SRUN_SECONDS=600 -- started TERM
job "cancelled before srun" 130 '' SLURM_RESTART_COUNT=1 STEP_WAITS=1 -- stepping TERM
if [ ! -e started ]; then pass "the ranks were not started"; else fail "the ranks were not started" "$(cat started)"; fi
job "cancelled after the warning" 130 '' SRUN_SECONDS=600 SRUN_DEAF=1 -- started USR1 TERM
job "cancelled, and a rank dies of it" 130 '' SRUN_SECONDS=600 SRUN_SIGNALLED=137 $now -- started TERM

job "no number of tasks" 0 '' SLURM_NTASKS= SLURM_JOB_NUM_NODES=4 ONEGATHER_INTERFACE=10.0.0.0/8
said "no number of tasks: one a node" ' --ntasks 4 ' started
said "no number of tasks: it says so" 'no --ntasks: 4 ranks on 4 nodes' job.txt
finish
