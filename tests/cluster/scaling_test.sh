#!/usr/bin/env bash
# tests/cluster/scaling.sh --quick: the estimate comes first, every point is measured and right, a second call takes all of them over, another
# rate is another measurement.
. "$(dirname "${BASH_SOURCE[0]}")/../program/expect.sh"
if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! command -v tc >/dev/null || ! unshare -n true 2>/dev/null; then
  echo "not run: the scaling sweep on several hosts (needs root, network namespaces, iproute2)"
  finish
  exit
fi
unset OMP_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
export ONEGATHER_SCALING=$work ONEGATHER_CLUSTER=ogquick
if ! "$root/tests/cluster/up.sh" 4 >up.txt 2>&1; then
  echo "not run: the scaling sweep on several hosts ($(tail -n 1 up.txt))"
  finish
  exit
fi
scaling() { "$root/tests/cluster/scaling.sh" --quick "$@"; }
results=$work/scaling-1gbit-quick

expect "a quick sweep on four hosts" 0 '^lasp2 .* 8K ' scaling
if awk '/^all three: estimated at [0-9]+ s and [0-9.]+ GiB/ { said = 1 } /tokens\/s/ { exit !said } END { exit !said }' out.txt; then
  pass "the estimate of all three comes before the first figure"
else
  fail "the estimate of all three comes before the first figure" "$(head -n 12 out.txt)"
fi
# points NAME FILE COUNT EXPRESSION: python's verdict on every point p of a sweep.
points() {
  if report=$(python3 -c "
import json
points = json.load(open('$results/$2'))['points']
assert len(points) == $3, len(points)
for p in points: assert $4, p" 2>&1); then
    pass "$1"
  else
    fail "$1" "$(tail -n 1 <<<"$report")"
  fi
}
right="p['status'] == 'measured' and p['ranks'] == 4 and p['tokens_per_second'] > 0 and p['check_error'] < 1e-4 and p['check_rows'] >= 1"
points "a linear layer: every method at every length, checked at its own length" linear.json 26 "$right and p['check_length'] == p['length']"
points "softmax attention likewise" softmax.json 8 "$right and p['check_length'] == p['length']"
points "steps of a model: as many tokens a rank at every length" model.json 4 "$right and p['rows'] * p['length'] == 8192"
points "states travel over the links, whatever the length" linear.json 26 "p['method'] != 'lasp2' or 20e3 < p['bytes_received'] < 30e3"
expect "a second call goes on from the first" 0 'estimate, 4 ranks: 0 points, 0 of them not run, 26 taken over' scaling
if [ "$(grep -c '(taken over)' out.txt)" -eq 38 ]; then pass "with all points taken over"; else fail "with all points taken over" "$(tail -n 5 out.txt)"; fi
cp "$results/linear.json" rate.json
expect "figures of another rate are not taken over" 2 'label: 1gbit there, 10gbit here' "$ONEGATHER" bench sequence --mixer linear --heads 4 \
  --head-dim 16 --lengths 2K --methods lasp2 --label 10gbit --resume rate.json
if ip netns list | grep -q '^ogquick-'; then fail "no host is left behind" "$(ip netns list)"; else pass "no host is left behind"; fi
finish
