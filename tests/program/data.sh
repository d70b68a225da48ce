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
expect "inspect shows text as it would be read" 0 'text.txt: 1 documents, 20000 bytes, 20001 tokens' "${data[@]}" inspect text.txt
expect "a field that is not there names file and line" 3 'lines.jsonl:1.*text' "${data[@]}" inspect lines.jsonl

# What must not be overwritten or mixed up.
cp text.txt kept.txt
expect "an input is not overwritten" 3 'text.txt' "${data[@]}" prepare text.txt --output text.txt
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
