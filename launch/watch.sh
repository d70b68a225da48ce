# Sourced by launch/mpirun.sh: runs the command, passes signals on, ends a run that does not end itself, and leaves nothing behind.
# What mpirun does not do: it waits for ever for a daemon whose host it cannot hear, and for a quarter of an hour for one behind a link that died.

# The seconds in which the ranks must have found each other, and those that mpirun has to end once a rank has said that the run failed.
start_seconds=${ONEGATHER_START_SECONDS:-60}
readonly clean_up_seconds=5
run_id=$$-$RANDOM-$RANDOM # every rank has it as ONEGATHER_RUN
interrupted=0 job='' forced=0 started=0 failed_at='' folder='' dead_rank='' dead_host=''

# relay: copies standard input to standard output. It leaves out
#   what the program tells this script, which goes to the file $news, a line each (launch/README.md has the words);
#   what mpirun says of a rank that returned one of the program's statuses: the program has said why. Only mpirun's own lines are left out, whatever
#   comes between them. Of a rank that a signal ended it says which, and that is news too: `died RANK HOST`.
# What no newline ends yet, the progress bar, goes on at once. Whole lines, without the bars before them, go to the file $kept too.
relay() {
  local got part line='' begun=0 held='' inside=0 shown=0 bar='' dashes='^-{70,}$'
  # Open MPI 4.1's own words.
  local first='^(Primary job  terminated normally, but .*|mpirun detected that one or more processes exited with non-zero status, thus causing)$'
  local more='^(a non-zero exit code\. Per user-direction, the job has been aborted\.|the job to be terminated\. The first process to do so was:|  Process name: .*|  Exit code: .*|)$'
  local died='process rank ([0-9]+) with PID [0-9]+ on node ([^ ]+)'
  # Held open: a line that comes after the files were removed does not make them again.
  exec {kept_to}>>"$kept" {news_to}>>"$news"
  while :; do
    IFS= read -r -t 0.1 part
    got=$?
    line+=$part
    if [ $got -gt 128 ]; then
      if [ -n "$line" ] && [ -z "$held" ] && ! [[ $begun -eq 0 && $line =~ ^-+$ ]] && [[ $line != *$'\x1e'* ]]; then
        put "$line"
        line='' begun=1
      fi
      continue
    fi
    [ $got -eq 0 ] || break
    if [[ $line == *"$mark"* ]]; then
      printf '%s\n' "${line##*"$mark"}" >&"$news_to"
      line=${line%%"$mark"*} # a bar that goes on
      continue
    fi
    [[ ! $line =~ $died ]] || printf 'died %s %s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&"$news_to"
    if [ $begun -eq 1 ]; then
      put "$line"$'\n'
    elif [ $inside -eq 1 ] && [[ $line =~ $dashes ]]; then
      [ $shown -eq 0 ] || put "$held$line"$'\n'
      held='' inside=0
    elif [ $inside -eq 1 ] && [[ $line =~ $more ]]; then
      [[ $line != '  Exit code: '* || $line =~ \ ([1-5]|130)$ ]] || shown=1
      held+=$line$'\n'
    elif [ $inside -eq 0 ] && [ -n "$held" ] && [[ $line =~ $first ]]; then
      held+=$line$'\n' inside=1 shown=0
    else
      [ $inside -eq 1 ] || { put "$held"; held=''; }
      if [ $inside -eq 0 ] && [[ $line =~ $dashes ]]; then held=$line$'\n'; else put "$line"$'\n'; fi
    fi
    line='' begun=0
  done
  put "$held$line"
}

# put TEXT: for relay.
put() {
  printf %s "$1"
  bar+=$1
  bar=${bar##*$'\r'}
  case $1 in *$'\n') printf %s "$bar" >&"$kept_to"; bar='' ;; esac
}

