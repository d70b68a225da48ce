#!/usr/bin/env bash
# launch/mpirun.sh CONFIG [--ranks N] [onegather train options] [key=value ...]
# Trains CONFIG on N ranks of this machine (default 2). Ctrl-C lets every rank finish its step and save. Exit status: the program's;
# 130 when it was interrupted, 5 when a rank died.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
ranks=2
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --ranks) ranks=${2:?--ranks needs a number}; shift 2 ;;
    --ranks=*) ranks=${1#*=}; shift ;;
    --hosts | --hosts=*) echo "launch/mpirun.sh: --hosts: several hosts are not built yet; see README.md" >&2; exit 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done
if [ ${#arguments[@]} -eq 0 ] || [ "${arguments[0]}" = --help ]; then
  sed -n '2,4s/^# //p' "$0"
  exit 2
fi
[[ $ranks =~ ^[1-9][0-9]*$ ]] || { echo "launch/mpirun.sh: --ranks: expected a whole number, found $ranks" >&2; exit 2; }
command -v mpirun >/dev/null || { echo "launch/mpirun.sh: mpirun is missing: apt-get install openmpi-bin" >&2; exit 2; }

cores=$(nproc)
threads=$((cores / ranks))
[ "$threads" -ge 1 ] || threads=1
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads}
# Containers without ptrace rights cannot copy between processes directly.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
[ "$(id -u)" -eq 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
command=(mpirun -np "$ranks" --bind-to none)
[ "$ranks" -gt "$cores" ] && command+=(--oversubscribe)
command+=("${ONEGATHER:-$here/build/onegather}" train "${arguments[@]}")
printf '+ %s\n' "${command[*]}" >&2

before=$(ls /dev/shm/vader_segment.* 2>/dev/null)
errors=$(mktemp)
# A session of its own, so that the terminal's Ctrl-C reaches this script alone. Standard error is shown and kept.
setsid "${command[@]}" </dev/null 2> >(tee "$errors" >&2) &
child=$!
interrupted=0
trap 'interrupted=1; kill -USR1 "$child" 2>/dev/null' INT TERM
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2>/dev/null || break
done
for segment in /dev/shm/vader_segment.*; do
  [ -e "$segment" ] && ! grep -qxF "$segment" <<<"$before" && rm -f "$segment"
done
sleep 0.1
if [ "$status" -ge 6 ] && [ "$status" -ne 130 ]; then
  # mpirun's own number: a rank ended by a signal. It has said which.
  rank=$(sed -n 's/.*process rank \([0-9]*\).*/\1/p' "$errors" | head -n 1)
  echo "launch/mpirun.sh: rank ${rank:-?} died (mpirun returned $status); the run resumes from its last checkpoint" >&2
  status=5
fi
[ "$interrupted" -eq 1 ] && [ "$status" -eq 130 ] && echo "stopped; the same command goes on from here" >&2
rm -f "$errors"
exit "$status"
