#!/usr/bin/env bash
# launch/mpirun.sh CONFIG [--ranks N] [--hosts FILE] [onegather train options] [key=value ...]   (-np N, --np N say the same)
# launch/mpirun.sh bench step|comm|sequence [--ranks N] [--hosts FILE] [options of onegather bench]
# Trains CONFIG, or measures, on N ranks of this machine (default 2), or of the hosts that FILE names, one a line: `name` or `name slots=N` (default: all
# their slots; this machine must be the first). Ctrl-C lets every rank finish its step and save. Exit status: the program's; 130 when it was
# interrupted, 5 when a rank died or a host does not answer. With several hosts: --interface SUBNET (default: that of the route to the
# second host), ONEGATHER_RSH (default ssh), the program and the folder must be at the same path on all of them.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
ranks='' hosts='' interface=''
host_names=()
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --ranks | --np | -np)
      [ $# -ge 2 ] || { echo "launch/mpirun.sh: $1: expected a whole number after it" >&2; exit 2; }
      ranks=$2; shift 2 ;;
    --ranks=* | --np=*) ranks=${1#*=}; shift ;;
    --hosts | --interface)
      [ $# -ge 2 ] || { echo "launch/mpirun.sh: $1: expected a value after it" >&2; exit 2; }
      [ "$1" = --hosts ] && hosts=$2 || interface=$2
      shift 2 ;;
    --hosts=*) hosts=${1#*=}; shift ;;
    --interface=*) interface=${1#*=}; shift ;;
    *) arguments+=("$1"); shift ;;
  esac
done
if [ ${#arguments[@]} -eq 0 ] || [ "${arguments[0]}" = --help ]; then
  sed -n '2,8s/^# //p' "$0"
  exit 2
fi
if [ -n "$hosts" ]; then
  # shellcheck source=launch/hosts.sh
  . "$here/launch/hosts.sh"
  read_hosts "$hosts"
  ranks=${ranks:-$total_slots}
fi
ranks=${ranks:-2}
[[ $ranks =~ ^[1-9][0-9]*$ ]] || { echo "launch/mpirun.sh: --ranks: expected a whole number, found $ranks" >&2; exit 2; }
program=${ONEGATHER:-$here/build/onegather}
[ -x "$program" ] || { echo "launch/mpirun.sh: $program is not there: run launch/build.sh" >&2; exit 2; }
command -v mpirun >/dev/null || { echo "launch/mpirun.sh: mpirun is missing: apt-get install openmpi-bin" >&2; exit 2; }

cores=$(nproc)
threads=$((cores / (${#host_names[@]} > 0 ? first_slots : ranks)))
[ "$threads" -ge 1 ] || threads=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads}
# Containers without ptrace rights cannot copy between processes directly.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# mpirun counts cores, not the threads that a core offers, so it needs the permission also where nproc would do.
across=()
if [ -n "$hosts" ]; then
  [ "$ranks" -le "$total_slots" ] || { echo "launch/mpirun.sh: --ranks $ranks: $hosts has $total_slots slots" >&2; exit 2; }
  reach_hosts "$program"
  # Without --oversubscribe hosts are filled in their order, each to its slots.
  across=(--hostfile "$hosts" --mca plm_rsh_agent "$rsh" --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,vader,self
    --mca btl_tcp_if_include "$interface" --mca oob_tcp_if_include "$interface" -x OMP_NUM_THREADS
    -x OMPI_MCA_btl_vader_single_copy_mechanism -x ONEGATHER_RUN)
  export ONEGATHER_RUN=$$-$RANDOM-$RANDOM
fi
[ "${arguments[0]}" = bench ] || arguments=(train "${arguments[@]}")
command=(mpirun -np "$ranks" --bind-to none --oversubscribe "${across[@]}" "$program" "${arguments[@]}")
# The ranks write into pipes; this is how rank 0 learns that a bar can be drawn.
if [ -t 2 ]; then
  columns=$(stty size <&2 2>/dev/null | cut -d ' ' -f 2)
  [ "${columns:-0}" -gt 20 ] || columns=100
  export ONEGATHER_COLUMNS=$columns
fi
printf '+ %s\n' "${command[*]}" >&2

errors=$(mktemp)
# A session of its own, so that the terminal's Ctrl-C reaches this script alone. Standard error is shown and kept.
setsid "${command[@]}" </dev/null 2> >(tee "$errors" >&2) &
child=$!
# mpirun waits for ever for a daemon whose host it cannot hear, and for a quarter of an hour for one behind a link that died. So: with several
# hosts the ranks must have found each other within a minute, and once one has said that the run failed, mpirun has 15 s to end.
start_seconds=${ONEGATHER_START_SECONDS:-60}
end_it() {
  echo "launch/mpirun.sh: $1: ending it" >&2
  touch "$errors.ended"
  kill -KILL -- -"$child"
}
(
  begin=$SECONDS started=0
  [ ${#host_names[@]} -gt 1 ] || started=1
  until grep -qsE 'failed and stops the others|exited on signal' "$errors"; do
    sleep 1
    kill -0 "$child" 2>/dev/null || exit 0
    [ $started -eq 1 ] && continue
    if [ -s "$errors" ]; then
      started=1
    elif [ $((SECONDS - begin)) -ge "$start_seconds" ]; then
      end_it "no rank has said anything within $start_seconds s; do ${host_names[*]} reach each other over $interface?"
      exit 0
    fi
  done
  for _ in $(seq 15); do
    kill -0 "$child" 2>/dev/null || exit 0
    sleep 1
  done
  end_it "mpirun does not end"
) &
watcher=$!
interrupted=0
trap 'interrupted=1; kill -USR1 "$child" 2>/dev/null' INT TERM USR1
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2>/dev/null || break
done
# A signal that came with the end: the trap cut the wait short, and the status is still to be had.
if [ "$interrupted" -eq 1 ]; then
  wait "$child" 2>/dev/null
  last=$?
  [ "$last" -ne 127 ] && status=$last
fi
kill "$watcher" 2>/dev/null
if [ -e "$errors.ended" ]; then
  rm -f "$errors.ended"
  [ ${#host_names[@]} -gt 0 ] && end_ranks
  status=5
fi
# Ranks that were killed leave their shared memory behind; what a living process has mapped is another run's.
sleep 0.1
for segment in /dev/shm/vader_segment.*."$(id -u)".*; do
  [ -e "$segment" ] && ! grep -qsF "$segment" /proc/[0-9]*/maps && rm -f "$segment"
done
if [ "$status" -ge 6 ] && [ "$status" -ne 130 ]; then
  # mpirun's own number: a rank ended by a signal. It has said which.
  rank=$(sed -n 's/.*process rank \([0-9]*\).*/\1/p' "$errors" | head -n 1)
  host=$(sed -n 's/.*process rank [0-9]* with PID [0-9]* on node \([^ ]*\).*/\1/p' "$errors" | head -n 1)
  echo "launch/mpirun.sh: rank ${rank:-?} died${hosts:+ on ${host:-some host}} (mpirun returned $status); the run resumes from its last checkpoint" >&2
  status=5
fi
[ "$interrupted" -eq 1 ] && [ "$status" -eq 130 ] && echo "stopped; the same command goes on from here" >&2
rm -f "$errors"
exit "$status"
