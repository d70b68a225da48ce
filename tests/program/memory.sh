#!/usr/bin/env bash
# Memory: what a config, a plan or a run may take is bounded, and what does not fit is the user's limit, said with what to lower.
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
make_text

# under GB COMMAND...: with so little address space.
under() { (ulimit -v "$(($1 * 1000000))" && exec "${@:2}"); }

# Aliases and includes that multiply.
echo 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]' >bomb.yaml
for i in 1 2 3 4 5 6 7 8; do
  printf 'a%s: &a%s [' $i $i && printf "*a$((i - 1)),%.0s" 1 2 3 4 5 6 7 8 9 && echo "*a$((i - 1))]"
done >>bomb.yaml
expect "aliases that multiply are refused with file and line" 2 'bomb.yaml:5: more than 100000 values' under 1 timeout 20 "$ONEGATHER" train bomb.yaml
for i in $(seq 0 11); do echo "include: [inc$((i + 1)).yaml, inc$((i + 1)).yaml]" >"inc$i.yaml"; done
echo 'train: {num_steps: 3}' >inc12.yaml
expect "includes that multiply are refused" 2 'include: more than 100 files' under 1 timeout 20 "$ONEGATHER" train inc0.yaml

finish
