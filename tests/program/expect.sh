# Sourced by the tests of this folder, which run the real program. Each test works in a fresh folder and prints one line a check.
# The program: $ONEGATHER, default build/onegather of this checkout. Ends with `finish`, which prints the counts and sets the status.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ONEGATHER=${ONEGATHER:-$root/build/onegather}
work=$(mktemp -d "${TMPDIR:-/tmp}/onegather-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMP_NUM_THREADS=1
# The sample at the end of a run takes longer than the steps of most: a short one here, a whole one at every layout of layouts.sh.
export ONEGATHER_TEST_SAMPLE=${ONEGATHER_TEST_SAMPLE:-8}

pass() { passed=$((passed + 1)); printf 'ok   %s\n' "$1"; }
fail() {
  failed=$((failed + 1))
  printf 'FAIL %s\n' "$1"
  shift
  for line in "$@"; do printf '     %s\n' "$line"; done
}

# ranks N COMMAND...: under mpirun with N ranks on whatever cores there are.
ranks() {
  local n=$1
  shift
  mpirun -np "$n" --oversubscribe --bind-to none "$@" </dev/null
}

# expect NAME STATUS PATTERN COMMAND...: the exit status, and a line of the output that matches the extended regular expression.
# A stack trace, an abort or a signal's name in the output is a failure whatever else is there.
expect() {
  local name=$1 status=$2 pattern=$3 found
  shift 3
  "$@" >out.txt 2>&1 </dev/null
  found=$?
  if [ "$found" -ne "$status" ]; then
    fail "$name" "status $found, expected $status" "command: $*" "$(tail -n 5 out.txt)"
  elif ! grep -Eq -- "$pattern" out.txt; then
    fail "$name" "no line matches: $pattern" "command: $*" "$(tail -n 5 out.txt)"
  elif grep -Eq 'terminate called|Segmentation fault|core dumped|internal error' out.txt; then
    fail "$name" "it crashed" "$(tail -n 5 out.txt)"
  else
    pass "$name"
  fi
}

# train_on NAME RANKS COMMAND...: the command, a training, with run.dir=NAME on so many ranks; a failure is one of the test. Its output: NAME.txt.
train_on() {
  local name=$1 n=$2
  shift 2
  if ! ranks "$n" "$@" run.dir="$name" >"$name.txt" 2>&1; then
    fail "$name runs" "$(tail -n 5 "$name.txt")"
    return 1
  fi
}

# Short documents of many lengths, so that rows hold several and some end where a shard does: one text, and JSONL.
make_text() { for i in $(seq 1 40); do head -c $((i * 7 % 61 + 3)) /usr/share/common-licenses/GPL-3 | tail -c +$((i % 17 + 1)); done >text.txt; }
make_jsonl() {
  for i in $(seq 1 60); do
    tail -c +$((i * 211)) /usr/share/common-licenses/GPL-3 | head -c $((i * 37 % 150 + 5)) | tr '"\\\n\t' "'/  " | sed 's/.*/{"text":"&"}/'
    echo
  done >text.jsonl
}

# used NAME VERB SITE RUN: the run's own counters have this verb at this site.
used() {
  if grep -A1 "\"verb\": \"$2\"" "$4/summary.json" | grep -q "\"site\": \"$3\""; then
    pass "$1"
  else
    fail "$1" "no $2 at $3 in $4/summary.json"
  fi
}

lines() { wc -l 2>/dev/null <"$1" || echo 0; }
# A run that is to be killed must last until it is: `endless` is a number of steps for it, and ONEGATHER_TEST_PAUSE=STEP before a command makes every
# rank wait after that step for a signal, where its losses are compared or it must not get past the end of another run.
endless=train.num_steps=1000000
# awaits WHAT COMMAND...: waits until the command succeeds, at most two minutes, and no longer than the background process $child, if that is set, lives:
# a failure and status 1 then.
awaits() {
  local what=$1 ended
  shift
  for _ in $(seq 2400); do
    if [ -n "${child:-}" ] && ! kill -0 "$child" 2>/dev/null; then ended=1; else ended=0; fi # asked first: what it did last counts
    "$@" && return
    if [ $ended -eq 1 ]; then
      fail "$what" "the run had ended before"
      return 1
    fi
    sleep 0.05
  done
  fail "$what" "not within two minutes"
  return 1
}
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }
# after FILE N: waits until the metrics file of the run in $child has N lines; a run that is over by then cannot be killed, and is a failure.
after() {
  awaits "$1 has $2 lines" has_lines "$1" "$2" || return
  [ -z "${child:-}" ] || kill -0 "$child" 2>/dev/null || fail "after $2 lines of $1 the run is still there" "it had ended"
}
# catches PID SIGNAL FILE: the process runs that file, and a signal of this number would not end it unheard.
catches() {
  tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$3" &&
    [ $((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status") >> ($2 - 1) & 1)) -eq 1 ]
}
# status NAME EXPECTED FOUND LOG
status() { if [ "$3" -eq "$2" ]; then pass "$1"; else fail "$1" "status $3, expected $2" "$(tail -n 8 "$4")"; fi; }
# said NAME PATTERN LOG
said() { if grep -Eq "$2" "$3"; then pass "$1"; else fail "$1" "no line matches: $2" "$(tail -n 8 "$3")"; fi; }
# within NAME SECONDS MOST
within() { if [ "$2" -le "$3" ]; then pass "$1 ($2 s)"; else fail "$1" "$2 s, at most $3"; fi; }

# column KEY FILE: that key of every line of a metrics.jsonl.
column() { grep -o "\"$1\": *[^,}]*" "$2" | cut -d: -f2 | tr -d ' '; }

# close NAME KEY BOUND A B [LINES]: the first LINES values (default all) of KEY in two metrics files differ by at most BOUND, relative.
close() {
  local name=$1 key=$2 bound=$3 a=$4 b=$5 lines=${6:-1000000} report
  if [ ! -s "$a" ] || [ ! -s "$b" ]; then
    fail "$name" "missing $a or $b"
    return
  fi
  report=$(paste <(column "$key" "$a" | head -n "$lines") <(column "$key" "$b" | head -n "$lines") | awk -v bound="$bound" '
    BEGIN { worst = 0 }
    NF != 2 { print "line " NR ": one file is shorter"; bad = 1; exit }
    { d = $1 - $2; if (d < 0) d = -d; s = $1 < 0 ? -$1 : $1; if (s < 1e-300) s = 1e-300
      if (!(d / s <= worst)) { worst = d / s; at = NR } n++ }
    END { if (!bad) { if (n == 0) print "no values"; else if (!(worst <= bound)) print "value " at " differs by " worst; else print "ok " worst } }')
  case $report in
    ok*) pass "$name (worst ${report#ok })" ;;
    *) fail "$name" "$report, bound $bound" ;;
  esac
}

# Equality with one rank, for a test that has a train NAME RANKS KEYS... of its own: first references, then equal WHAT RANKS KEYS... for every
# layout: losses, gradient norms and the columns in $also equal those of one rank to 1e-9 in f64 over all steps, to 1e-5 in f32 at the first. The
# f64 run's folder: WHAT without punctuation.
references() { train one 1 && train single 1 train.precision=f32 train.num_steps=1; }
equal() {
  local what=$1 n=$2 name column
  shift 2
  name=$(tr -dc 'a-z0-9_' <<<"$what")
  train "$name" "$n" "$@" || return
  for column in loss grad_norm ${also:-}; do close "$what: f64 $column" "$column" 1e-9 one/metrics.jsonl "$name/metrics.jsonl"; done
  train "$name-f32" "$n" "$@" train.precision=f32 train.num_steps=1 || return
  for column in loss grad_norm; do close "$what: f32 first $column" "$column" 1e-5 single/metrics.jsonl "$name-f32/metrics.jsonl" 1; done
}
# keys DEGREES: parallel.D for each of them.
# The choices of a config's key but auto, as its refusal of another word names them.
choices() { "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" "$1=which" 2>&1 | sed -nE 's/.*one of auto, (.*), found .*/\1/p' | tr -d ,; }
keys() { printf ' parallel.%s' $1; }
# The tiny model on short documents, which the tests of layouts train: a test's train is train_tiny or has more keys.
train_tiny() {
  [ -e text.jsonl ] || make_jsonl
  train_on "$1" "$2" "$ONEGATHER" train "$root/tests/program/configs/tiny.yaml" data.train=[text.jsonl] data.eval=[text.jsonl] "${@:3}"
}

finish() {
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}
