#!/usr/bin/env bash
# Several hosts on this machine (up.sh): training over TCP between them, and everything that goes wrong with hosts and links.
. "$(dirname "${BASH_SOURCE[0]}")/../program/expect.sh"
if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! command -v tc >/dev/null || ! unshare -n true 2>/dev/null; then
  echo "not run: several hosts (needs root, network namespaces, iproute2)"
  finish
  exit
fi
cluster=$root/tests/cluster
net=${ONEGATHER_CLUSTER:-onegather}
if ! "$cluster/up.sh" 3 1gbit,1gbit,100mbit >up.txt 2>&1; then
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
  "$cluster/enter.sh" h1 "cd $work && ONEGATHER=$ONEGATHER ONEGATHER_RSH=$ONEGATHER_RSH ${ENVIRONMENT:-} exec timeout 120 $root/launch/mpirun.sh tiny.yaml $*"
}
# on HOST: the processes of the program there.
on() { for pid in $(ip netns pids "$net-$1"); do [ "$(readlink /proc/"$pid"/exe)" = "$(readlink -f "$ONEGATHER")" ] && echo "$pid"; done; }

expect "one host" 0 'done' "$ONEGATHER" train tiny.yaml run.dir=one
expect "two hosts over TCP" 0 'done' launch --hosts two parallel.sequence=4 parallel.expert=2 run.dir=two-hosts
close "two hosts: losses of one rank" loss 1e-9 one/metrics.jsonl two-hosts/metrics.jsonl
close "two hosts: gradient norms of one rank" grad_norm 1e-9 one/metrics.jsonl two-hosts/metrics.jsonl
expect "three hosts over TCP, the third with a tenth of the others' rate" 0 'done' launch --hosts three parallel.data=2 parallel.sequence=3 parallel.expert=2 run.dir=three-hosts train.tokens_per_step=384
close "three hosts: losses of one rank" loss 1e-9 one/metrics.jsonl three-hosts/metrics.jsonl
expect "states inside hosts, then across" 0 'done' launch --hosts two parallel.sequence=4 parallel.sequence_method=hierarchical run.dir=hierarchical
close "hierarchical: losses of one rank" loss 1e-9 one/metrics.jsonl hierarchical/metrics.jsonl
used "hierarchical: a host's first rank hands its state on" broadcast mixer.forward hierarchical
expect "the exact command is printed" 0 '^\+ OMP_NUM_THREADS=1 .*mpirun -np 4 .*--hostfile two .* -x ONEGATHER_RUN=' launch --hosts two parallel.sequence=4 run.dir=again train.num_steps=1

printf '10.77.0.1 slots=2\n10.77.0.2 slot=2\n' >wrong
expect "a mistake in the hosts file names its line" 2 'wrong:2: expected' launch --hosts wrong
expect "no hosts file" 2 'nowhere: no such file' launch --hosts nowhere
expect "more ranks than slots" 2 'two has 4 slots' launch --hosts two --ranks 5
printf '10.77.0.1 slots=2\n10.77.0.9 slots=2\n' >unknown
begin=$SECONDS
expect "an unknown host is named" 5 'host 10.77.0.9 does not answer' launch --hosts unknown
within "within seconds" $((SECONDS - begin)) 15

