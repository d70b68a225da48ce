# Sourced by launch/mpirun.sh: the hosts of a run. Every mistake ends the script with what is wrong and where.
rsh=${ONEGATHER_RSH:-ssh}

# on_host HOST COMMAND: within 10 s.
on_host() {
  local options=()
  [ "$rsh" = ssh ] && options=(-o BatchMode=yes -o ConnectTimeout=5)
  timeout 10 "$rsh" "${options[@]}" "$1" "$2" </dev/null
}

# read_hosts FILE: host_names, total_slots, first_slots. Lines: `name` or `name slots=N`, # comments.
read_hosts() {
  local line number=0 name slots rest
  [ -r "$1" ] || { echo "launch/mpirun.sh: --hosts: $1: no such file" >&2; exit 2; }
  total_slots=0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    read -r name slots rest <<<"${line%%#*}"
    [ -z "$name" ] && continue
    slots=${slots:-slots=1}
    if [ -n "$rest" ] || [[ ! $slots =~ ^slots=[1-9][0-9]*$ ]]; then
      echo "launch/mpirun.sh: $1:$number: expected \`name\` or \`name slots=N\`, found: $line" >&2
      exit 2
    fi
    host_names+=("$name")
    total_slots=$((total_slots + ${slots#slots=}))
    [ ${#host_names[@]} -eq 1 ] && first_slots=${slots#slots=}
  done <"$1"
  [ ${#host_names[@]} -gt 0 ] || { echo "launch/mpirun.sh: $1: no hosts in it" >&2; exit 2; }
}

# reach_hosts PROGRAM: every host answers and has the program and this folder; interface: the subnet that MPI shall use.
reach_hosts() {
  local host found i pids=() failed=0 source device
  for host in "${host_names[@]}"; do
    (
      found=$(on_host "$host" "cd '$PWD' 2>/dev/null || { echo no-folder; exit; }; test -x '$1' && echo fine || echo no-program" 2>&1)
      case $found in
        *fine) exit 0 ;;
        *no-folder) echo "launch/mpirun.sh: host $host: folder $PWD is not there" >&2 ;;
        *no-program) echo "launch/mpirun.sh: host $host: $1 is not there: build it, or share this folder" >&2 ;;
        *) echo "launch/mpirun.sh: host $host does not answer within 10 s ($rsh: ${found:-nothing})" >&2 ;;
      esac
      exit 5
    ) &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do wait "${pids[$i]}" || failed=1; done
  [ "$failed" -eq 0 ] || exit 5
  if [ -z "$interface" ] && [ ${#host_names[@]} -gt 1 ]; then
    device=$(ip -o route get "$(getent ahostsv4 "${host_names[1]}" | awk 'NR == 1 { print $1 }')" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    source=$(ip -o -4 addr show dev "${device:-none}" 2>/dev/null | awk 'NR == 1 { print $4 }')
    interface=$source
  fi
  interface=${interface:-lo}
}

# end_ranks: kills what is left of this run (ONEGATHER_RUN) on every host that answers.
end_ranks() {
  local host pids=()
  for host in "${host_names[@]}"; do
    on_host "$host" "for p in /proc/[0-9]*; do grep -qsz '^ONEGATHER_RUN=$ONEGATHER_RUN\$' \$p/environ && kill -KILL \${p#/proc/}; done; true" >/dev/null 2>&1 &
    pids+=($!)
  done
  wait "${pids[@]}"
}
