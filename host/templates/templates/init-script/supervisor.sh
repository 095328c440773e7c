
## Starting an app again that has died, without systemd.

# note_restart RELEASE: notes that the release has died and is started again.
note_restart() {
  say "$1 does not run any more; starting it again"
  echo "$(date +%s) $1" >>"$restarts"
  tail -n 100 "$restarts" >"$restarts.new" && mv "$restarts.new" "$restarts"
}

# supervise: starts the current release again whenever it dies: after a second, or up to a minute if it dies often.
supervise() {
  # start_supervisor has the lock until it has written the file.
  lock
  exec 9>&-
  pause=1 last_start=0
  while is_supervisor && release=$(realpath "$current") && [ -d "$release" ]; do
    name=$(basename "$release")
    if pid=$(running_pid "$name"); then
      # systemd starts this one again.
      ! unit_slot "$pid" >/dev/null || return 0
      # One that was upgraded in place could start itself again, as the release that it was started as.
      looked=$(uptime)
      while alive "$pid" && [ "$current" -ef "$release" ]; do
        sleep 1
        if [ $(($(uptime) - looked)) -ge 10 ]; then
          runs "$pid" "$name" || break
          looked=$(uptime)
        fi
      done
      continue
    fi
    if other_is_in_charge; then
      sleep 1
      continue
    fi
    if [ $(($(uptime) - last_start)) -ge "$calm_seconds" ]; then pause=1; fi
    sleep "$pause"
    last_start=$(uptime) pause=$((pause * 2))
    if [ "$pause" -gt "$calm_seconds" ]; then pause=$calm_seconds; fi
    revive "$name" >>"$(log_of "$release")" 2>&1
  done
}

# other_is_in_charge: whether another release of the project runs that must not be stopped: a run in progress has started it,
# or visitors get it.
other_is_in_charge() {
  pid=$(running_pid) || return 1
  ! upgraded_to "$pid" >/dev/null || return 0
  [ "$(live_slot)" = "$(slot_of "$current")" ] || return 0
  [ -e "$run_lock" ] && ! flock -n "$run_lock" true
}

# revive RELEASE: starts the current release, if it still is this one, and still does not run.
revive() {
  lock
  if is_supervisor && [ "$(readlink "$current")" = "releases/$1" ] && ! running_pid "$1" >/dev/null && ! other_is_in_charge; then
    note_restart "$1"
    # In a subshell, which ends if it fails. What it says goes to the app's log, which need not be quoted there.
    (show_log() { :; }; supervise_afterwards() { :; }; start)
  fi
  exec 9>&-
}

# is_supervisor: whether this process is the supervisor that was started last.
is_supervisor() { read -r supervisor 2>/dev/null <"$supervisor_file" && [ "$supervisor" = $$ ]; }

# end_supervisor: ends the supervisor, with what it waits for. The caller holds the lock, so it is not starting a release. One
# that has only just been started sees that the file is gone.
end_supervisor() {
  rm -f "$supervisor_file"
  for pid in $(marked GATLING_SUPERVISOR); do kill -TERM "-$pid" 2>/dev/null; done
}

# start_supervisor: starts a supervisor, with this version of the script. The caller holds the lock.
start_supervisor() {
  trap - EXIT
  end_supervisor
  # systemd does this for what it runs. A release that was started before there were units runs without.
  if uses_units && { ! pid=$(running_pid "$(basename "$(readlink "$current")")") || unit_slot "$pid" >/dev/null; }; then return; fi
  if [ -d "$current" ]; then
    GATLING_DEPLOY_DIR=$deploy_dir setsid sh -c 'GATLING_SUPERVISOR=$$ exec "$0" supervise' "$script" \
      </dev/null >/dev/null 2>&1 9>&- &
    echo $! >"$supervisor_file"
  fi
}

# supervise_afterwards: has this script start a supervisor when it ends, also if it fails: the release may only have to wait
# for its database.
supervise_afterwards() { trap start_supervisor EXIT; }
