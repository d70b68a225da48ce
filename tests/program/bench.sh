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
  "len(p) == 24 and all(x['status'] == 'measured' and x['check_error'] < 1e-4 and x['check_length'] == x['length'] and x['tokens_per_second'] > 0 and x['peak_memory_bytes'] > 0 for x in p)"
points "a state's bytes do not grow with the sequence" a.json \
  "len({x['bytes_received'] for x in p if x['method'] == 'lasp2'}) == 1 and all(x['bytes_received'] > 0 for x in p)"
if [ "$(head -c 4 a.png | tail -c 3)" = PNG ]; then pass "the plot is a picture"; else fail "the plot is a picture"; fi
expect "a sweep goes on from its file" 0 'taken over' ranks 2 "${sequence[@]}" --lengths 256..2K --resume a.json
points "with the points that were missing" a.json "len(p) == 32 and sorted({x['length'] for x in p}) == [256, 512, 1024, 2048]"
expect "another sweep's file is refused, with what differs" 2 '^ *mixer: gla there, linear here' ranks 2 "${sequence[@]}" --lengths 256 --mixer linear --resume a.json
expect "as is another number of ranks" 2 'ranks_by_host: 2 there, 1 here' "${sequence[@]}" --lengths 256 --resume a.json
expect "as is another instruction set" 2 'isa: .* there, base here' env ONEGATHER_ISA=base mpirun -np 2 --oversubscribe --bind-to none "${sequence[@]}" --lengths 256 --resume a.json
echo '{}' >empty.json
expect "a file that is none is named" 3 'empty.json: expected a file that bench sequence --json wrote' "${sequence[@]}" --lengths 256 --resume empty.json
expect "a place that cannot be written is named before anything runs" 3 '--json: nowhere/a.json: No such file' ranks 2 "${sequence[@]}" --lengths 256 --json nowhere/a.json
expect "that of the plot too" 3 '--plot: nowhere/a.png: No such file' "${sequence[@]}" --lengths 256 --plot nowhere/a.png
expect "an estimate alone" 0 'estimate, 2 ranks: 2 points, 0 of them not run, 0 taken over; about [0-9]+ s' ranks 2 "${sequence[@]}" --lengths 256 \
  --methods lasp2,ring,lasp2 --estimate --json none.json
if [ ! -e none.json ] && ! grep -q tokens/s out.txt; then pass "measures nothing"; else fail "measures nothing" "$(tail -n 5 out.txt)"; fi
expect "linear attention by left products, checked against one rank" 0 "^megatron-left +512 +1 +[0-9]" ranks 2 "${sequence[@]}" --mixer linear \
  --methods ring,ring-left,ring-left-blocking,ulysses-left,megatron-left --lengths 512 --json left.json
points "of which none differs" left.json "len(p) == 5 and all(x['status'] == 'measured' and x['check_error'] < 1e-5 for x in p)"
expect "left products with a gate" 2 "ring-left: it is not built for gla" "${sequence[@]}" --methods ring-left
expect "softmax layers by their methods" 0 '^ulysses +256' ranks 2 "${sequence[@]}" --mixer attention --lengths 256
expect "a dense carry without overlap, groups of the ranks" 0 '^lasp2-blocking +512' ranks 2 "${sequence[@]}" --mixer gated_delta_net \
  --methods lasp2,lasp2-blocking --lengths 512 --ranks 1,2 --mode weak
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
expect "whole steps of a config, tokens a rank fixed" 0 '^lasp1 +64 +2 ' ranks 2 "${sequence[@]}" --config tiny.yaml --methods lasp2,lasp1 --lengths 64 \
  --mode fixed --tokens-per-rank 64
expect "rows that tokens a rank do not make" 0 'not run: 2 ranks x 100 tokens are not a whole number of rows' ranks 2 "${sequence[@]}" --lengths 64 \
  --mode fixed --tokens-per-rank 100
# tiny.yaml has layers of both kinds.
expect "both kinds of layers by their methods" 0 '^lasp2\+ring +64 +1 +[0-9]' ranks 2 "${sequence[@]}" --config tiny.yaml --lengths 64,1K --json pairs.json \
  --methods lasp2+all_gather_kv,lasp2+ring,lasp1+ulysses,ring
points "which are different steps with the same result" pairs.json \
  "len(p) == 8 and all(x['status'] == 'measured' and x['check_error'] < 1e-9 and x['check_length'] == x['length'] for x in p) and len({x['bytes_received'] for x in p if x['length'] == 1024}) == 4"
pure=(--config tiny.yaml model.layer_pattern=G --lengths 64)
expect "a softmax method of a config without such layers" 2 'all_gather_kv: it is not built for tiny.yaml' "${sequence[@]}" "${pure[@]}" --methods all_gather_kv
expect "a pair for one kind of layers" 2 'lasp2\+ring: LINEAR\+SOFTMAX needs layers of both kinds, and tiny.yaml has no softmax layer' "${sequence[@]}" "${pure[@]}" --methods lasp2+ring
expect "what the config's own checks refuse is not run" 0 '^lasp1 .*not run: .*zigzag needs both summaries' ranks 2 "${sequence[@]}" --config tiny.yaml \
  parallel.sequence_order=zigzag --lengths 64 --methods lasp2,lasp1
expect "tensor ranks are none of the sequence's" 0 '^lasp2 +64 +1 +[0-9]' ranks 4 "${sequence[@]}" --config tiny.yaml parallel.tensor=2 parallel.expert=2 \
  --lengths 64 --methods lasp2 --json tensor.json
expect "a changed config is another sweep" 2 'model.num_hidden_layers: 4 there, 2 here' ranks 4 "${sequence[@]}" --config tiny.yaml parallel.tensor=2 \
  parallel.expert=2 model.num_hidden_layers=2 --lengths 64 --methods lasp2 --resume tensor.json
expect "what takes too long is shown and not run" 0 'not run: two passes are estimated at .* limit 0.001 s' ranks 2 "${sequence[@]}" --lengths 64K --seconds-limit 0.001
expect "a method of no layer" 2 'all_gather_kv: it is not built for gla' "${sequence[@]}" --methods all_gather_kv

finish
