#!/usr/bin/env bash
# Every mixer type and feature map through the real program: f64 training is the same on one rank and on a cut sequence, bf16 trains, the
# checkpoint generates, and the mixer command gives on three ranks what it gives on one.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
make_jsonl

# yaml MIXER: a model of two layers of it.
yaml() {
  cat <<END
model:
  hidden_size: 16
  num_hidden_layers: 2
  layer_pattern: X
  channel_pattern: P
  mixers: {X: {$1}}
  channels: {P: {type: mlp, intermediate_size: 24}}
data: {train: [text.jsonl], eval: [text.jsonl], tokenizer: bytes, sequence_length: 40}
train:
  num_steps: 5
  tokens_per_step: 160
  optimizer: {type: adamw, learning_rate: 3.0e-3}
  schedule: {type: cosine, warmup_steps: 2}
  precision: f64
  threads: 1
run: {log_every: 100}
END
}

names=() settings=()
mixer() { names+=("$1"); settings+=("$2"); }
heads="num_heads: 2, head_k_dim: 8, head_v_dim: 8"
listed=$("$ONEGATHER" mixer --list | grep -oE '^ *[a-z][a-z_0-9]+' | tr -d ' ')
for type in $listed; do [ "$type" = attention ] || mixer "$type" "type: $type, $heads"; done
for map in elu_plus_one relu squared_relu softmax hedgehog; do
  mixer "linear-$map" "type: linear, feature_map: $map, $heads"
  mixer "linear-$map-normalized" "type: linear, feature_map: $map, normalize: true, $heads"
done
softmax="num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8"
mixer attention "type: attention, $softmax"
mixer attention-window "type: attention, sliding_window: 7, $softmax"
if [ "$(wc -w <<<"$listed")" -ge 9 ]; then pass "mixer --list names them"; else fail "mixer --list names them" "$listed"; fi

for i in "${!names[@]}"; do
  name=${names[$i]}
  yaml "${settings[$i]}" >"$name.yaml"
  expect "$name: one rank" 0 'done' "$ONEGATHER" train "$name.yaml" run.dir="$name-1"
  expect "$name: two sequence ranks" 0 'done' ranks 2 "$ONEGATHER" train "$name.yaml" run.dir="$name-2" parallel.sequence=2
  close "$name: equal losses" loss 1e-9 "$name-1/metrics.jsonl" "$name-2/metrics.jsonl"
  close "$name: equal gradient norms" grad_norm 1e-9 "$name-1/metrics.jsonl" "$name-2/metrics.jsonl"
  expect "$name: bf16 products" 0 'done' "$ONEGATHER" train "$name.yaml" run.dir="$name-b" train.precision=bf16
  close "$name: bf16 begins where f64 does" loss 1e-2 "$name-1/metrics.jsonl" "$name-b/metrics.jsonl" 1
  expect "$name: generates" 0 '' "$ONEGATHER" generate "$name-b" --prompt "a b" --tokens 4
done

# The mixer command on tensors from a file. tensor NAME SHAPE SIGN adds one of f64 to header and body: numbers of magnitude 1/4 to 1/2, sixteen
# mantissa bits long, of that sign (63 positive, 191 negative, 0 both: the last byte of a little-endian double).
tensor() {
  local count=$((${2//,/ * }))
  header="$header${header:+,}\"$1\":{\"dtype\":\"F64\",\"shape\":[$2],\"data_offsets\":[$bytes,$((bytes + 8 * count))]}"
  # shellcheck disable=SC2059
  printf "$(awk -v n=$count -v sign="$3" -v key=$bytes 'BEGIN { x = key + 17
    for (i = 0; i < n; ++i) { x = (x * 1103 + 12345) % 65521; last = sign ? sign : (int(x / 64) % 2 ? 63 : 191)
      printf "\\000\\000\\000\\000\\000\\%03o\\%03o\\%03o", x % 256, 208 + int(x / 4096), last } }')" >>body.bin
  bytes=$((bytes + 8 * count))
}
length=23
for type in $listed; do
  header='' bytes=0
  : >body.bin
  "$ONEGATHER" mixer "$type" --describe >streams.txt
  for stream in q k v g beta; do
    dims=$(sed -n "s/^  $stream  *\[\([A-Z,]*\)\].*/\1/p" streams.txt)
    [ -n "$dims" ] || continue
    sign=0
    [ $stream = g ] && sign=191
    [ $stream = beta ] && sign=63
    tensor $stream "$(sed "s/B/1/; s/T/$length/; s/[GH]/2/; s/[KV]/4/" <<<"$dims")" $sign
  done
  tensor do 1,$length,2,4 0
  if grep -q '^  initial_state' streams.txt; then
    tensor initial_state 1,2,4,4 0
    tensor dfinal_state 1,2,4,4 0
  fi
  text="{$header}"
  while [ $((${#text} % 8)) -ne 0 ]; do text="$text "; done
  # shellcheck disable=SC2059
  { printf "\\$(printf '%03o' $((${#text} % 256)))\\$(printf '%03o' $((${#text} / 256)))\\0\\0\\0\\0\\0\\0"; printf '%s' "$text"; cat body.bin; } >in.safetensors
  for n in 1 3; do
    rm -f out$n.safetensors
    "$ONEGATHER" mixer "$type" --input in.safetensors --output out$n.safetensors --ranks $n >out.txt 2>&1 ||
      fail "mixer $type: $n ranks" "$(tail -n 3 out.txt)"
  done
  # The outputs as text, one double a line, past the header (whose length the first bytes say); both files lay them out alike.
  rm -f out1.txt out3.txt
  for n in 1 3; do
    [ -s out$n.safetensors ] || continue
    skip=$((8 + $(od -An -tu8 -N8 out$n.safetensors)))
    od -An -v -w8 -tfD -j$skip out$n.safetensors >out$n.txt
  done
  [ -s out1.txt ] && [ -s out3.txt ] || continue # it has been told above
  report=$(paste out1.txt out3.txt | awk 'NF != 2 || !($1 == $1 + 0) { bad = 1 } { d = $1 - $2; if (d < 0) d = -d; if (!(d <= worst)) worst = d
    if ($1 != 0) n++ } END { printf "%s %g of %d numbers", (!bad && n > 100 && worst <= 1e-10) ? "ok" : "bad", worst + 0, n }')
  case $report in
    ok*) pass "mixer $type: three ranks give what one gives, gradients too (worst ${report#ok })" ;;
    *) fail "mixer $type: three ranks give what one gives" "${report#bad }" ;;
  esac
done
finish
