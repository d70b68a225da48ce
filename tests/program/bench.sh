#!/usr/bin/env bash
# `bench comm`, `bench sequence`: figures and JSON on two ranks and alone, wrong use refused.
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

sequence=("$ONEGATHER" bench sequence --heads 2 --head-dim 16 --repeats 1)
expect "bench sequence, a layer by every method" 0 '^scan +1K +1 +[0-9]' ranks 2 "${sequence[@]}" --lengths 256..1K --json a.json --plot a.png
# points NAME FILE EXPRESSION: python's verdict on a whole file, parsed as j; p: its points.
points() {
  if report=$(python3 -c "import json; j = json.load(open('$2')); p = j['points']; assert $3, json.dumps(j)[:600]" 2>&1); then
    pass "$1"
  else
    fail "$1" "$(tail -n 1 <<<"$report")"
  fi
}
points "every method at every length, checked against one rank" a.json \
  "len(p) == 24 and all(x['status'] == 'measured' and x['check_error'] < 1e-4 and x['tokens_per_second'] > 0 and x['peak_memory_bytes'] > 0 for x in p)"
points "a state's bytes do not grow with the sequence" a.json \
  "len({x['bytes_received'] for x in p if x['method'] == 'lasp2'}) == 1 and all(x['bytes_received'] > 0 for x in p)"
if [ "$(head -c 4 a.png | tail -c 3)" = PNG ]; then pass "the plot is a picture"; else fail "the plot is a picture"; fi
expect "a sweep goes on from its file" 0 'taken over' ranks 2 "${sequence[@]}" --lengths 256..2K --resume a.json
points "with the points that were missing" a.json "len(p) == 32 and sorted({x['length'] for x in p}) == [256, 512, 1024, 2048]"
expect "another sweep's file is refused" 2 'was measured with' ranks 2 "${sequence[@]}" --lengths 256 --mixer linear --resume a.json
expect "linear attention by left products round a ring, checked against one rank" 0 "^ring-left +512 +1 +[0-9]" ranks 2 "${sequence[@]}" --mixer linear \
  --methods ring,ring-left,ring-left-blocking --lengths 512
expect "left products with a gate" 2 "ring-left is not built for gla" "${sequence[@]}" --methods ring-left
expect "softmax layers by their methods" 0 '^ulysses +256' ranks 2 "${sequence[@]}" --mixer attention --lengths 256
expect "a dense carry without overlap, groups of the ranks" 0 '^lasp2-blocking +512' ranks 2 "${sequence[@]}" --mixer gated_delta_net \
  --methods lasp2,lasp2-blocking --lengths 512 --ranks 1,2 --mode weak
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
expect "whole steps of a config, tokens a rank fixed" 0 '^lasp1 +64 +2 ' ranks 2 "${sequence[@]}" --config tiny.yaml --methods lasp2,lasp1 --lengths 64 \
  --mode fixed --tokens-per-rank 64
expect "what takes too long is shown and not run" 0 'not run: two passes are estimated' ranks 2 "${sequence[@]}" --lengths 64K --seconds-limit 0.001
expect "a method of no layer" 2 'all_gather_kv is not built for gla' "${sequence[@]}" --methods all_gather_kv

finish
