# Sourced by launch/mpirun.sh and launch/slurm.sbatch: what Open MPI needs to be told on any machine, and which processors and ports a run gets.
# Containers without ptrace rights cannot copy between processes directly.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# How a line begins in which the program tells a script, and not a person, where ONEGATHER_RUN is set; launch/README.md has the words.
mark=$'\x1eonegather '

# The processors that this script may use; nproc alone would say OMP_NUM_THREADS.
processors=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)

# refuse MESSAGE: a mistake of the user's.
refuse() {
  echo "$launcher: $*" >&2
  exit 2
}

# print_command COMMAND...: a line that can be pasted into a shell and does the same.
print_command() {
  local name
  for name in OMP_NUM_THREADS "${!OMPI_@}"; do [ -z "${!name:-}" ] || printf '%s=%q ' "$name" "${!name}"; done
  printf '%q ' "$@"
  echo
}

# interface_to ADDRESS OPTION: interface: the subnet of the route there, for MPI; where this host alone is in its subnet (/32), the device. OPTION names
# it instead.
interface_to() {
  local device
  command -v ip >/dev/null || refuse "ip is missing, which finds the network between the hosts: apt-get install iproute2, or name the network with $2"
  device=$(ip -o route get "${1:-0.0.0.0}" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  interface=$(ip -o -4 addr show dev "${device:-none}" 2>/dev/null | awk 'NR == 1 { print $4 }')
  case $interface in */32) interface=$device ;; esac
}

# use_ports RANKS: ONEGATHER_PORTS=FIRST-LAST is what MPI may listen on, where a firewall lets only some through; without it the system chooses. The
# launcher and the other hosts' daemons take the first port that is free here (of a list they would take all), each rank one of those behind it.
use_ports() {
  local first last port free=() taken
  [ -n "${ONEGATHER_PORTS:-}" ] || return 0
  [[ $ONEGATHER_PORTS =~ ^([1-9][0-9]{0,4})-([1-9][0-9]{0,4})$ ]] || refuse "ONEGATHER_PORTS: expected FIRST-LAST, found $ONEGATHER_PORTS"
  first=${BASH_REMATCH[1]} last=${BASH_REMATCH[2]}
  [ "$first" -ge 1024 ] && [ "$last" -le 65535 ] || refuse "ONEGATHER_PORTS: expected ports from 1024 to 65535, found $ONEGATHER_PORTS"
  # Local ports, in hexadecimal, of sockets that listen (0A).
  taken=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { n = split($2, a, ":"); print a[n] }' | tr '\n' ' ')"
  for ((port = first; port <= last; port++)); do [[ $taken == *" $(printf %04X $port) "* ]] || free+=("$port"); done
  [ ${#free[@]} -gt "$1" ] ||
    refuse "ONEGATHER_PORTS $ONEGATHER_PORTS: $(($1 + 1)) are needed on this host, a rank's each and the launcher's, ${#free[@]} are free"
  export OMPI_MCA_oob_tcp_dynamic_ipv4_ports=${free[0]} OMPI_MCA_btl_tcp_port_min_v4=${free[1]} OMPI_MCA_btl_tcp_port_range_v4=$((last - free[1] + 1))
}

# binding_of RANKS THREADS: binding: options of mpirun. On a machine with several memory nodes each rank gets cores of its own if there are enough, and
# its memory is near; else the system places threads, better than a rank's on one core. Not where the run leaves half of the cores: another run beside it
# would be bound to the same ones. mpirun counts cores, not the threads that they offer.
binding_of() {
  local cpus cores nodes wanted
  binding=(--bind-to none --oversubscribe)
  read -r cpus cores nodes < <(lscpu -p=CPU,CORE,NODE 2>/dev/null | awk -F, '!/^#/ { n++; cores += !core[$2]++; nodes += !node[$3]++ } END { print n + 0, cores + 0, nodes + 0 }')
  [ "${nodes:-0}" -gt 1 ] && [ "$cpus" -eq "$processors" ] || return 0
  wanted=$((($2 * cores + cpus - 1) / cpus)) # cores of a rank
  [ $(($1 * wanted)) -gt "$cores" ] || [ $(($1 * wanted * 2)) -le "$cores" ] || binding=(--map-by "slot:PE=$wanted" --bind-to core)
}