# hear: what has been told since the last time, from the file behind $heard.
hear() {
  local word text
  while IFS= read -r text <&"$heard"; do
    word=${text%% *} text=${text#* }
    case $word in
      ranks) started=1 ;;
      folder) folder=$text ;;
      failed) failed_at=${failed_at:-$SECONDS} ;;
      died) failed_at=${failed_at:-$SECONDS} dead_rank=${dead_rank:-${text%% *}} dead_host=${dead_host:-${text#* }} ;;
    esac
  done
}

# watch COMMAND...: runs it. status: its exit status; interrupted, forced, started: 1 if it was, by its ranks; folder: the run's; dead_rank, dead_host: the
# first rank that a signal ended. Its standard error is shown, and added to the file $kept.
watch() {
  local child log writer heard begin=$SECONDS told=0
  trap 'interrupted=1 told=0' INT TERM USR1 HUP
  exec {heard}<"$news"
  # What ends this script's process group or its terminal must not end the one that writes down why the run ended.
  exec {log}> >(trap '' INT TERM USR1 HUP PIPE; relay >&2)
  writer=$!
  # A session of its own, so that the terminal's Ctrl-C reaches this script alone. A SIGUSR1 that comes before mpirun listens must not kill it.
  (trap '' USR1; ONEGATHER_RUN=$run_id exec setsid "$@") </dev/null 2>&"$log" {log}>&- {heard}<&- &
  child=$!
  exec {log}>&-
  while kill -0 "$child" 2>/dev/null; do
    # Again and again until the ranks are up: mpirun passes on nothing before.
    if [ $interrupted -eq 1 ] && [ $told -eq 0 ]; then
      told=$started
      kill -USR1 "$child" 2>/dev/null
      [ "$start_seconds" -le 10 ] || start_seconds=10 # nothing is lost
    fi
    sleep 1 </dev/null >/dev/null 2>&1 &
    wait -n "$child" $! 2>/dev/null
    [ -n "$job" ] || find_job "$child"
    hear
    if [ -n "$failed_at" ] && [ $((SECONDS - failed_at)) -ge $clean_up_seconds ]; then
      end_it "$child" "mpirun does not end within $clean_up_seconds s of the failure"
    fi
    if [ $started -eq 0 ] && [ $((SECONDS - begin)) -ge "$start_seconds" ]; then
      end_it "$child" "the ranks have not found each other within $start_seconds s${host_names[1]:+; do ${host_names[*]} reach each other over $interface?}"
    fi
  done
  wait "$child"
  status=$?
  for _ in $(seq 20); do kill -0 "$writer" 2>/dev/null || break; sleep 0.05; done
  hear
  [ $forced -eq 0 ] || end_ranks
  remove_segments
}

# find_job MPIRUN: job: the number by which the run's shared memory is named, known to its ranks alone.
find_job() {
  local pid
  for pid in $(pgrep -P "$1"); do
    job=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^OMPI_MCA_ess_base_jobid=//p')
    [ -z "$job" ] || return
  done
}

end_it() {
  [ $forced -eq 0 ] || return
  forced=1
  echo "launch/mpirun.sh: $2: ending it" >&2
  kill -KILL -- -"$1"
}

# end_ranks: kills what is left of this run on this machine and on every host that answers.
end_ranks() {
  local host kill_them pids=()
  kill_them="for p in /proc/[0-9]*; do grep -qsz '^ONEGATHER_RUN=$run_id\$' \$p/environ && kill -KILL \${p#/proc/}; done; true"
  for host in "${host_names[@]:1}"; do
    on_host "$host" "$kill_them" >/dev/null 2>&1 &
    pids+=($!)
  done
  sh -c "$kill_them" 2>/dev/null
  [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}"
}

# Ranks that were killed leave their shared memory behind. Open MPI 4.1 names it vader_segment.HOST.USER.JOB.RANK, the job in hexadecimal, as short as it is
# (opal/mca/btl/vader: "%s/vader_segment.%s.%u.%x.%d").
remove_segments() {
  local segment
  [ -n "$job" ] || return
  for segment in /dev/shm/vader_segment.*."$(printf '%s.%x' "$(id -u)" "$job")".*; do
    [ ! -e "$segment" ] || rm -f "$segment"
  done
}
