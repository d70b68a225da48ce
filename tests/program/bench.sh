#!/usr/bin/env bash
# `bench comm`: figures and JSON on two ranks and alone, wrong use refused.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

# json NAME FILE EXPRESSION: python's verdict on the last line of FILE, parsed as j.
json() {
  if report=$(tail -n 1 "$2" | python3 -c "import json, sys; j = json.load(sys.stdin); assert $3, json.dumps(j)[:400]" 2>&1); then
    pass "$1"
  else
    fail "$1" "$(tail -n 1 <<<"$report")"
  fi
}

expect "bench comm on two ranks" 0 '^all_to_all +alpha' ranks 2 "$ONEGATHER" bench comm --sizes 1K..64K --json
json "every verb at every size" out.txt \
  "len(j['rows']) == 1 + 6 * 4 and set(j['fits']) == {'barrier', 'all_gather', 'all_reduce', 'reduce_scatter', 'all_to_all', 'broadcast', 'send_recv'}"
json "bytes as counted by hand" out.txt \
  "[r['received_bytes'] for r in j['rows'] if r['size_bytes'] == 65536] == [32768, 65536, 32768, 32768, 65536, 65536]"
json "times and fits are positive" out.txt \
  "all(r['seconds'] > 0 for r in j['rows']) and all(f['alpha_seconds'] + f['beta_seconds_per_byte'] > 0 for f in j['fits'].values())"
expect "bench comm alone, sizes that do not divide" 0 '^barrier' "$ONEGATHER" bench comm --sizes 1,1001 --json
json "alone nothing is received" out.txt "j['ranks'] == 1 and all(r['received_bytes'] == 0 for r in j['rows'])"
expect "a size with a wrong unit" 2 "found '1Q'" "$ONEGATHER" bench comm --sizes 1Q
expect "a range that falls" 2 '64K is more than 1K' "$ONEGATHER" bench comm --sizes 64K..1K
expect "buffers larger than the memory" 2 'free are' "$ONEGATHER" bench comm --sizes 512G

finish
