#!/usr/bin/env bash
# Text, JSONL, compressed files and token files through the real program: the same documents from each, mixtures, damage, nothing overwritten.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
awk 'NR % 7 == 0 && /^[ A-Za-z,.]+$/ { printf "{\"id\": %d, \"body\": \"%s\"}\n", NR, $0 }' /usr/share/common-licenses/GPL-3 >lines.jsonl
gzip -k lines.jsonl && zstd -q lines.jsonl
data=("$ONEGATHER" data)

# One text in three wrappings gives the same tokens.
for file in lines.jsonl lines.jsonl.gz lines.jsonl.zst; do
  expect "prepares $file" 0 'documents' "${data[@]}" prepare $file --text-field body --output "$file.tokens"
done
if cmp -s lines.jsonl.tokens lines.jsonl.gz.tokens && cmp -s lines.jsonl.tokens lines.jsonl.zst.tokens; then
  pass "plain, gzip and zstd give the same token file"
else
  fail "plain, gzip and zstd give the same token file"
fi
expect "inspect shows documents" 0 'document 0, [0-9]+ tokens: ' "${data[@]}" inspect lines.jsonl.tokens
expect "inspect shows text as it would be read" 0 'text.txt: 1 document, 20000 bytes, 20001 tokens' "${data[@]}" inspect text.txt
expect "a field that is not there names file and line" 3 'lines.jsonl:1.*text' "${data[@]}" inspect lines.jsonl

# What must not be overwritten or mixed up.
cp text.txt kept.txt
expect "an input is not overwritten" 3 'text.txt' "${data[@]}" prepare text.txt --output text.txt
cp lines.jsonl lines.txt && printf '{"text": null}\n' >none.jsonl
cmp -s text.txt kept.txt && pass "it is as it was" || fail "it is as it was"
expect "a token file is not text" 3 'lines.jsonl.tokens' "${data[@]}" prepare lines.jsonl.tokens --output again.tokens
expect "an output folder that is not there" 3 'nowhere' "${data[@]}" prepare text.txt --output nowhere/out.tokens
expect "neither output nor tokenizer" 2 'output' "${data[@]}" prepare text.txt
expect "neither prepare nor inspect" 2 'prepare or inspect' "${data[@]}" prepar text.txt

# Tokenizer training: the pieces name themselves.
expect "trains a tokenizer" 0 'text.model' "${data[@]}" prepare text.txt --train-tokenizer text --vocab-size 400 --output text.tokens
expect "its tokens read back" 0 'GNU GENERAL PUBLIC LICENSE' "${data[@]}" inspect text.tokens --tokenizer sentencepiece:text.model
expect "another tokenizer is refused" 3 'text.tokens.*sentencepiece.*bytes' "${data[@]}" inspect text.tokens --tokenizer bytes
expect "a model that is none" 3 'text.txt: not a SentencePiece model' "${data[@]}" inspect text.tokens --tokenizer sentencepiece:text.txt
expect "a tokenizer that cannot be written" 3 'nowhere' "${data[@]}" prepare text.txt --train-tokenizer nowhere/text
expect "fewer pieces than characters" 3 '10' "${data[@]}" prepare text.txt --train-tokenizer few --vocab-size 10

# Training from them.
train=("$ONEGATHER" train tiny.yaml train.precision=f32 train.num_steps=2 data.text_field=body)
expect "trains from a mixture" 0 'done' "${train[@]}" run.dir=mixture 'data.train=[{path: text.txt, weight: 3}, {path: "lines.jsonl.*z*", weight: 1}]' \
  data.eval=lines.jsonl.tokens
expect "evaluates on other files, key=value after them" 0 'bits per byte' "$ONEGATHER" eval mixture --data lines.jsonl lines.jsonl.gz train.threads=1
expect "a weight of nothing" 2 'weight' "${train[@]}" run.dir=none 'data.train=[{path: text.txt, weight: 1.0e9}, lines.jsonl]'

# What a file is: lines of JSON under other names, an array, a doubt. No wrong reading has status 0.
sed 's/"body"/"text"/' lines.jsonl >plain.jsonl
lines=$(wc -l <lines.jsonl)
cp plain.jsonl DOCS.NDJSON && gzip -c plain.jsonl >c4.json.gz && cp c4.json.gz part-00000
for file in DOCS.NDJSON c4.json.gz part-00000; do
  expect "$file is lines" 0 "$file: $lines documents" "${data[@]}" inspect $file
done
expect "the key says text" 0 'DOCS.NDJSON: 1 document' "${data[@]}" inspect DOCS.NDJSON --format text
expect "no such format" 2 'format.*auto, text or jsonl.*json$' "${data[@]}" inspect DOCS.NDJSON --format json
{ printf '[\n'; sed '$!s/$/,/' plain.jsonl; printf ']\n'; } >array.json
train=("$ONEGATHER" train tiny.yaml train.precision=f32 train.num_steps=2 data.eval=[])
expect "an array is refused with how to make lines of it" 3 "array.json: one JSON array.*jq -c '.\[\]' array.json > array.jsonl.*data.format" \
  "${train[@]}" data.train=array.json run.dir=array
expect "lines without the text field under another name" 3 'lines.txt.*"id", "body".*data.format' \
  "${train[@]}" data.train=lines.txt run.dir=doubt
