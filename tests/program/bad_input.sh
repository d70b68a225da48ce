#!/usr/bin/env bash
# What users get wrong: a clear message, the documented exit status, nothing overwritten.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
train=("$ONEGATHER" train tiny.yaml train.precision=f32 train.num_steps=4)

# Configs: status 2.
sed 's/hidden_size: 32/hiden_size: 32/' tiny.yaml >misspelt.yaml
expect "misspelt key names file, line and the nearest key" 2 'misspelt.yaml:3.*hiden_size.*hidden_size' "$ONEGATHER" train misspelt.yaml
sed 's/num_steps: 20/num_steps: many/' tiny.yaml >type.yaml
expect "wrong type names key, line, expected and found" 2 'type.yaml:[0-9]+.*num_steps.*many' "$ONEGATHER" train type.yaml
expect "unknown key on the command line" 2 'train.num_step.*num_steps' "${train[@]}" train.num_step=3
expect "unknown pattern letter" 2 'layer_pattern.*X' "${train[@]}" model.layer_pattern=GX
expect "unknown mixer type names the nearest" 2 'glaa.*gla' "${train[@]}" model.mixers.G.type=glaa
expect "out of range" 2 'tokens_per_step' "${train[@]}" train.tokens_per_step=0
expect "rows that do not divide" 2 'tokens_per_step.*384|micro_batch_size' "${train[@]}" train.micro_batch_size=3
expect "world size that does not match" 2 'parallel' "${train[@]}" parallel.sequence=2
expect "degree that does not divide the ranks" 2 'parallel' ranks 2 "${train[@]}" parallel.sequence=3
expect "heads that tensor does not divide" 2 'num_heads|num_attention_heads' ranks 3 "${train[@]}" parallel.tensor=3
expect "experts that expert does not divide" 2 'expert' ranks 3 "${train[@]}" parallel.sequence=3 parallel.expert=3
expect "a feature that is not built is refused by name" 2 "deterministic: layout is not built yet" "${train[@]}" train.deterministic=layout
expect "missing config file" 2 'nowhere.yaml' "$ONEGATHER" train nowhere.yaml
expect "unknown command names the nearest" 2 'train' "$ONEGATHER" tran tiny.yaml
printf 'model: {hidden_size: 32\n' >broken.yaml
expect "broken YAML names the line" 2 'broken.yaml:[0-9]+' "$ONEGATHER" train broken.yaml
printf 'train: {seed: 2}\n' | cat tiny.yaml <(echo ---) - >two.yaml
expect "a second YAML document" 2 'two.yaml:[0-9]+:1: a second document' "$ONEGATHER" train two.yaml
sed 's/^  num_steps/\tnum_steps/' tiny.yaml >tab.yaml
expect "a tab is named" 2 'tab.yaml:[0-9]+:1: .*tab' "$ONEGATHER" train tab.yaml
printf 'include: nowhere.yaml\n' >include.yaml
expect "a missing include" 2 'include.yaml:1:10: include: no such file: nowhere.yaml' "$ONEGATHER" train include.yaml
if [ "$(wc -l <out.txt)" -eq 1 ]; then pass "a missing include brings no other errors"; else fail "a missing include brings no other errors" "$(cat out.txt)"; fi
expect "names of other projects" 2 'lr: unknown key; did you mean train.optimizer.learning_rate' "${train[@]}" lr=1
expect "the nearest tokens_per_step" 2 'the nearest train.tokens_per_step: 240 and 480' "${train[@]}" train.micro_batch_size=5
expect "warm-up longer than the run is said" 0 'warning: train.schedule.warmup_steps: 50, as long' "${train[@]}" train.schedule.warmup_steps=50 --dry-run
expect "wsd without decay is said" 0 'warning: train.schedule.decay_steps: 0 with type: wsd' "${train[@]}" train.schedule.type=wsd train.schedule.warmup_steps=1 --dry-run
expect "in a run too" 0 'train.schedule.decay_steps: 0 with type: wsd' "${train[@]}" train.schedule.type=wsd train.schedule.warmup_steps=1 run.dir=flat

