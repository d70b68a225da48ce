#!/usr/bin/env bash
# `onegather plan` and `onegather doctor --measure` through the real program. --full: forecasts against measured steps.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
cluster=$root/configs/clusters/h100.yaml
plan=("$ONEGATHER" plan tiny.yaml train.precision=f32)

expect "every legal layout, the best first, with its reason" 0 '^why:  .*(less|first|fit)' "${plan[@]}" --cluster "$cluster" --ranks 4
expect "collectives by name" 0 '"verb": "all_gather", "site": "mixer.forward"' "${plan[@]}" --cluster "$cluster" --ranks 4 --json
expect "JSON" 0 '^\{"cluster": .*"layouts": \[\{"data": ' "${plan[@]}" --cluster "$cluster" --ranks 2 --json
expect "pipelines and ZeRO-1 are searched" 0 'pipeline 2, ZeRO-1' "${plan[@]}" --cluster "$cluster" --ranks 4 --rows 1000
sed 's/^memory_bytes:.*/memory_bytes: 1.0e+5/' "$cluster" >little.yaml
expect "one rank has the memory of one GPU" 0 'no layout fits into memory; the one that takes least: one rank' "${plan[@]}" --cluster little.yaml --ranks 1
expect "more ranks than devices" 2 '17 ranks on the 16 devices' "${plan[@]}" --cluster "$cluster" --ranks 17
expect "no cluster" 2 'expected CONFIG and --cluster' "${plan[@]}"
expect "ranks beyond an int" 2 '4294967297' "${plan[@]}" --cluster "$cluster" --ranks 4294967297
expect "no legal layout: the nearest, by key" 2 'no layout of 7 ranks is legal; the nearest is .*: .*(train|parallel|model)\.[a-z_.]+: ' "${plan[@]}" --cluster "$cluster" --ranks 7 parallel.sequence_method=ulysses parallel.softmax_sequence_method=ulysses
expect "what takes seconds is said before" 0 'plan: measuring layers with parallel.tensor 1' "${plan[@]}" --cluster "$cluster" --ranks 1 model.hidden_size=2048 model.num_hidden_layers=1 model.layer_pattern=G model.channel_pattern=P
ranks 2 "${plan[@]}" --cluster "$cluster" --ranks 2 >twice.txt 2>&1
if [ "$(grep -c '^best: ' twice.txt)" = 1 ]; then pass "two processes print one plan"; else fail "two processes print one plan" "$(head -n 5 twice.txt)"; fi
sed 's/bandwidth: 3.*e+11/bandwidth: nan/' "$cluster" >nan.yaml
expect "a bandwidth that is no number" 2 'nan.yaml:[0-9]+: inside.bandwidth: expected a number >= 1, found nan' "${plan[@]}" --cluster nan.yaml
expect "--validate beside a config" 2 '--validate takes neither CONFIG nor --cluster' "${plan[@]}" --validate
expect "a missing cluster file" 3 'nowhere.yaml' "${plan[@]}" --cluster nowhere.yaml
sed 's/devices_per_node/devices_per_nod/' "$cluster" >misspelt.yaml
expect "a misspelt key of the cluster" 2 'misspelt.yaml:[0-9]+: unknown key devices_per_nod; did you mean devices_per_node' "${plan[@]}" --cluster misspelt.yaml
expect "this machine as a cluster" 0 'written to here.yaml' "$ONEGATHER" doctor --measure here.yaml
expect "a place that cannot be written is told before measuring" 2 'cannot write nowhere/here.yaml' timeout 5 "$ONEGATHER" doctor --measure nowhere/here.yaml
expect "planned for" 0 '^best: ' "${plan[@]}" --cluster here.yaml --ranks 1

if [ "${ONEGATHER_FULL:-0}" = 1 ]; then
  unset OMP_NUM_THREADS
  ranks 2 "$ONEGATHER" plan --validate >validate.txt 2>&1
  cat validate.txt
  # A row ends in "+1.2% yes  step, measured, +3.4% no": memory gates, time is printed.
  if [ "$(grep -cE '% yes .*% (yes|no)$' validate.txt)" = 5 ] && ! grep -E '% no .*% (yes|no)$' validate.txt; then
    pass "memory forecasts within 10 % of five measured steps"
  else
    fail "memory forecasts within 10 % of five measured steps" "$(head -n 8 validate.txt)"
  fi
  if grep -q '2502.07563, table 6' validate.txt; then pass "the published tables are printed"; else fail "the published tables are printed"; fi
else
  echo "not run: forecasts against measured steps (give --full)"
fi
finish