# Ports: each rank and daemon listens within the range, on every host.
ENVIRONMENT='ONEGATHER_PORTS=21000-21009'
launch --hosts two parallel.sequence=4 parallel.expert=2 "$endless" checkpoint.every=0 run.dir=ports >ports.txt 2>&1 &
child=$!
after ports/metrics.jsonl 5
for host in h1 h2; do
  outside=$(ip netns exec "$net-$host" cat /proc/net/tcp | awk '$4 == "0A" && $2 !~ /^0100007F/ { split($2, a, ":"); print a[2] }' |
    while read -r port; do port=$((16#$port)); [ $port -ge 21000 ] && [ $port -le 21009 ] && echo inside || echo "$port"; done | sort | uniq -c | tr -s '\n ' ' ')
  if [[ $outside =~ ^\ [3-9]\ inside\ $ ]]; then pass "ports: $host listens within the range only"; else fail "ports: $host listens within the range only" "$outside"; fi
done
# shellcheck disable=SC2046
kill -TERM $(pgrep -f '^bash .*launch/mpirun.sh tiny.yaml .*run.dir=[p]orts')
wait $child
status "ports: interrupted: 130" 130 $? ports.txt
ENVIRONMENT=''

# A host without MPI's daemon: a wrapper that leaves nothing but the shell's own tools on the PATH of host 2.
mkdir bare
for tool in sh test hostname; do ln -s "$(command -v $tool)" bare/; done
printf '#!/bin/sh\ncase "$*" in *10.77.0.2*) set -- "$1" "PATH=%s; $2" ;; esac\nexec %s "$@"\n' "$work/bare" "$cluster/enter.sh" >bare-shell
chmod +x bare-shell
without_daemon() { ONEGATHER_RSH=$work/bare-shell launch "$@"; }
expect "a host without orted" 5 'host 10.77.0.2: orted, Open MPI.s daemon, is not on the PATH' without_daemon --hosts two

# faults NAME SECONDS COMMAND...: a run on two hosts; after ten steps the command is run; the run must end with 5 within the seconds.
faults() {
  local name=$1 limit=$2
  shift 2
  launch --hosts two parallel.sequence=4 parallel.expert=2 "$endless" checkpoint.every=5 run.timeout_seconds=8 "run.dir=$name" >"$name.txt" 2>&1 &
  local child=$!
  after "$name/metrics.jsonl" 10
  local begin=$SECONDS
  "$@"
  wait $child
  status "$name: 5" 5 $? "$name.txt"
  within "$name: within $limit s" $((SECONDS - begin)) "$limit"
  # A host that is cut off hears nothing: its ranks end by themselves.
  for _ in $(seq 100); do [ -z "$(on h1)$(on h2)" ] && break; sleep 0.1; done
  if [ -z "$(on h1)$(on h2)" ]; then pass "$name: no rank stays behind"; else fail "$name: no rank stays behind" "$(on h1) $(on h2)"; fi
  said "$name: what was shown lies in the run folder" '^\+ OMP_NUM_THREADS' "$name/launch.log"
}
resumes() {
  expect "$1: the run resumes on one host" 0 'resumed' "$ONEGATHER" train tiny.yaml "run.dir=$1" "train.num_steps=$(($(lines "$1/metrics.jsonl") + 5))" \
    train.schedule.decay_steps=1000000
}
# The whole sentence of a rank that waited, whichever collective it was in.
late='(all_gather|all_reduce|reduce_scatter|all_to_all|broadcast|send_recv|barrier) on axis [a-z+]+ at [a-z._]+: rank [0-9]+ waited [0-9.]+ s; .*'
kill_one() { kill -KILL "$(on h2 | tail -n 1)"; }
faults killed 10 kill_one
said "killed: the rank and its host are named" 'rank [23] died on 10.77.0.2|not arrived: .*[23] \(silent\)' killed.txt
resumes killed

stop_one() { kill -STOP "$(on h2 | tail -n 1)"; }
faults stopped 20 stop_one
said "stopped: the collective, its site and axis, and the silent rank" "$late"'[23] \(silent\)' stopped.txt
resumes stopped
cut_link() { ip -n "$net-switch" link set port2 down; }
faults cut 20 cut_link
said "cut: the collective, its site and axis, and the silent ranks" "$late"'[23] \(silent\)' cut.txt
resumes cut

# The link is still down.
expect "a host that does not answer" 5 'host 10.77.0.2 does not answer within 10 s \(.*no route to host\)' launch --hosts two
# Over a network of its own it does, and says hello: but MPI has no way, and mpirun alone would wait for ever.
printf '#!/bin/sh\necho "Authorised use only." >&2\nexec %s "$@"\n' "$cluster/enter.sh" >greeting-shell
chmod +x greeting-shell
ENVIRONMENT="ONEGATHER_START_SECONDS=10 ONEGATHER_ENTER=always ONEGATHER_RSH=$work/greeting-shell"
begin=$SECONDS
expect "a host that the others do not reach" 5 'the ranks have not found each other within 10 s; do .* reach each other' launch --hosts two parallel.sequence=4 run.dir=apart
within "ended in time" $((SECONDS - begin)) 25
ENVIRONMENT=''
"$cluster/up.sh" 3

slow_link() { ip netns exec $net-switch tc qdisc change dev port2 root tbf rate 10mbit burst 32kb latency 50ms; }
slow_link
expect "a link at 1 % of its speed: slower, and right" 0 'done' launch --hosts two parallel.sequence=4 parallel.expert=2 run.dir=slow
close "a slow link: losses of one rank" loss 1e-9 one/metrics.jsonl slow/metrics.jsonl
finish
