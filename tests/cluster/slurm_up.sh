#!/usr/bin/env bash
# tests/cluster/slurm_up.sh FOLDER N: a Slurm of N nodes on the hosts that up.sh made: munged and slurmctld on h1, a slurmd on each, keys, state
# and logs in FOLDER (not below /tmp: every node has a /tmp of its own). Then `export SLURM_CONF=FOLDER/slurm.conf`.
# tests/cluster/slurm_up.sh FOLDER --node K: starts node K's slurmd again. --down: ends them all. Needs root, slurm-wlm and munge.
set -euo pipefail
here=$(dirname "$0")
folder=$1 what=$2
cluster=${ONEGATHER_CLUSTER:-onegather}
# daemon HOST COMMAND...: in the background on that host, with its name and its own /tmp.
daemon() {
  local host=$1
  shift
  setsid nsenter --net="/run/netns/$cluster-$host" unshare --uts --mount --propagation private \
    sh -c "cd $folder && hostname $host && mount -t tmpfs tmpfs /tmp && exec $*" >>"$folder/daemons.log" 2>&1 </dev/null &
}
node() { daemon "h$1" "env SLURM_CONF=$folder/slurm.conf slurmd -D -N h$1"; }
down() {
  local name pid
  for name in slurmd slurmctld munged slurmstepd; do
    for pid in $(pgrep -x "$name" || true); do
      grep -qs "$folder" "/proc/$pid/cmdline" "/proc/$pid/environ" && kill -KILL "$pid" || true
    done
  done
}
case $what in
  --down) down; exit 0 ;;
  --node) node "$3"; exit 0 ;;
esac
for tool in slurmctld slurmd munged sbatch; do
  command -v $tool >/dev/null || { echo "slurm_up.sh: $tool is missing: apt-get install slurm-wlm munge" >&2; exit 1; }
done
case $folder in /tmp/*) echo "slurm_up.sh: $folder lies below /tmp, which every node has for itself" >&2; exit 2 ;; esac
mkdir -p "$folder/state" "$folder/munge"
chmod 755 "$folder"
chmod 700 "$folder/munge"
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 400 "$folder/munge/key"
cat >"$folder/slurm.conf" <<END
ClusterName=$cluster
SlurmctldHost=h1(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=5
KillWait=15
MinJobAge=300
MaxArraySize=100001
JobRequeue=1
MpiDefault=none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=5
$(for i in $(seq "$what"); do echo "NodeName=h$i NodeAddr=10.77.0.$i CPUs=4 State=UNKNOWN"; done)
PartitionName=main Nodes=ALL Default=YES OverTimeLimit=0 MaxTime=INFINITE State=UP
END
daemon h1 "munged --foreground --force --key-file=$folder/munge/key --socket=$folder/munge.socket --pid-file=$folder/munge/pid \
  --log-file=$folder/munge/log --seed-file=$folder/munge/seed"
for _ in $(seq 50); do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
daemon h1 "env SLURM_CONF=$folder/slurm.conf slurmctld -D"
for i in $(seq "$what"); do node "$i"; done
for _ in $(seq 100); do
  "$here/enter.sh" h1 "SLURM_CONF=$folder/slurm.conf sinfo -h -t idle -o %D" 2>/dev/null | grep -qx "$what" && exit 0
  sleep 0.2
done
echo "slurm_up.sh: the nodes are not idle within 20 s" >&2
"$here/enter.sh" h1 "SLURM_CONF=$folder/slurm.conf sinfo -R -l" >&2 || true
tail -n 5 "$folder"/slurmctld.log "$folder"/slurmd-*.log "$folder/daemons.log" >&2 || true
exit 1