# Data: status 3.
expect "missing data file" 3 'data.train: absent.txt: no such file' "${train[@]}" data.train=[absent.txt]
: >empty.txt
expect "empty data file" 3 'empty.txt' "${train[@]}" data.train=[empty.txt]
head -c 20000 /dev/urandom >binary.txt
expect "binary data file" 3 'binary.txt' "${train[@]}" data.train=[binary.txt]
head -c 30 text.txt >short.txt
expect "too little data gives both numbers" 3 '49.*[0-9]+|[0-9]+.*49' "${train[@]}" data.train=[short.txt]
gzip -k text.txt && head -c 3000 text.txt.gz >cut.txt.gz
expect "truncated gzip" 3 'cut.txt.gz' "${train[@]}" data.train=[cut.txt.gz]
printf '{"text": "fine"}\n{"text": broken\n' >lines.jsonl
expect "bad JSON names file and line" 3 'lines.jsonl:2' "${train[@]}" data.train=[lines.jsonl]
expect "vocabulary smaller than the tokenizer's" 2 'vocab_size.*257' "${train[@]}" model.vocab_size=100
seq 1 3000 | sed 's/.*/line & of a text that a tokenizer can learn pieces from/' >lines.txt
expect "training a tokenizer" 0 'pieces.model' "$ONEGATHER" data prepare lines.txt --train-tokenizer pieces --vocab-size 300 --output pieces.tokens
expect "token out of the vocabulary" 3 'vocab_size.*280' "${train[@]}" data.tokenizer=sentencepiece:pieces.model \
  data.train=[pieces.tokens] data.eval=[pieces.tokens] model.vocab_size=280
expect "tokens of another tokenizer" 3 'pieces.tokens.*sentencepiece.*bytes' "${train[@]}" data.train=[pieces.tokens]
expect "missing tokenizer" 3 'absent.model' "${train[@]}" data.tokenizer=sentencepiece:absent.model

# Folders that cannot be written: status 3.
: >file
expect "run folder below a file" 3 'file' "${train[@]}" run.dir=file/run

