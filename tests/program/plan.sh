#!/usr/bin/env bash
# `onegather plan` and `onegather doctor --measure` through the real program. --full: forecasts against measured steps.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
cluster=$root/configs/clusters/h100.yaml
plan=("$ONEGATHER" plan tiny.yaml train.precision=f32)

expect "every legal layout, the best first, with its reason" 0 '^best: .*(less|first|fit)' "${plan[@]}" --cluster "$cluster" --ranks 4
expect "collectives by name" 0 'all_gather +mixer.forward' "${plan[@]}" --cluster "$cluster" --ranks 4 train.tokens_per_step=48 train.micro_batch_size=1
expect "JSON" 0 '^\{"cluster": .*"layouts": \[\{"data": ' "${plan[@]}" --cluster "$cluster" --ranks 2 --json
expect "more ranks than devices" 2 '17 ranks on the 16 devices' "${plan[@]}" --cluster "$cluster" --ranks 17
expect "no cluster" 2 'expected CONFIG and --cluster' "${plan[@]}"
expect "a missing cluster file" 3 'nowhere.yaml' "${plan[@]}" --cluster nowhere.yaml
sed 's/devices_per_node/devices_per_nod/' "$cluster" >misspelt.yaml
expect "a misspelt key of the cluster" 2 'misspelt.yaml:[0-9]+: unknown key devices_per_nod; did you mean devices_per_node' "${plan[@]}" --cluster misspelt.yaml
expect "this machine as a cluster" 0 'written to here.yaml' "$ONEGATHER" doctor --measure here.yaml
expect "planned for" 0 '^best: ' "${plan[@]}" --cluster here.yaml --ranks 1

if [ "${ONEGATHER_FULL:-0}" = 1 ]; then
  unset OMP_NUM_THREADS
  ranks 2 "$ONEGATHER" plan --validate >validate.txt 2>&1
  cat validate.txt
  # name; degrees, forecast, measured, error%, step s, measured, error%: memory is held to 10 %, time is printed.
  if awk '/%$/ && /MiB|GiB/ { n++; split($0, part, "%"); sub(/.* /, "", part[1]); if (part[1] + 0 > 10 || part[1] + 0 < -10) bad++ }
          END { exit n != 5 || bad }' validate.txt; then
    pass "memory forecasts within 10 % of five measured steps"
  else
    fail "memory forecasts within 10 % of five measured steps" "$(head -n 8 validate.txt)"
  fi
  if grep -q 'LASP-2, table 6' validate.txt; then pass "the published tables are printed"; else fail "the published tables are printed"; fi
else
  echo "not run: forecasts against measured steps (give --full)"
fi
finish