expect "a format that is not built" 2 'data.format.*chat is not built yet; built: auto, text, jsonl' "${train[@]}" data.format=chat
expect "nor megatron's" 2 'data.format.*megatron is not built yet' "${train[@]}" data.format=megatron
expect "a format that is none" 2 'data.format.*json.*did you mean' "${train[@]}" data.format=json
for format in auto jsonl text; do
  expect "trains with data.format: $format" 0 'done' "${train[@]}" data.train=c4.json.gz data.format=$format run.dir="format-$format"
done
one() { column loss "$1/metrics.jsonl" | head -n 1; }
[ "$(one format-auto)" = "$(one format-jsonl)" ] && [ "$(one format-auto)" != "$(one format-text)" ] && pass "auto trains on lines" || fail "auto trains on lines"
expect "eval reads it so too" 0 'bits per byte' "$ONEGATHER" eval format-auto --data part-00000 train.threads=1
expect "a resumed run reads it as before" 3 '^  data.format: auto in the checkpoint, text now' "${train[@]}" data.train=c4.json.gz data.format=text run.dir=format-auto train.num_steps=4
expect "the same tokens by another name" 0 'changed since the checkpoint: data.format: auto' "${train[@]}" data.train=c4.json.gz data.format=jsonl run.dir=format-auto train.num_steps=4
expect "a text where lines are meant" 3 'text.txt:1: not JSON.*; data.format: text takes the file as one text' "$ONEGATHER" eval format-jsonl --data text.txt train.threads=1

# Bad lines: refused by file and line, or left out and counted, also when they come from the cache.
{ cat plain.jsonl; printf '{"text": null}\n{"text": "\\ud800"}\n{"text": "a\\u0000"}\n{"id": 1}\n'; } >bad.jsonl
expect "a bad line" 3 "bad.jsonl:$((lines + 1)): \"text\" is null.*data.bad_lines: skip" "${train[@]}" data.train=bad.jsonl run.dir=bad
for start in 1 2; do
  expect "left out and counted, start $start" 0 'bad.jsonl: 4 (of|bad lines)' "${train[@]}" data.train=bad.jsonl run.dir="skip-$start" data.bad_lines=skip
done
[ "$(one skip-1)" = "$(one format-auto)" ] && [ "$(one skip-2)" = "$(one format-auto)" ] && pass "they train as if they were not there" ||
  fail "they train as if they were not there"
expect "prepare counts them" 0 "bad.tokens: $lines documents.*; 4 bad lines left out" "${data[@]}" prepare bad.jsonl --bad-lines skip --output bad.tokens
expect "inspect knows of them" 0 'skipped_lines: 4' "$ONEGATHER" inspect bad.tokens
expect "a file of bad lines" 3 'none.jsonl: no good line' "${data[@]}" inspect none.jsonl --bad-lines skip
{ printf '\357\273\277'; cat kept.txt; } >mark.txt
"${data[@]}" prepare mark.txt --output mark.tokens >/dev/null && "${data[@]}" prepare kept.txt --output kept.tokens >/dev/null
cmp -s mark.tokens kept.tokens && pass "a byte order mark is no text" || fail "a byte order mark is no text"

# Compressed files that are valid and unusual, and some that are half good.
{ printf '\120\052\115\030\004\000\000\000\001\002\003\004'; zstd -qc plain.jsonl; } >skippable.jsonl.zst
expect "a skippable frame before the text" 0 "$lines documents" "${data[@]}" inspect skippable.jsonl.zst
{ head -n 5 plain.jsonl | gzip -c; tail -n +6 plain.jsonl | gzip -c | tr '\213' '\214'; } >later.jsonl.gz
{ gzip -c plain.jsonl; printf 'tail'; } >tail.jsonl.gz
expect "a damaged later member" 3 'later.jsonl.gz: damaged.*Good up to there: 1 gzip member of .* 5 lines' "${train[@]}" data.train=later.jsonl.gz run.dir=later
expect "bytes after the end" 3 "tail.jsonl.gz: damaged.*1 gzip member.* $lines lines" "${train[@]}" data.train=tail.jsonl.gz run.dir=tail

# Token files.
train=("$ONEGATHER" train tiny.yaml train.precision=f32 train.num_steps=2 data.text_field=body)
size=$(stat -c %s lines.jsonl.tokens)
for damage in truncated corrupted renamed; do
  cp lines.jsonl.tokens damaged.tokens
  case $damage in
    truncated) truncate -s $((size / 2)) damaged.tokens ;;
    corrupted) printf '\1' | dd of=damaged.tokens bs=1 seek=5001 conv=notrunc status=none ;;
    renamed) cp text.txt damaged.tokens ;;
  esac
  expect "$damage token file" 3 'damaged.tokens: damaged token file.*onegather data prepare' "${train[@]}" data.train=damaged.tokens run.dir=$damage
done
for file in data-cache/*.tokens; do truncate -s 4500 "$file"; done
expect "a damaged cache is made again" 0 'done' "${train[@]}" data.train=text.txt data.eval=text.txt run.dir=again
head -c 15000 kept.txt >text.txt
expect "other data under the same name is not resumed" 3 'data.train' "${train[@]}" data.train=text.txt data.eval=text.txt run.dir=again train.num_steps=4
cp kept.txt text.txt
expect "the same data is" 0 'done' "${train[@]}" data.train=text.txt data.eval=text.txt run.dir=again train.num_steps=4
finish