# A good run, then everything that can be wrong with its checkpoint.
expect "a small run trains" 0 '' "${train[@]}"
checkpoint=$(ls -d run/checkpoints/*/ 2>/dev/null | sort | tail -n 1)
checkpoint=${checkpoint%/}
cp -r run kept
expect "a finished run says so" 0 'finished|already|complete' "${train[@]}"
expect "another model is refused, naming the key" 3 'hidden_size|head_k_dim' "${train[@]}" model.mixers.G.head_k_dim=16 train.num_steps=6
expect "another seed is refused" 3 'seed' "${train[@]}" train.seed=9 train.num_steps=6
expect "--resume never refuses a folder with checkpoints" 3 'checkpoint' "${train[@]}" --resume never
expect "no checkpoint at all" 3 'nothing|no .*checkpoint|not' "$ONEGATHER" eval "$work/kept/nothing" --data text.txt
expect "generate from a file that is no checkpoint" 3 'text.txt' "$ONEGATHER" generate text.txt --prompt a
for file in "$checkpoint"/*; do
  name=$(basename "$file")
  for damage in truncated corrupted missing; do
    rm -rf damaged && cp -r "$checkpoint" damaged
    size=$(stat -c %s "$file")
    case $damage in
      truncated) truncate -s $((size / 2)) "damaged/$name" ;;
      corrupted) printf '\377\377\377\377' | dd of="damaged/$name" bs=1 seek=$((size * 2 / 3)) conv=notrunc status=none ;;
      missing) rm "damaged/$name" ;;
    esac
    expect "inspect finds $damage $name" 3 "damaged" "$ONEGATHER" inspect damaged
    # The middle of a shard may belong to the optimizer, which generating does not read.
    [ "$damage" = corrupted ] && [ "$name" != index.json ] && continue
    expect "generate refuses $damage $name" 3 "damaged" "$ONEGATHER" generate damaged --prompt a --tokens 2
  done
done
shard=$(ls "$checkpoint"/*.safetensors | head -n 1)
size=$(stat -c %s "$shard")
printf '\377\377\377\377' | dd of="$shard" bs=1 seek=$((size * 2 / 3)) conv=notrunc status=none
expect "a corrupted checkpoint is not resumed" 3 "$(basename "$shard")" "${train[@]}" train.num_steps=6
rm -rf run && cp -r kept run
expect "a tokenizer that is not where it was" 3 'data.tokenizer: cannot open absent.model.*sentencepiece:PATH' "$ONEGATHER" eval "$checkpoint" \
  --data text.txt data.tokenizer=sentencepiece:absent.model
expect "inspect verifies a good checkpoint" 0 'in 1 box$' "$ONEGATHER" inspect "$checkpoint"
expect "generate speaks" 0 '' "$ONEGATHER" generate run --prompt "the" --tokens 8
expect "generate rejects an unknown option" 2 'tokenz' "$ONEGATHER" generate run --tokenz 3
for name in 'a,b.txt' 'a=b.txt' 'a[1].txt' '[c].txt' 'd e.txt'; do
  cp text.txt "$name"
  expect "a file called $name: eval" 0 '^loss ' "$ONEGATHER" eval run --data "$name"
  expect "a file called $name: train" 0 'done: 4 steps' "${train[@]}" "data.train=[\"$name\"]" "run.dir=named-$name"
done
expect "files with commas between" 0 '^tokens +(39|40)[0-9]{3} in' "$ONEGATHER" eval run --data text.txt,'a=b.txt' train.seed=1
expect "one file or several" 3 "no such file; the one file is 'data.train=\"a,b.txt\"'" "${train[@]}" 'data.train=[a,b.txt]' run.dir=other
expect "several files or one" 3 'a,nowhere.txt: no such file; several are a list' "${train[@]}" data.train=a,nowhere.txt run.dir=other
expect "degrees that do not fit, said once" 2 'error: parallel: data' "$ONEGATHER" eval run --data text.txt parallel.sequence=2
if grep -q 'parallel: parallel' out.txt; then fail "one prefix" "$(cat out.txt)"; else pass "one prefix"; fi
expect "eval measures" 0 'loss' "$ONEGATHER" eval run --data text.txt
expect "eval of tokens of another tokenizer than the checkpoint's" 3 'pieces.tokens.*sentencepiece.*bytes' "$ONEGATHER" eval run --data pieces.tokens
mkdir foreign && cp "$shard" foreign/model.safetensors && echo '{"architectures": ["Other"]}' >foreign/config.json
expect "a foreign checkpoint folder" 3 'foreign' "$ONEGATHER" generate foreign --prompt a
if diff -r run kept >/dev/null; then pass "reading a run changes nothing in it"; else fail "reading a run changes nothing in it"; fi

# Disk full: the old checkpoint stays.
if [ "$(id -u)" = 0 ] && mkdir -p small && mount -t tmpfs -o size=1500k tmpfs small 2>/dev/null; then
  trap 'umount "$work/small" 2>/dev/null; rm -rf "$work"' EXIT
  expect "disk full while saving" 3 'small|space' "${train[@]}" run.dir=small/run checkpoint.every=1 checkpoint.keep=50 train.num_steps=40
  expect "the last complete checkpoint on the full disk loads" 0 '' "$ONEGATHER" generate small/run --prompt a --tokens 2
  umount small
else
  echo "not run: disk full (needs root and tmpfs)"
fi

# Two runs in one folder.
"${train[@]}" run.dir=shared "$endless" >first.txt 2>&1 &
child=$!
after shared/metrics.jsonl 1
expect "a second run in the same folder names host and pid" 3 "process $child" "${train[@]}" run.dir=shared "$endless"
kill -INT $child
wait $child
status=$?
if [ $status -eq 130 ]; then pass "Ctrl-C saves and exits 130"; else fail "Ctrl-C saves and exits 130" "status $status" "$(tail -n 3 first.txt)"; fi
expect "inspect shows what Ctrl-C left" 0 'step' "$ONEGATHER" inspect shared
finish
