#!/usr/bin/env bash
# Several hosts on this machine (up.sh): training over TCP between them, and everything that goes wrong with hosts and links.
. "$(dirname "${BASH_SOURCE[0]}")/../program/expect.sh"
if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! command -v tc >/dev/null || ! unshare -n true 2>/dev/null; then
  echo "not run: several hosts (needs root, network namespaces, iproute2)"
  finish
  exit
fi
cluster=$root/tests/cluster
if ! "$cluster/up.sh" 3 >up.txt 2>&1; then
  echo "not run: several hosts ($(tail -n 1 up.txt))"
  finish
  exit
fi
trap '"$cluster/up.sh" --down; rm -rf "$work"' EXIT
cp "$root/tests/program/configs/tiny.yaml" tiny.yaml
head -c 20000 /usr/share/common-licenses/GPL-3 >text.txt
for i in 1 2 3; do echo "10.77.0.$i slots=2 # host $i"; done >three
head -n 2 three >two
unset OMP_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
export ONEGATHER_RSH=$cluster/enter.sh
# launch KEYS...: launch/mpirun.sh on host 1, as a user logged in there would start it.
launch() {
  "$cluster/enter.sh" h1 "cd $work && ONEGATHER=$ONEGATHER ONEGATHER_RSH=$ONEGATHER_RSH ONEGATHER_START_SECONDS=${ONEGATHER_START_SECONDS:-60} exec timeout 120 $root/launch/mpirun.sh tiny.yaml $*"
}
# on HOST: the processes of the program there.
on() { for pid in $(ip netns pids "onegather-$1"); do [ "$(readlink /proc/"$pid"/exe)" = "$(readlink -f "$ONEGATHER")" ] && echo "$pid"; done; }

expect "one host" 0 'done' "$ONEGATHER" train tiny.yaml run.dir=one
expect "two hosts over TCP" 0 'done' launch --hosts two parallel.sequence=4 parallel.expert=2 run.dir=two-hosts
close "two hosts: losses of one rank" loss 1e-9 one/metrics.jsonl two-hosts/metrics.jsonl
close "two hosts: gradient norms of one rank" grad_norm 1e-9 one/metrics.jsonl two-hosts/metrics.jsonl
expect "three hosts over TCP" 0 'done' launch --hosts three parallel.data=2 parallel.sequence=3 parallel.expert=2 run.dir=three-hosts train.tokens_per_step=384
close "three hosts: losses of one rank" loss 1e-9 one/metrics.jsonl three-hosts/metrics.jsonl
expect "states inside hosts, then across" 0 'done' launch --hosts two parallel.sequence=4 parallel.sequence_method=hierarchical run.dir=hierarchical
close "hierarchical: losses of one rank" loss 1e-9 one/metrics.jsonl hierarchical/metrics.jsonl
used "hierarchical: a host's first rank hands its state on" broadcast mixer.forward hierarchical
expect "the exact command is printed" 0 '^\+ mpirun -np 4 .*--hostfile two' launch --hosts two parallel.sequence=4 run.dir=again train.num_steps=1

printf '10.77.0.1 slots=2\n10.77.0.2 slot=2\n' >wrong
expect "a mistake in the hosts file names its line" 2 'wrong:2: expected' launch --hosts wrong
expect "no hosts file" 2 'nowhere: no such file' launch --hosts nowhere
expect "more ranks than slots" 2 'two has 4 slots' launch --hosts two --ranks 5
printf '10.77.0.1 slots=2\n10.77.0.9 slots=2\n' >unknown
begin=$SECONDS
expect "an unknown host is named" 5 'host 10.77.0.9 does not answer' launch --hosts unknown
within "within seconds" $((SECONDS - begin)) 15

# faults NAME SECONDS COMMAND...: a run on two hosts; after ten steps the command is run; the run must end with 5 within the seconds.
faults() {
  local name=$1 limit=$2
  shift 2
  launch --hosts two parallel.sequence=4 parallel.expert=2 train.num_steps=4000 checkpoint.every=5 run.timeout_seconds=8 "run.dir=$name" >"$name.txt" 2>&1 &
  local child=$!
  after "$name/metrics.jsonl" 10
  local begin=$SECONDS
  "$@"
  wait $child
  status "$name: 5" 5 $? "$name.txt"
  within "$name: within $limit s" $((SECONDS - begin)) "$limit"
  for _ in $(seq 30); do [ -z "$(on h1)$(on h2)" ] && break; sleep 0.1; done
  if [ -z "$(on h1)$(on h2)" ]; then pass "$name: no rank stays behind"; else fail "$name: no rank stays behind" "$(on h1) $(on h2)"; fi
}
kill_one() { kill -KILL "$(on h2 | tail -n 1)"; }
faults killed 10 kill_one
said "killed: the rank and its host are named" 'rank [23] died on 10.77.0.2' killed.txt
expect "killed: the run resumes on one host" 0 'resumed' "$ONEGATHER" train tiny.yaml run.dir=killed train.num_steps=60 train.schedule.decay_steps=4000

stop_one() { kill -STOP "$(on h2 | tail -n 1)"; }
faults stopped 30 stop_one
said "stopped: the collective and the missing rank are named" 'rank.* [23]' stopped.txt
cut_link() { ip -n onegather-switch link set port2 down; }
faults cut 40 cut_link

# The link is still down: mpirun alone would wait for ever.
launch_impatiently() { ONEGATHER_START_SECONDS=10 launch "$@"; }
begin=$SECONDS
expect "a host that the others do not reach" 5 'no rank has said anything within 10 s; do .* reach each other' launch_impatiently --hosts two parallel.sequence=4 run.dir=apart
within "ended in time" $((SECONDS - begin)) 30
"$cluster/up.sh" 3

slow_link() { ip netns exec onegather-switch tc qdisc change dev port2 root tbf rate 10mbit burst 32kb latency 50ms; }
slow_link
expect "a link at 1 % of its speed: slower, and right" 0 'done' launch --hosts two parallel.sequence=4 parallel.expert=2 run.dir=slow
close "a slow link: losses of one rank" loss 1e-9 one/metrics.jsonl slow/metrics.jsonl
finish
