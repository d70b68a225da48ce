#!/usr/bin/env bash
# tests/compare/busy.sh [--old PROGRAM] [--rounds N] [--steps N]: what the program loses beside busy neighbours. Tokens a second of generation (one rank
# of two threads), and of training on one rank of two threads and on two ranks, each alone and beside two endless loops, on two processors
# whatever the machine has (taskset). With --old (another build of the program) both are measured in turn, so that a machine that changes
# meanwhile changes both. Prints every value, then medians: busy/idle of each program, and new/old.
# About 25 s a round and program on an idle machine, a minute beside others. Each run ends within ONEGATHER_BUSY_SECONDS (120) or is a failure.
# Not a test: what it prints depends on the machine.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
new=${ONEGATHER:-$root/build/onegather} old='' rounds=5 steps=16 limit=${ONEGATHER_BUSY_SECONDS:-120}
while [ $# -gt 0 ]; do
  case $1 in
    --old) old=$(readlink -f "${2:-}") ;;
    --rounds) rounds=${2:-} ;;
    --steps) steps=${2:-} ;;
    *) echo "busy.sh: expected --old PROGRAM, --rounds N or --steps N, found $1" >&2; exit 2 ;;
  esac
  shift 2 || exit 2
done
for program in "$new" ${old:+"$old"}; do [ -x "$program" ] || { echo "busy.sh: $program is not there" >&2; exit 2; }; done
# The first two processors that this shell may use.
cpus=$(taskset -cp $$ | sed 's/.*: //' | tr , '\n' | while IFS=- read -r a b; do seq "$a" "${b:-$a}"; done | head -n 2 | paste -sd,)
[[ $cpus = *,* ]] || { echo "busy.sh: needs two processors" >&2; exit 2; }
taskset -cp "$cpus" $$ >/dev/null
work=$(mktemp -d "${TMPDIR:-/tmp}/onegather-busy.XXXXXX")
neighbours=()
alone() { [ ${#neighbours[@]} -eq 0 ] || kill "${neighbours[@]}" 2>/dev/null; [ ${#neighbours[@]} -eq 0 ] || wait "${neighbours[@]}" 2>/dev/null; neighbours=(); }
trap 'alone; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
unset OMP_NUM_THREADS OMP_WAIT_POLICY GOMP_SPINCOUNT
beside() { alone; for _ in $(seq "$1"); do while :; do :; done & neighbours+=($!); done; }

train=(train "$root/configs/quickstart.yaml" train.eval_every=0 checkpoint.every=0 "train.num_steps=$steps" train.schedule.warmup_steps=0)
# measure WHAT PROGRAM MODEL: prints tokens a second.
measure() {
  rm -rf run
  case $1 in
    generation) timeout "$limit" "$2" generate "$3" --prompt '// ' --tokens 400 --top-k 8 >out.txt 2>&1 </dev/null ;;
    'one rank') timeout "$limit" "$2" "${train[@]}" parallel.sequence=1 parallel.expert=1 train.threads=2 run.dir=run >out.txt 2>&1 </dev/null ;;
    'two ranks') timeout "$limit" mpirun -np 2 --oversubscribe --bind-to none "$2" "${train[@]}" train.threads=1 run.dir=run >out.txt 2>&1 </dev/null ;;
  esac || { echo "busy.sh: $1 of $2 failed:" >&2; tail -n 5 out.txt >&2; return 1; }
  case $1 in
    generation) sed -n 's/.* tokens, \([0-9]*\) tokens\/s.*/\1/p' out.txt ;;
    *) sed -n 's/.*"tokens_per_second": \([0-9]*\).*/\1/p' run/summary.json ;;
  esac
}
for name in new ${old:+old}; do # each its own: an older program does not know the keys of a newer one's config
  echo "a model to generate with: ${!name} $("${!name}" --version | head -n 1)"
  timeout $((4 * limit)) "${!name}" "${train[@]}" parallel.sequence=1 parallel.expert=1 "run.dir=model-$name" >out.txt 2>&1 </dev/null ||
    { tail -n 5 out.txt >&2; exit 1; }
done

whats=(generation 'one rank' 'two ranks')
for ((round = 1; round <= rounds; round++)); do
  for load in 0 2; do
    beside $load
    for what in "${whats[@]}"; do
      for name in ${old:+old} new; do
        value=$(measure "$what" "${!name}" "model-$name") || exit 1
        echo "$value" >>"$what-$load-$name"
        printf 'round %d, %d neighbours, %-10s %s %8d tokens/s\n' "$round" $load "$what" $name "$value"
      done
    done
    alone
  done
done

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
echo
printf 'medians of %d rounds, tokens/s   ' "$rounds"
for name in ${old:+old} new; do printf '%10s %10s %10s ' "$name idle" "$name busy" busy/idle; done
printf '%s\n' "${old:+new/old idle   new/old busy}"
for what in "${whats[@]}"; do
  printf '%-32s ' "$what"
  for name in ${old:+old} new; do
    idle=$(median "$what-0-$name") busy=$(median "$what-2-$name")
    awk -v i="$idle" -v b="$busy" 'BEGIN { printf "%10d %10d %9.0f%% ", i, b, 100 * b / i }'
  done
  [ -z "$old" ] || awk -v a="$(median "$what-0-new")" -v b="$(median "$what-0-old")" -v c="$(median "$what-2-new")" -v d="$(median "$what-2-old")" \
    'BEGIN { printf "%11.3f %14.2f", a / b, c / d }'
  echo
done
