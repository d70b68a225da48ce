#!/usr/bin/env bash
# tests/cluster/up.sh N [RATE[,RATE...]]: N hosts on this machine, h1 to hN, each a network namespace with one interface of RATE (default 1gbit; one
# for all, or one a host, as tc writes them), joined by a bridge that lives in a namespace of its own: nothing is added to the machine's own network. Host hK has the address 10.77.0.K.
# tests/cluster/up.sh --down: ends what runs in them and removes them all. Needs root and iproute2.
# ONEGATHER_CLUSTER: the beginning of the namespaces' names (default onegather); another name, another cluster beside the first.
set -euo pipefail
prefix=${ONEGATHER_CLUSTER:-onegather}
down() {
  local name pid
  for name in $(ip netns list 2>/dev/null | cut -d ' ' -f 1 | grep -E "^$prefix-(switch|h[0-9]+)\$" || true); do
    for pid in $(ip netns pids "$name" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns del "$name" || true
  done
}
[ "$(id -u)" -eq 0 ] || { echo "up.sh: network namespaces need root" >&2; exit 1; }
command -v ip >/dev/null && command -v tc >/dev/null || { echo "up.sh: ip or tc is missing: apt-get install iproute2" >&2; exit 1; }
if [ "${1:-}" = --down ]; then
  down
  exit 0
fi
hosts=${1:-}
IFS=, read -r -a rates <<<"${2:-1gbit}"
[[ $hosts =~ ^[1-9][0-9]?$ ]] || { echo "up.sh: expected a number of hosts from 1 to 99, found ${hosts:-nothing}" >&2; exit 2; }
for rate in "${rates[@]}"; do
  [[ $rate =~ ^[1-9][0-9]*[kmg]?bit$ ]] || { echo "up.sh: expected a rate such as 1gbit, found $rate" >&2; exit 2; }
done
[ ${#rates[@]} -eq 1 ] || [ ${#rates[@]} -eq "$hosts" ] || { echo "up.sh: expected one rate, or $hosts, found ${#rates[@]}: $2" >&2; exit 2; }
down
trap 'down' ERR
ip netns add $prefix-switch
ip -n $prefix-switch link add bridge0 type bridge
ip -n $prefix-switch link set bridge0 up
for i in $(seq "$hosts"); do
  rate=${rates[i - 1]:-${rates[0]}}
  ip netns add $prefix-h"$i"
  ip -n $prefix-switch link add port"$i" type veth peer name eth0 netns $prefix-h"$i"
  ip -n $prefix-switch link set port"$i" master bridge0 up
  ip -n $prefix-h"$i" addr add 10.77.0."$i"/24 dev eth0
  ip -n $prefix-h"$i" link set lo up
  ip -n $prefix-h"$i" link set eth0 up
  # Both directions of the host's link.
  ip netns exec $prefix-h"$i" tc qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 50ms
  ip netns exec $prefix-switch tc qdisc add dev port"$i" root tbf rate "$rate" burst 256kb latency 50ms
done
