#!/usr/bin/env bash
# tests/cluster/enter.sh HOST COMMAND...: runs a command on a host that up.sh made, as ssh would (HOST: hK or 10.77.0.K; options are ignored), so not
# on one whose link is down; ONEGATHER_ENTER=always: as over a network for that alone. Each call has a host name of its own kind: the name that
# the command sees is hK.
while [ "${1#-}" != "$1" ]; do
  case $1 in -o | -l | -p) shift 2 ;; *) shift ;; esac
done
host=${1##10.77.0.}
host=h${host#h}
shift
cluster=${ONEGATHER_CLUSTER:-onegather}
[ -e "/run/netns/$cluster-$host" ] || { echo "enter.sh: no host $host" >&2; exit 255; }
if [ -z "${ONEGATHER_ENTER:-}" ] && ip -n "$cluster-switch" -o link show "port${host#h}" | grep -qv '[<,]UP[,>]'; then
  echo "enter.sh: connect to host $host: no route to host" >&2
  exit 255
fi
exec nsenter --net="/run/netns/$cluster-$host" unshare --uts sh -c "hostname $host; $*"
