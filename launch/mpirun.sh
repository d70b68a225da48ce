#!/usr/bin/env bash
# launch/mpirun.sh CONFIG [--ranks N] [--hosts FILE] [onegather train options] [key=value ...]   (-np N, --np N say the same)
# launch/mpirun.sh bench|eval|generate|plan|data ... [--ranks N] [--hosts FILE]   what onegather takes after this word; any other first word is a config
# Trains CONFIG, measures, evaluates or generates on N ranks of this machine (default 2), or of the hosts that FILE names, one a line: `name` or
# `name slots=N` (default: all their slots; this machine must be the first). plan and data are done by one process: --ranks of plan is its own. Ctrl-C
# lets every rank finish its step and save. Exit status: the program's; 130 when it was interrupted, 5 when a rank died or a host does not answer. With
# several hosts: --interface SUBNET (default: that of the route to the second host), ONEGATHER_RSH (default ssh), the program and the folder must be at
# the same path on all of them.
set -uo pipefail
trap 'exit 130' INT TERM USR1 HUP # until there is something to end
launcher=launch/mpirun.sh
here=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=launch/environment.sh
. "$here/launch/environment.sh"
# shellcheck source=launch/watch.sh
. "$here/launch/watch.sh"
ranks='' hosts='' interface='' alone=0
host_names=()
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --ranks | --np | -np)
      [ $# -ge 2 ] || refuse "$1: expected a whole number after it"
      ranks=$2; shift 2 ;;
    --ranks=* | --np=*) ranks=${1#*=}; shift ;;
    --hosts | --interface)
      [ $# -ge 2 ] || refuse "$1: expected a value after it"
      [ "$1" = --hosts ] && hosts=$2 || interface=$2
      shift 2 ;;
    --hosts=*) hosts=${1#*=}; shift ;;
    --interface=*) interface=${1#*=}; shift ;;
    *) arguments+=("$1"); shift ;;
  esac
done
case ${arguments[0]:-} in
  '' | --help | -h)
    sed -n '2,8s/^# //p' "$0"
    exit $((${#arguments[@]} > 0 ? 0 : 2)) ;;
  bench | eval | generate | plan | data) ;;
  train) [ -e train ] || refuse "train is what is done without a word: launch/mpirun.sh CONFIG ..." ;;&
  *) arguments=(train "${arguments[@]}") ;;
esac
# One process does these, however long it takes; only plan --validate measures on ranks.
case " ${arguments[*]} " in
  " plan "*" --validate "*) ;;
  " plan "* | " data "*)
    [ -z "$ranks" ] || [ "${arguments[0]}" = data ] || arguments+=(--ranks "$ranks")
    ranks=1 alone=1 ;;
esac
# A list is the bench's, sizes of groups: as many ranks are started as the last of them has.
case $ranks in *,*) arguments+=(--ranks "$ranks"); ranks=${ranks##*,}; ranks=${ranks:-none} ;; esac
if [ -n "$hosts" ]; then
  # shellcheck source=launch/hosts.sh
  . "$here/launch/hosts.sh"
  read_hosts "$hosts"
  ranks=${ranks:-$total_slots}
fi
ranks=${ranks:-2}
[[ $ranks =~ ^[1-9][0-9]*$ ]] || refuse "--ranks: expected a whole number, found $ranks"
program=${ONEGATHER:-$here/build/onegather}
[ -x "$program" ] || refuse "$program is not there: run launch/build.sh"
command -v mpirun >/dev/null || refuse "mpirun is missing: apt-get install openmpi-bin"

ranks_here=$((${#host_names[@]} > 0 ? (first_slots < ranks ? first_slots : ranks) : ranks))
threads=$((processors / ranks_here))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
use_ports "$ranks_here"
if [ -z "$hosts" ]; then
  binding_of "$ranks" "${OMP_NUM_THREADS%%,*}"
  placing=("${binding[@]}")
else
  [ "$ranks" -le "$total_slots" ] || refuse "--ranks $ranks: $hosts has $total_slots slots"
  reach_hosts "$program"
  # With a hosts file --oversubscribe still fills hosts in their order, each to its slots: mpirun counts cores, not the threads that they offer.
  placing=(--bind-to none --oversubscribe --hostfile "$hosts" --mca plm_rsh_agent "$rsh" --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,vader,self
    --mca btl_tcp_if_include "$interface" --mca oob_tcp_if_include "$interface" -x OMP_NUM_THREADS
    -x OMPI_MCA_btl_vader_single_copy_mechanism -x "ONEGATHER_RUN=$run_id")
  # The daemons of the other hosts learn from the command line alone.
  for name in "${!OMPI_MCA_btl_tcp_port_@}" "${!OMPI_MCA_oob_tcp_@}"; do placing+=(--mca "${name#OMPI_MCA_}" "${!name}"); done
fi
command=(mpirun -np "$ranks" "${placing[@]}" "$program" "${arguments[@]}")
# The ranks write into pipes; this is how rank 0 learns that a bar can be drawn.
if [ -t 2 ]; then
  columns=$(stty size <&2 2>/dev/null | cut -d ' ' -f 2)
  [ "${columns:-0}" -gt 20 ] || columns=100
  export ONEGATHER_COLUMNS=$columns
fi
{ kept=$(mktemp) && news=$(mktemp); } || refuse "no temporary file can be made: TMPDIR=${TMPDIR:-/tmp}"
trap 'rm -f "$kept" "$news"' EXIT
echo "+ $(print_command "${command[@]}")" | tee "$kept" >&2

started=$alone # no rank waits for another
watch "${command[@]}"
case $interrupted-$status in
  # SIGUSR1 before the program listens ends a rank with 128 + 10: nothing was there to save.
  1-129 | 1-130 | 1-138 | 1-143) status=130 ;;
esac
if [ "$forced" -eq 1 ]; then
  status=$((interrupted && !started ? 130 : 5))
elif [ "$status" -ge 6 ] && [ "$status" -ne 130 ]; then
  # mpirun's own number: a rank ended by a signal. It has said which.
  if [ -n "$dead_rank" ]; then
    message="rank $dead_rank died${hosts:+ on $dead_host} (mpirun returned $status); the run resumes from its last checkpoint"
  else
    message="mpirun returned $status: what it says above is why"
  fi
  echo "launch/mpirun.sh: $message" | tee -a "$kept" >&2
  status=5
fi
[ "$status" -ne 130 ] || echo "stopped; the same command goes on from here" >&2
# What was shown lies beside the run's other files too: every start's, without the progress bar.
# A dry run starts nothing.
case " ${arguments[*]} " in *' --dry-run '*) folder='' ;; esac
[ ! -d "$folder" ] || cat "$kept" >>"$folder/launch.log"
exit "$status"
