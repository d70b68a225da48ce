#!/usr/bin/env bash
# tests/run.sh [--full]: installs what is missing, builds, runs the tests, says what could not be run. --full adds the sanitizer builds,
# the slow cases and the format check. Logs lie in build/test-logs. Ends with `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "$0")/.."
full=0
[ "${1:-}" = --full ] && full=1
# Slurm and debootstrap serve tests that need root, which say so without it.
launch/install.sh "$([ $full -eq 1 ] && [ "$(id -u)" -eq 0 ] && echo test-full || echo test)" || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
logs=build/test-logs
mkdir -p $logs
passed=0 failed=0 skipped=0
notes=()
jobs=$(nproc)

# group NAME COMMAND...: one line with its time; the log's end if it failed.
group() {
  local name=$1 begin=$SECONDS status
  shift
  "$@" >"$logs/$name.log" 2>&1 </dev/null
  status=$?
  printf '%-28s %4d s  %s\n' "$name" $((SECONDS - begin)) "$([ $status -eq 0 ] && echo ok || echo FAILED)"
  if [ $status -ne 0 ]; then
    grep -E '^FAIL|\[  FAILED|error:|Failure|ERROR: |WARNING: Thread|runtime error' "$logs/$name.log" | head -n 20
    echo "  --- end of $logs/$name.log"
    tail -n 15 "$logs/$name.log" | sed 's/^/  /'
  fi
  return $status
}

# count NAME: adds what a log says to the totals: ctest's closing line, or `N passed, N failed` of a script.
count() {
  local log=$logs/$1.log bad total good
  if grep -q 'tests passed' "$log"; then
    read -r bad total < <(sed -n 's/.*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' "$log" | tail -n 1)
    passed=$((passed + total - bad)) failed=$((failed + bad))
  elif grep -Eq '^[0-9]+ passed, [0-9]+ failed' "$log"; then
    read -r good bad < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" | tail -n 1)
    passed=$((passed + good)) failed=$((failed + bad))
  else
    failed=$((failed + 1))
  fi
  while read -r line; do
    skipped=$((skipped + 1))
    notes+=("$1: ${line#not run: }")
  done < <(grep '^not run: ' "$log")
}

# step NAME: a group that is one test of its own (a build, a check).
step() {
  if group "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); return 1; fi
}

configure_and_build() { cmake --preset "$1" && cmake --build --preset "$1" -j "$jobs"; } # PRESET of CMakePresets.json

# The sanitizers' builds take what the scripts leave of the processors (half: they wait for ranks, clocks and disks): in a process group of their
# own, at the lowest priority.
build_sanitizers() {
  for sanitizer in asan tsan; do
    configure_and_build $sanitizer >"$logs/$sanitizer-compile.log" 2>&1
    echo $? >"$logs/$sanitizer-compile.status"
  done
}
# built SANITIZER: waits for its build, prints what it said, ends with its status.
built() {
  until [ -s "$logs/$1-compile.status" ]; do
    kill -0 "$builder" 2>/dev/null || [ -s "$logs/$1-compile.status" ] || { echo "the build ended early"; return 1; }
    sleep 1
  done
  cat "$logs/$1-compile.log"
  return "$(cat "$logs/$1-compile.status")"
}

summary() {
  for note in "${notes[@]:-}"; do [ -n "$note" ] && echo "not run: $note"; done
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
}

step build configure_and_build release || { summary; exit 1; }
if [ $full -eq 1 ]; then
  rm -f $logs/*-compile.status
  export jobs logs
  export -f configure_and_build build_sanitizers
  setsid nice -n 19 bash -c build_sanitizers &
  builder=$!
  trap 'kill -- -$builder 2>/dev/null' EXIT
fi
step guards tests/guards.sh $([ $full -eq 1 ] && echo --full)
group unit ctest --test-dir build --timeout 300 --output-on-failure -j "$jobs"
count unit
for script in tests/program/*.sh; do
  name=$(basename "$script" .sh)
  [ "$name" = expect ] && continue
  group "program-$name" timeout -k 10 900 env ONEGATHER_FULL=$full bash "$script"
  count "program-$name"
done

if [ $full -eq 1 ]; then
  group cluster timeout -k 10 1500 bash tests/cluster/run.sh
  count cluster
  group fresh-root timeout -k 10 1200 bash tests/fresh_root.sh
  count fresh-root
  step format bash -c "git ls-files '*.h' '*.cpp' | xargs clang-format --dry-run -Werror"
  # The float kernels as processors without AVX-512, and without AVX2, would choose them.
  for isa in avx2 base; do
    group "unit-$isa" env ONEGATHER_ISA=$isa ctest --test-dir build --output-on-failure -j "$jobs" \
      -R '^(norm|pointwise|conv|rope|attention|linear|optim|vocabulary|scan_kernel|scan|summary|moe_op|balance|loss_kernel|embed|golden|literals|unary_literals|gates|op_table)_test$'
    count "unit-$isa"
  done
  # Address and undefined behaviour: the unit tests. Threads: ranks as threads, parallel_for a plain loop, no oneDNN.
  for sanitizer in asan tsan; do
    step $sanitizer-build built $sanitizer || continue
    group $sanitizer ctest --preset $sanitizer -j "$jobs"
    count $sanitizer
  done
else
  notes+=("sanitizer builds, slow cases, format: give --full")
fi
summary
