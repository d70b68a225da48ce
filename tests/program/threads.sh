#!/usr/bin/env bash
# How the program's idle threads wait: it restarts itself once, so that OpenMP lets them spin for a bounded time and then sleep, unless the user said how.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
unset OMP_WAIT_POLICY GOMP_SPINCOUNT
if ! "$ONEGATHER" --version | grep -q 'with .*OpenMP'; then
  echo "not run: how threads wait (built without OpenMP)"
  finish
  exit
fi
# spins [VARIABLE=VALUE]: what libgomp says, the last time that it is loaded, of how long threads spin.
spins() { env OMP_DISPLAY_ENV=verbose "$@" "$ONEGATHER" --version 2>&1 | sed -n "s/.*GOMP_SPINCOUNT = '\([0-9]*\)'.*/\1/p" | tail -n 1; }
# 25 us are 100 turns on a slow processor and 25,000 on one without a pause; libgomp's own count is 300,000.
found=$(spins)
if [ "${found:-0}" -ge 20 ] && [ "$found" -le 40000 ]; then pass "spinning is bounded ($found turns)"; else fail "spinning is bounded" "GOMP_SPINCOUNT is ${found:-not shown}"; fi
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "found $2, expected $3"; fi; }
is "GOMP_SPINCOUNT of the user's own is left alone" "$(spins GOMP_SPINCOUNT=777)" 777
is "OMP_WAIT_POLICY too" "$(spins OMP_WAIT_POLICY=passive)" 0
# The same process, arguments and standard input.
"$ONEGATHER" train tiny.yaml "$endless" "run.dir=a  b" </dev/null >out.txt 2>&1 &
child=$!
after "a  b/metrics.jsonl" 1
is "the process keeps its name" "$(cat /proc/$child/comm)" "$(basename "$ONEGATHER")"
is "and its arguments" "$(tr '\0' '|' <"/proc/$child/cmdline")" "$ONEGATHER|train|tiny.yaml|$endless|run.dir=a  b|"
if tr '\0' '\n' <"/proc/$child/environ" | grep -q '^GOMP_SPINCOUNT='; then pass "it is told how to wait"; else fail "it is told how to wait"; fi
kill -TERM $child
wait $child
status "a signal finds it: 130" 130 $? out.txt
finish
