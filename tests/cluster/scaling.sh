#!/usr/bin/env bash
# tests/cluster/scaling.sh [RATE] [--quick]: `bench sequence` on four hosts of this machine, one rank each, joined by links of RATE (default
# 1gbit): (1) a linear layer by every method from 2K to 2048K tokens; (2) softmax attention by its methods, what a quadratic layer costs;
# (3) optimizer steps of a linear model at a fixed number of tokens a rank. Every point is checked against one rank first; what is estimated
# over 60 s or over the free memory is named and not run. Under 20 minutes on two cores. Results: runs/scaling/*.json, *.png; a second call
# goes on from them. --quick: lengths up to 8K, for a test.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cluster=$root/tests/cluster
rate=1gbit lengths=2K,8K,32K,128K,512K,2048K quick=0
for argument in "$@"; do
  case $argument in
    --quick) quick=1 lengths=2K,8K ;;
    [1-9]*bit) rate=$argument ;;
    *) echo "scaling.sh: expected a rate such as 1gbit, or --quick; found $argument" >&2; exit 2 ;;
  esac
done
results=$root/runs/scaling$([ $quick -eq 1 ] && echo -quick)
mkdir -p "$results"
"$cluster/up.sh" 4 "$rate" || exit 1
trap '"$cluster/up.sh" --down' EXIT
for i in 1 2 3 4; do echo "10.77.0.$i slots=1"; done >"$results/hosts"

# sweep NAME OPTIONS...
sweep() {
  local name=$1 status
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$cluster/enter.sh" h1 "cd $results && ONEGATHER=${ONEGATHER:-$root/build/onegather} ONEGATHER_RSH=$cluster/enter.sh OMP_NUM_THREADS=1 \
    exec $root/launch/mpirun.sh bench sequence --hosts hosts --resume $results/$name.json --plot $results/$name.png $*" 2>&1 |
    grep --line-buffered -v '^+ mpirun\|ranks over MPI'
  status=${PIPESTATUS[0]}
  [ "$status" -eq 0 ] || exit "$status"
}
begin=$SECONDS
sweep linear --mixer linear --heads 4 --head-dim 16 --lengths "$lengths" --repeats 3 \
  --methods lasp2,lasp2-blocking,lasp1,lasp1-blocking,zeco,scan,ring,ring-blocking,ring-left,ulysses,megatron
sweep softmax --mixer attention --heads 4 --head-dim 16 --lengths "$lengths" --repeats 3 --methods all_gather_kv,ring,ring-blocking,ulysses
[ $quick -eq 1 ] || lengths=2K,32K,512K,2048K
sweep model --config "$cluster/scaling.yaml" --mode fixed --lengths "$lengths" --repeats 2 --methods lasp2,lasp1
printf '\nin %d s; results in %s\n' $((SECONDS - begin)) "$results"
