
## Stopping releases.

# stop_releases: stops all releases of the project.
stop_releases() {
  withdraw blue
  withdraw green
  for pid in $(pids); do end "$pid"; done
  rm -f "$pid_file"
}

# stop_others RELEASE: tells all other releases of the project to stop, each when it has finished its requests. Does not
# wait until they have: visitors do not get them, and whoever needs their port waits for them. Sets $told to their names.
stop_others() {
  told=''
  case $(slot_of "$deploy_dir/releases/$1") in
  green) withdraw blue ;;
  *) withdraw green ;;
  esac
  true >"$stopping"
  for pid in $(pids); do
    runs "$pid" "$1" && continue
    told="$told, $(release_of "$pid")"
    drain "$pid"
    withdraw_from "$pid"
    # If the disk is full, this waits.
    if identity "$pid" >>"$stopping"; then kill -TERM "$pid" 2>/dev/null; else end "$pid"; fi
  done
  told=${told#, }
}

# under_way PORT: prints how many requests nginx has under way at this port. Its WebSockets come from 127.0.0.2.
under_way() {
  port_hex=$(printf '%04X' "$1")
  grep -Eh "^ *[0-9]+: [0-9A-F]+:$port_hex [0-9A-F]+:[0-9A-F]+ 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    grep -Evc ' [0-9A-F]*0200007F:[0-9A-F]+ 01 '
}

# drain PID: waits until the process has finished the requests that it has.
drain() {
  port=$(variable "$1" PORT)
  seconds=$(variable "$1" GATLING_DRAIN_SECONDS)
  [ -n "$port" ] || return 0
  # Older versions of gatling did not set it. With their site, WebSockets look like requests.
  seconds=${seconds:-10}
  # nginx may have chosen the port for a request just before, and not be connected yet.
  sleep 0.05
  begun=$(uptime) said=''
  while alive "$1" && count=$(under_way "$port") && [ "$count" -gt 0 ]; do
    if [ $(($(uptime) - begun)) -ge "$seconds" ]; then
      say "requests not finished after $seconds s, which end now: $count"
      return 0
    fi
    [ -n "$said" ] || say "waiting up to $seconds s for the other release to finish its requests: $count"
    said=yes
    sleep 0.1
  done
}

# end PID: stops the process, and waits until it has exited.
end() {
  withdraw_from "$1"
  kill -TERM "$1" 2>/dev/null
  waited=0
  while alive "$1"; do
    if [ "$waited" -ge $((stop_seconds * 10)) ]; then
      say "pid $1 did not stop within $stop_seconds s; killing it"
      kill -KILL "$1" 2>/dev/null
      sleep 0.5
      break
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
}

# kill_now PID: kills the process, and waits until it is gone.
kill_now() {
  withdraw_from "$1"
  while alive "$1"; do
    kill -KILL "$1" 2>/dev/null
    sleep 0.1
  done
}
