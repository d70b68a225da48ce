#!/usr/bin/env bash
# tests/cluster/scaling.sh [RATE] [--quick]: `bench sequence` on four hosts of this machine, one rank each, joined by links of RATE (default
# 1gbit): (1) a linear layer by every method from 2K to 2048K tokens, rivals in their linear form and, as papers run them, by left products;
# (2) softmax attention by its methods, what a quadratic layer costs; (3) optimizer steps of a linear model at a fixed number of tokens a
# rank. An estimate of all three comes first. Every result is checked before it is timed; what is estimated over 60 s or over the free memory
# is named and not run. Under 20 minutes on two cores. Results: runs/scaling-RATE/*.json, *.png; a second call goes on from them.
# --quick: lengths up to 8K, for a test. ONEGATHER_SCALING: another folder than runs.
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
results=${ONEGATHER_SCALING:-$root/runs}/scaling-$rate$([ $quick -eq 1 ] && echo -quick)
mkdir -p "$results" || exit 3
export ONEGATHER_CLUSTER=${ONEGATHER_CLUSTER:-ogscaling} # beside other clusters of this machine
"$cluster/up.sh" 4 "$rate" || exit 1
trap '"$cluster/up.sh" --down; rm -f "$results/hosts" "$results/estimate.txt"' EXIT
for i in 1 2 3 4; do echo "10.77.0.$i slots=1"; done >"$results/hosts"

# bench NAME OPTIONS...
bench() {
  local name=$1
  shift
  "$cluster/enter.sh" h1 "cd $results && ONEGATHER=${ONEGATHER:-$root/build/onegather} ONEGATHER_RSH=$cluster/enter.sh \
    ONEGATHER_CLUSTER=$ONEGATHER_CLUSTER OMP_NUM_THREADS=1 exec $root/launch/mpirun.sh bench sequence --hosts hosts --label $rate \
    --resume $results/$name.json --plot $results/$name.png $*" 2>&1 | grep --line-buffered -v '^+ .*mpirun\|ranks over MPI'
  return "${PIPESTATUS[0]}"
}
# all_sweeps OPTIONS...: the three, each with the options.
all_sweeps() {
  local sweep name options
  for sweep in "${sweeps[@]}"; do
    read -r name options <<<"$sweep"
    printf '\n== %s: %s\n' "$name" "$options"
    # shellcheck disable=SC2086
    bench "$name" $options "$@" || return
  done
}
model_lengths=2K,32K,512K,2048K
[ $quick -eq 1 ] && model_lengths=$lengths
sweeps=("linear --mixer linear --heads 4 --head-dim 16 --lengths $lengths --repeats 3 --methods
    lasp2,lasp2-blocking,lasp1,lasp1-blocking,zeco,scan,ring,ring-blocking,ulysses,megatron,ring-left,ulysses-left,megatron-left"
  "softmax --mixer attention --heads 4 --head-dim 16 --lengths $lengths --repeats 3 --methods all_gather_kv,ring,ring-blocking,ulysses"
  "model --config $cluster/scaling.yaml --mode fixed --lengths $model_lengths --repeats 2 --methods lasp2,lasp1")
sweeps=("${sweeps[@]//$'\n'/ }")

all_sweeps --estimate >"$results/estimate.txt"
status=$?
grep '^==\|estimate' "$results/estimate.txt" || cat "$results/estimate.txt"
[ $status -eq 0 ] || exit $status
awk '/: estimate, / {
    for (i = 1; i <= NF; i++) {
      if ($i == "s,") seconds += $(i - 1)
      if ($i == "received") bytes += $(i - 2) * 1024 ^ index("KMGT", substr($(i - 1), 1, 1))
    } }
  END { printf "\nall three: estimated at %.0f s and %.1f GiB received by a rank\n", seconds, bytes / 1024 ^ 3 }' "$results/estimate.txt"
begin=$SECONDS
all_sweeps || exit
printf '\nin %d s; results in %s\n' $((SECONDS - begin)) "$results"
