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
  [ -r "$1" ] || refuse "--hosts: $1: no such file"
  total_slots=0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    read -r name slots rest <<<"${line%%#*}"
    [ -z "$name" ] && continue
    slots=${slots:-slots=1}
    if [ -n "$rest" ] || [[ ! $slots =~ ^slots=[1-9][0-9]*$ ]]; then
      refuse "$1:$number: expected \`name\` or \`name slots=N\`, found: $line"
    fi
    host_names+=("$name")
    total_slots=$((total_slots + ${slots#slots=}))
    [ ${#host_names[@]} -eq 1 ] && first_slots=${slots#slots=}
  done <"$1"
  [ ${#host_names[@]} -gt 0 ] || refuse "$1: no hosts in it"
}

# reach_hosts PROGRAM: every host answers and has the program, this folder and MPI's daemon; interface: what MPI shall use.
reach_hosts() {
  local host found i pids=() failed=0
  for host in "${host_names[@]}"; do
    (
      found=$(on_host "$host" "cd $(printf %q "$PWD") 2>/dev/null || { echo no-folder; exit; }; test -x $(printf %q "$1") || { echo no-program; exit; }
        command -v orted >/dev/null && echo fine || echo no-daemon" 2>&1)
      case $found in
        *fine) exit 0 ;;
        *no-folder) echo "launch/mpirun.sh: host $host: folder $PWD is not there" >&2 ;;
        *no-program) echo "launch/mpirun.sh: host $host: $1 is not there: build it, or share this folder" >&2 ;;
        *no-daemon) echo "launch/mpirun.sh: host $host: orted, Open MPI's daemon, is not on the PATH that $rsh gives: apt-get install openmpi-bin there" >&2 ;;
        *) echo "launch/mpirun.sh: host $host does not answer within 10 s ($rsh: ${found:-nothing})" >&2 ;;
      esac
      exit 5
    ) &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do wait "${pids[$i]}" || failed=1; done
  [ "$failed" -eq 0 ] || exit 5
  if [ ${#host_names[@]} -eq 1 ]; then
    interface=${interface:-lo}
  elif [ -z "$interface" ]; then
    interface_to "$(getent ahostsv4 "${host_names[1]}" | awk 'NR == 1 { print $1 }')" --interface
    case $interface in
      '' | lo | 127.*) refuse "no network found that leads to ${host_names[1]} (found ${interface:-none}): name its subnet with --interface" ;;
    esac
  fi
}
